"""Does a metric prefer descriptions, and the right image's text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.datasets.failures import Failure
from descscore.datasets.splits import rows_by_hash
from descscore.errors import InputError, PairingError
from descscore.evaluate.resamples import estimate_mean
from descscore.evaluate.statistics import wilson
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float

    from descscore.datasets.described_images import DescribedImage
    from descscore.metric import DescriptionScore

IMAGES_COMPARED = 1000
"""Images at most whose texts are all compared with each other for relevance."""


@dataclass(frozen=True, kw_only=True)
class PreferenceReport:
    """Whether a metric prefers descriptions, and whether it still tells images apart.

    Attributes:
        preference: share of images whose description scores higher than the caption.
        description_shorter: the same within those whose description has fewer characters than the
            caption; None without any.
        caption_shorter: the same within those whose caption has fewer; None without any.
        equal_length: images whose texts have as many characters.
        relevance_of_descriptions: how often an image's own description scores higher than another
            image's; chance is 0.5. None for a single image.
        relevance_of_captions: the same of captions.
        relevance_sampled: relevance is measured on a part of the images (by hash), not on all.
        truncated: texts that are longer than the checkpoint reads.
        failed: images that were left out, and why.
        signature: what the scores depend on.
    """

    preference: Estimate
    description_shorter: Estimate | None
    caption_shorter: Estimate | None
    equal_length: int
    relevance_of_descriptions: Estimate | None
    relevance_of_captions: Estimate | None
    relevance_sampled: bool
    truncated: int
    failed: Sequence[Failure]
    signature: str


def preference_share(
    descriptions: Float[np.ndarray, " image"], captions: Float[np.ndarray, " same"]
) -> Estimate:
    """Share of images whose description scores higher than the caption (Zur et al. 2024).

    A tie is not higher. Wilson's interval.

    Raises:
        PairingError: no images, unequal numbers, or a score is NaN.
    """
    if descriptions.shape != captions.shape or descriptions.ndim != 1 or not len(captions):
        raise PairingError(
            f"{descriptions.shape} scores of descriptions and {captions.shape} of captions; give "
            "one of each for every image"
        )
    _refuse_nan(descriptions)
    _refuse_nan(captions)
    ties = int((descriptions == captions).sum())
    return wilson(int((descriptions > captions).sum()), len(captions), ties=ties)


def relevance_share(scores: Float[np.ndarray, "image text"], *, seed: int = 0) -> Estimate:
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
    ties = int((scores == np.diagonal(scores)[:, None]).sum()) - len(scores)
    return estimate_mean(own_over_others(scores), ties=ties, seed=seed)


def own_over_others(scores: Float[np.ndarray, "image text"]) -> Float[np.ndarray, " image"]:
    """For each image the share of other images' texts that score lower than its own."""
    return (scores < np.diagonal(scores)[:, None]).sum(1) / (len(scores) - 1)


def evaluate_preference(
    metric: DescriptionScore,
    examples: Sequence[DescribedImage],
    *,
    failed: Sequence[Failure] = (),
    compared: int = IMAGES_COMPARED,
    seed: int = 0,
) -> PreferenceReport:
    """Preference for descriptions, overall and by length, and the relevance of both kinds of text.

    Relevance is measured on at most `compared` images, those with the smallest SHA-256 of their id.
    Which text is shorter is told by characters, so that the subsets are the same for every
    checkpoint (our choice).

    Args:
        metric: best on the scale "cosine", which clamps nothing; with `on_error="record"` images
            that cannot be scored are left out, and named.
        examples: each image once.
        failed: what was left out before.
        compared: images at most for relevance.
        seed: of the bootstrap.

    Raises:
        PairingError: there are no examples, or two have one id.
        InputError: none can be scored; with `on_error="raise"`, one cannot.
    """
    _refuse_twins(examples)
    rows = rows_by_hash([example.id for example in examples], compared)
    images = [example.image for example in examples]
    texts = [e.description for e in examples], [e.caption for e in examples]
    n, k = len(examples), len(rows)
    of_others = [side[row] for side in texts for row in rows]
    # One call, which encodes each image and each text once: own texts first, then all compared.
    found = metric(
        [*images, *images, *(images[row] for row in rows)],
        [*([text] for side in texts for text in side), *[of_others] * k],
    )
    descriptions, captions = np.split(found.scores[: 2 * n], 2)
    matrices = found.scores[2 * n :].reshape(k, 2, k).swapaxes(0, 1)
    scored = np.isfinite(descriptions) & np.isfinite(captions)
    lost = list(failed)
    for row in np.flatnonzero(~scored).tolist():
        problem = found.errors[row] or found.errors[row + n]
        lost.append(Failure(item=examples[row].id, error=problem.unplaced if problem else ""))
    if not scored.any():
        raise InputError(f"no image can be scored; the first: {lost[0].item}: {lost[0].error}")
    lengths = np.array([[len(text) for text in side] for side in texts])
    kept = np.flatnonzero(scored[rows])
    of_kind = [
        relevance_share(matrix[np.ix_(kept, kept)], seed=seed) if len(kept) > 1 else None
        for matrix in matrices
    ]
    return PreferenceReport(
        preference=preference_share(descriptions[scored], captions[scored]),
        description_shorter=_within(descriptions, captions, scored & (lengths[0] < lengths[1])),
        caption_shorter=_within(descriptions, captions, scored & (lengths[0] > lengths[1])),
        equal_length=int((scored & (lengths[0] == lengths[1])).sum()),
        relevance_of_descriptions=of_kind[0],
        relevance_of_captions=of_kind[1],
        relevance_sampled=k < n,
        truncated=int(found.truncated[: 2 * n].reshape(2, n)[:, scored].sum()),
        failed=tuple(lost),
        signature=metric.signature,
    )


def _refuse_twins(examples: Sequence[DescribedImage]) -> None:
    if not examples:
        raise PairingError("there are no images; give one or more")
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise PairingError(f"image {example.id!r} comes twice; each image counts once")
        seen.add(example.id)


def _within(
    descriptions: Float[np.ndarray, " image"],
    captions: Float[np.ndarray, " image"],
    rows: Bool[np.ndarray, " image"],
) -> Estimate | None:
    return preference_share(descriptions[rows], captions[rows]) if rows.any() else None


def _refuse_nan(scores: Float[np.ndarray, "..."]) -> None:
    missing = np.argwhere(np.isnan(scores))
    if len(missing):
        place = ", ".join(map(str, missing[0]))
        raise PairingError(f"score {place} is NaN ({len(missing)} are); leave out what failed")
