"""What a purpose weight gains in preference, and what it costs in relevance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import OptionError
from descscore.evaluate.preference import (
    IMAGES_COMPARED,
    preference_share,
    score_examples,
)
from descscore.extras import imports_of
from descscore.score import LARGEST_LOGIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float

    from descscore.datasets.described_images import DescribedImage
    from descscore.datasets.failures import Failure
    from descscore.metric import DescriptionScore
    from descscore.results import Estimate

WEIGHTS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """Preference and relevance with one purpose weight.

    Attributes:
        weight: in score + weight * logit(purpose), the logit clipped to [-4, 4].
        preference: share of images whose description scores higher than the caption.
        relevance_of_descriptions: how often an image's own description scores higher than another
            image's; chance is 0.5.
        relevance_of_captions: the same for captions.
    """

    weight: float
    preference: Estimate
    relevance_of_descriptions: Estimate
    relevance_of_captions: Estimate


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Preference and relevance over a range of purpose weights.

    Attributes:
        images: number of scored images.
        weights: the results in ascending order of weight, starting with 0.
        tolerance: largest acceptable loss of relevance compared with weight 0.
        largest: the largest weight up to which neither relevance loses more; 0 if none.
        purpose_alone: preference by purpose alone, which looks at no image.
        relevance_sampled: whether relevance is measured on a part of the images, by hash.
        truncated: number of texts longer than the window.
        failed: skipped images, with the reason.
        signature: what the scores and the purpose depend on.
    """

    images: int
    weights: Sequence[Weighted]
    tolerance: float
    largest: float
    purpose_alone: Estimate
    relevance_sampled: bool
    truncated: int
    failed: Sequence[Failure]
    signature: str


def calibrate_purpose(
    metric: DescriptionScore,
    examples: Sequence[DescribedImage],
    *,
    weights: Sequence[float] = WEIGHTS,
    tolerance: float = TOLERANCE,
    failed: Sequence[Failure] = (),
    compared: int = IMAGES_COMPARED,
    seed: int = 0,
) -> Calibration:
    """Measure scores with purpose added, over a range of weights.

    Every pair is scored once, without a weight; relevance compares an image's own text with those
    of at most `compared` images. Do not choose a weight on the data that you report with it.

    Args:
        metric: a metric that reads purpose, without a purpose weight.
        examples: each image once.
        weights: weights to try; 0 is added.
        tolerance: largest acceptable loss of relevance.
        failed: items skipped earlier.
        compared: maximum number of images for relevance.
        seed: random seed.

    Raises:
        OptionError: the metric reads no purpose or has a weight, a weight is not finite or is
            negative, or the tolerance is negative.
        PairingError: fewer than two images, or two with one id.
        InputError: no image can be scored; with `on_error="raise"`, one cannot.
    """
    if "purpose" not in metric.readouts:
        raise OptionError(
            "the metric reads no purpose; name a checkpoint that does, such as purpose='mini'"
        )
    if metric.purpose_weight is not None:
        raise OptionError(
            f"the metric has the purpose weight {metric.purpose_weight}; make it without one"
        )
    for weight in weights:
        if not (np.isfinite(weight) and weight >= 0):
            raise OptionError(f"a weight is {weight}; give finite numbers of at least 0")
    if not tolerance >= 0:
        raise OptionError(f"tolerance is {tolerance}; give a number of at least 0")
    scored = score_examples(metric, examples, failed=failed, compared=compared)
    if len(scored.rows) < 2:
        raise OptionError("relevance compares images with each other; give at least two")
    logits = _clipped_logit(scored.purposes)  # pyright: ignore[reportArgumentType]
    results = []
    for weight in sorted({0.0, *map(float, weights)}):
        of_descriptions, of_captions = scored.relevance(
            scored.matrices + weight * logits[:, None, scored.rows], seed=seed
        )
        results.append(
            Weighted(
                weight=weight,
                preference=preference_share(*(scored.own + weight * logits)),
                relevance_of_descriptions=of_descriptions,  # pyright: ignore[reportArgumentType]
                relevance_of_captions=of_captions,  # pyright: ignore[reportArgumentType]
            )
        )
    return Calibration(
        images=scored.own.shape[1],
        weights=tuple(results),
        tolerance=tolerance,
        largest=_largest(results, tolerance),
        purpose_alone=preference_share(*logits),
        relevance_sampled=scored.sampled,
        truncated=scored.truncated,
        failed=scored.failed,
        signature=metric.signature,
    )


def draw_calibration(found: Calibration, path: Path) -> None:
    """Draw both curves with their intervals into a file, in the format of its extension.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionError: matplotlib does not write files with this extension.
    """
    with imports_of("plots"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    weights = [one.weight for one in found.weights]
    for name, label in (
        ("preference", "preference"),
        ("relevance_of_descriptions", "relevance of descriptions"),
        ("relevance_of_captions", "relevance of captions"),
    ):
        estimates: list[Estimate] = [getattr(one, name) for one in found.weights]
        # As floats, what is undefined becomes NaN, which leaves a gap.
        values, low, high = np.array([(one.value, one.low, one.high) for one in estimates], float).T
        [line] = axes.plot(weights, values, marker=".", label=label)
        axes.fill_between(weights, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axvline(found.largest, color="grey", linestyle=":", label=f"weight {found.largest:g}")
    axes.set(xlabel="purpose weight", ylabel="share of images", ylim=(0, 1))
    axes.legend(loc="lower right")
    try:
        figure.savefig(path)
    except ValueError as error:
        raise OptionError(f"{path} cannot be drawn: {error}") from None


def _clipped_logit(purposes: Float[np.ndarray, "2 image"]) -> Float[np.ndarray, "2 image"]:
    """log(P / (1 - P)) as weighted scores add it."""
    bound = 1 / (1 + np.exp(-LARGEST_LOGIT))
    inside = purposes.astype(np.float64).clip(1 - bound, bound)
    return np.log(inside / (1 - inside))


def _largest(results: Sequence[Weighted], tolerance: float) -> float:
    """The last weight before the first at which a relevance has fallen too far."""
    largest = 0.0
    for result in results:
        for name in ("relevance_of_descriptions", "relevance_of_captions"):
            before, now = (getattr(one, name).value for one in (results[0], result))
            if now < before - tolerance:
                return largest
        largest = result.weight
    return largest
