"""A metric for lmms-eval's captioning tasks, and a task that uses it.

`DESCSCORE_CHECKPOINT` names the checkpoint that scores.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from descscore.errors import TextError
from descscore.metric import DescriptionScore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

TASKS = Path(__file__).parent
"""The folder for lmms-eval's `--include_path`."""


def doc_to_visual(doc: dict[str, Any]) -> list[Image.Image]:
    """The image that the model is asked to describe."""
    return [doc["image"].convert("RGB")]


def process_results(doc: dict[str, Any], results: Sequence[str | None]) -> dict[str, float | None]:
    """Score the text that the model wrote for one image.

    Args:
        doc: a row of the data set, with a PIL image in `image`.
        results: the model's text.

    Returns:
        `descscore`, the score, 0 for a text that is empty; and `descscore_purpose`, P(description),
        None for an empty text and with a checkpoint that has no purpose subspace.

    Raises:
        ImageError: the image cannot be read.
    """
    try:
        result = _scorer()(doc["image"], results[0] or "")
    except TextError:
        return {"descscore": 0.0, "descscore_purpose": None}
    purpose = None if result.purpose is None else float(result.purpose[0])
    return {"descscore": float(result.scores[0]), "descscore_purpose": purpose}


def mean(results: Sequence[float | None]) -> float:
    """The mean of the values that there are; NaN without one."""
    values = [value for value in results if value is not None]
    return fmean(values) if values else float("nan")


@lru_cache(maxsize=1)
def _scorer() -> DescriptionScore:
    return DescriptionScore(num_workers=0)
