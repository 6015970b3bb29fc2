"""Does a metric still classify images by the texts of their classes?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import PairingError
from descscore.extras import imports_of

if TYPE_CHECKING:
    from jaxtyping import Float, Int

PROMPT = "An image of {label}"
"""The paper's prompt (Zur et al. 2024, section 4)."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Zero-shot classification, all in [0, 1].

    Attributes:
        n: number of images.
        classes: number of classes.
        macro_f1: mean over classes of the harmonic mean of precision and recall.
        accuracy: share of images whose own class scores highest.
        recall: mean over classes of the share of its images that are found.
    """

    n: int
    classes: int
    macro_f1: float
    accuracy: float
    recall: float


def transfer(
    scores: Float[np.ndarray, "image label"], labels: Int[np.ndarray, " same"]
) -> Transfer:
    """Classify each image by its highest-scoring class.

    Args:
        scores: every image with every class's prompt.
        labels: each image's class, a column of `scores`.

    Raises:
        PairingError: the numbers do not fit, or a score is NaN.
    """
    with imports_of("evaluate"):
        from sklearn.metrics import f1_score, recall_score

    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise PairingError(f"{labels.shape} labels do not fit scores of shape {scores.shape}")
    if np.isnan(scores).any():
        raise PairingError("a score is NaN; leave out the images that failed")
    found = scores.argmax(1)
    columns = np.arange(scores.shape[1])
    options = {"labels": columns, "average": "macro", "zero_division": 0}
    return Transfer(
        n=len(labels),
        classes=scores.shape[1],
        macro_f1=float(f1_score(labels, found, **options)),
        accuracy=float((labels == found).mean()),
        recall=float(recall_score(labels, found, **options)),
    )
