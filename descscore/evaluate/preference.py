"""Does a metric prefer descriptions, and the right image's text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import PairingError
from descscore.extras import imports_of

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of cases with its 95% interval.

    Attributes:
        n: number of images.
        share: in [0, 1].
        low: lower end of the interval.
        high: upper end of the interval.
        ties: cases that count for neither side.
    """

    n: int
    share: float
    low: float
    high: float
    ties: int


def preference(
    descriptions: Float[np.ndarray, " image"], captions: Float[np.ndarray, " same"]
) -> Share:
    """Share of images whose description scores higher than the caption (Zur et al. 2024).

    A tie is not higher. Wilson's interval.

    Raises:
        PairingError: no images, unequal numbers, or a score is NaN.
    """
    with imports_of("evaluate"):
        from scipy.stats import binomtest

    if descriptions.shape != captions.shape or descriptions.ndim != 1 or not len(captions):
        raise PairingError(
            f"{descriptions.shape} scores of descriptions and {captions.shape} of captions; give "
            "one of each for every image"
        )
    _refuse_nan(descriptions)
    _refuse_nan(captions)
    higher, n = int((descriptions > captions).sum()), len(captions)
    interval = binomtest(higher, n).proportion_ci(0.95, method="wilson")
    ties = int((descriptions == captions).sum())
    return Share(
        n=n, share=higher / n, low=float(interval.low), high=float(interval.high), ties=ties
    )


def relevance(scores: Float[np.ndarray, "image text"], *, seed: int = 0) -> Share:
    """How often an image's own text scores higher than the text of another image.

    The mean over images of the share of all other texts that score lower; chance is 0.5. The
    interval is a bootstrap over images (10,000 resamples, percentiles).

    Args:
        scores: every image with every text, own pairs on the diagonal.
        seed: of the bootstrap.

    Raises:
        PairingError: fewer than two images, not as many texts as images, or a score is NaN.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) < 2:
        raise PairingError(
            f"relevance takes a square matrix of two images or more, not {scores.shape}"
        )
    _refuse_nan(scores)
    n = len(scores)
    own = np.diagonal(scores)[:, None]
    of_image = (scores < own).sum(1) / (n - 1)
    resampled = np.random.default_rng(seed).integers(n, size=(10_000, n))
    low, high = np.percentile(of_image[resampled].mean(1), [2.5, 97.5])
    ties = int((scores == own).sum()) - n
    return Share(n=n, share=float(of_image.mean()), low=float(low), high=float(high), ties=ties)


def _refuse_nan(scores: Float[np.ndarray, "..."]) -> None:
    missing = np.argwhere(np.isnan(scores))
    if len(missing):
        place = ", ".join(map(str, missing[0]))
        raise PairingError(f"score {place} is NaN ({len(missing)} are); leave out what failed")
