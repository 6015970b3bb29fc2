"""Many pairs through a metric: each distinct image and text encoded once, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float

    from descscore.metric import DescriptionScore

PAIRS_AT_ONCE = 50_000
"""All of Flickr8k-CF; more pairs go in parts, by image, so that no image is encoded twice."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PairScores:
    """Scores in the order of the pairs.

    Attributes:
        alone: of image and text.
        augmented: with references (RefCLIPScore); None without.
        signature: what they depend on.
    """

    alone: Float[np.ndarray, " pair"]
    augmented: Float[np.ndarray, " pair"] | None
    signature: str


def score_pairs(
    metric: DescriptionScore,
    images: Sequence[Path],
    texts: Sequence[str],
    references: Sequence[Sequence[str]] | None = None,
    *,
    at_once: int = PAIRS_AT_ONCE,
) -> PairScores:
    """Score pairs, those of one image together.

    Args:
        metric: what scores.
        images: the image of each pair.
        texts: its text.
        references: its references, or None for no pair.
        at_once: pairs a call at most, but for the last pairs of an image.

    Raises:
        InputError: a pair cannot be scored.
    """
    _, image = np.unique([str(path) for path in images], return_inverse=True)
    order = np.argsort(image, kind="stable")
    alone = np.empty(len(order))
    augmented = None if references is None else np.empty(len(order))
    signature = ""
    start = 0
    while start < len(order):
        last = min(start + at_once, len(order)) - 1
        end = int(np.searchsorted(image[order], image[order[last]], side="right"))
        part = order[start:end]
        of_part = [str(images[i]) for i in part], [texts[i] for i in part]
        if references is None:
            scores = metric(*of_part)
            alone[part] = scores.scores
        else:
            scores = metric(*of_part, [list(references[i]) for i in part])
            alone[part] = scores.image_scores
            augmented[part] = scores.scores  # pyright: ignore[reportOptionalSubscript]
        failure = next(filter(None, scores.errors), None)
        if failure is not None:
            raise InputError(failure)
        signature, start = scores.signature, end
    return PairScores(alone=alone, augmented=augmented, signature=signature)
