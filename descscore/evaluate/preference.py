"""Preference for descriptions, and relevance: whether the own text scores higher than others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.datasets.failures import Failure
from descscore.datasets.splits import rows_by_hash
from descscore.errors import InputError, PairingError
from descscore.evaluate.statistics import check_rows, estimate_mean, wilson
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int

    from descscore.datasets.described_images import DescribedImage
    from descscore.metric import DescriptionScore

IMAGES_COMPARED = 1000
"""Images at most whose texts are all compared with each other for relevance."""


@dataclass(frozen=True, kw_only=True)
class PreferenceReport:
    """Whether a metric prefers descriptions, and whether it still distinguishes images.

    Attributes:
        preference: share of images whose description scores higher than the caption.
        description_shorter: the same for images whose description has fewer characters than the
            caption; None if there are none.
        caption_shorter: the same for images whose caption has fewer; None if there are none.
        equal_length: number of images whose two texts are equally long.
        relevance_of_descriptions: how often an image's own description scores higher than another
            image's; chance is 0.5. None for a single image.
        relevance_of_captions: the same for captions.
        relevance_sampled: whether relevance is measured on a part of the images (by hash).
        truncated: number of texts longer than the window.
        failed: skipped images, with the reason.
        signature: everything that the scores depend on.
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
    n = check_rows(descriptions, captions)
    ties = int((descriptions == captions).sum())
    return wilson(int((descriptions > captions).sum()), n, ties=ties)


def relevance_share(scores: Float[np.ndarray, "image text"], *, seed: int = 0) -> Estimate:
    """How often an image's own text scores higher than another image's text.

    The mean over images of the share of all other texts that score lower; chance is 0.5. The
    interval is a percentile bootstrap over images (10,000 resamples).

    Args:
        scores: scores of every image with every text, own pairs on the diagonal.
        seed: random seed.

    Raises:
        PairingError: fewer than two images, unequal numbers, or a score is NaN.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) < 2:
        raise PairingError(
            f"relevance takes a square matrix of two images or more, not {scores.shape}"
        )
    check_rows(scores.ravel())
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
    Length is counted in characters, so that the subsets are the same for every checkpoint (our
    choice).

    Args:
        metric: preferably on the scale "cosine", which does not clamp; with `on_error="record"`,
            images that cannot be scored are skipped and named.
        examples: each image once.
        failed: items skipped earlier.
        compared: maximum number of images for relevance.
        seed: random seed.

    Raises:
        PairingError: there are no examples, or two have the same id.
        InputError: none can be scored; with `on_error="raise"`, one cannot.
    """
    scored = score_examples(metric, examples, failed=failed, compared=compared)
    descriptions, captions = scored.own
    shorter = np.sign(scored.lengths[0] - scored.lengths[1])
    relevance = scored.relevance(scored.matrices, seed=seed)
    return PreferenceReport(
        preference=preference_share(descriptions, captions),
        description_shorter=_within(descriptions, captions, shorter < 0),
        caption_shorter=_within(descriptions, captions, shorter > 0),
        equal_length=int((shorter == 0).sum()),
        relevance_of_descriptions=relevance[0],
        relevance_of_captions=relevance[1],
        relevance_sampled=scored.sampled,
        truncated=scored.truncated,
        failed=scored.failed,
        signature=metric.signature,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredExamples:
    """Images with both kinds of text, their own and those of others; failed images are left out.

    Kind 0 are descriptions, kind 1 captions.

    Attributes:
        own: scores of images with their own texts.
        lengths: characters of the texts.
        purposes: P(description) of the texts; None without a purpose.
        rows: the images that are compared with each other's texts.
        matrices: scores of those images with all of their texts.
        sampled: not all images are compared.
        truncated: number of texts longer than the window.
        failed: skipped images, with the reason.
    """

    own: Float[np.ndarray, "2 image"]
    lengths: Int[np.ndarray, "2 image"]
    purposes: Float[np.ndarray, "2 image"] | None
    rows: Int[np.ndarray, " compared"]
    matrices: Float[np.ndarray, "2 compared compared"]
    sampled: bool
    truncated: int
    failed: tuple[Failure, ...]

    @staticmethod
    def relevance(
        matrices: Float[np.ndarray, "2 compared compared"], *, seed: int
    ) -> list[Estimate | None]:
        """The relevance of both kinds of text; None for a single image."""
        return [
            relevance_share(matrix, seed=seed) if len(matrix) > 1 else None for matrix in matrices
        ]


def score_examples(
    metric: DescriptionScore,
    examples: Sequence[DescribedImage],
    *,
    failed: Sequence[Failure] = (),
    compared: int = IMAGES_COMPARED,
) -> ScoredExamples:
    """Score images with their own texts, and some of them with each other's.

    The arguments and errors are those of `evaluate_preference`.
    """
    _refuse_twins(examples)
    rows = np.array(rows_by_hash([example.id for example in examples], compared))
    images = [example.image for example in examples]
    texts = [e.description for e in examples], [e.caption for e in examples]
    n, k = len(examples), len(rows)
    of_others = [side[row] for side in texts for row in rows]
    # One call, which encodes each image and each text once: own texts first, then all compared.
    found = metric(
        [*images, *images, *(images[row] for row in rows)],
        [*([text] for side in texts for text in side), *[of_others] * k],
    )
    own = found.scores[: 2 * n].reshape(2, n)
    scored = np.all(np.isfinite(own), axis=0)
    lost = list(failed)
    for row in np.flatnonzero(~scored).tolist():
        problem = found.errors[row] or found.errors[row + n]
        lost.append(Failure(item=examples[row].id, error=problem.unplaced if problem else ""))
    if not scored.any():
        raise InputError(f"no image can be scored; the first: {lost[0].item}: {lost[0].error}")
    kept = np.flatnonzero(scored[rows])
    matrices = found.scores[2 * n :].reshape(k, 2, k).swapaxes(0, 1)
    return ScoredExamples(
        own=own[:, scored],
        lengths=np.array([[len(text) for text in side] for side in texts])[:, scored],
        purposes=None if found.purpose is None else found.purpose[: 2 * n].reshape(2, n)[:, scored],
        rows=(np.cumsum(scored) - 1)[rows[kept]],
        matrices=matrices[:, kept][:, :, kept],
        sampled=k < n,
        truncated=int(found.truncated[: 2 * n].reshape(2, n)[:, scored].sum()),
        failed=tuple(lost),
    )


def _refuse_twins(examples: Sequence[DescribedImage]) -> None:
    if not examples:
        raise PairingError("there are no images; give one or more")
    [(name, count)] = Counter(example.id for example in examples).most_common(1)
    if count > 1:
        raise PairingError(f"image {name!r} occurs twice; each image counts once")


def _within(
    descriptions: Float[np.ndarray, " image"],
    captions: Float[np.ndarray, " image"],
    rows: Bool[np.ndarray, " image"],
) -> Estimate | None:
    return preference_share(descriptions[rows], captions[rows]) if rows.any() else None
