"""Read a benchmark by its name, score it and measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from descscore.datasets.splits import rows_by_hash
from descscore.errors import InputError, OptionError
from descscore.evaluate.benchmarks.composite import composite
from descscore.evaluate.benchmarks.flickr8k import flickr8k_cf, flickr8k_expert
from descscore.evaluate.benchmarks.foil import foil
from descscore.evaluate.benchmarks.judged import Judged, correlate
from descscore.evaluate.benchmarks.measures import BenchmarkResult
from descscore.evaluate.benchmarks.paired import Paired, accuracy
from descscore.evaluate.benchmarks.pascal50s import pascal_50s
from descscore.evaluate.benchmarks.sugarcrepe import sugarcrepe
from descscore.evaluate.benchmarks.winoground import Crossed, matches, winoground

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from jaxtyping import Float

    from descscore.evaluate.benchmarks.measures import Measure
    from descscore.metric import DescriptionScore

Benchmark: TypeAlias = Literal[
    "flickr8k-expert",
    "flickr8k-cf",
    "composite",
    "pascal-50s",
    "foil",
    "sugarcrepe",
    "winoground",
]
BENCHMARKS: tuple[Benchmark, ...] = get_args(Benchmark)


PAIRS_AT_ONCE = 50_000
"""All of Flickr8k-CF; more pairs go in parts, by image, so that no image is encoded twice."""


def read_benchmark(
    name: Benchmark,
    data: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    references: bool = False,
    limit: int | None = None,
    seed: int = 0,
) -> Judged | Paired | Crossed:
    """Read a captioning benchmark from the files that its authors distribute.

    Args:
        name: "flickr8k-expert", "flickr8k-cf", "composite", "pascal-50s", "foil", "sugarcrepe" or
            "winoground".
        data: the folder that contains its files, directly or in subfolders.
        images: the folder of its images; `data` by default.
        references: also read references.
        limit: use only this many images, those with the smallest SHA-256 of their file name.
        seed: random seed of the draws of references (Pascal-50S).

    Raises:
        OptionError: there is no such benchmark or folder, or it has no references.
        TableError: a file or an image is missing, or a file has another layout.
    """
    folder = Path(data)
    of_images = folder if images is None else Path(images)
    if references and name in {"sugarcrepe", "winoground"}:
        raise OptionError(f"{name} has no references; omit them")
    readers: dict[str, Callable[[], Judged | Paired | Crossed]] = {
        "flickr8k-expert": lambda: flickr8k_expert(folder, of_images, references=references),
        "flickr8k-cf": lambda: flickr8k_cf(folder, of_images, references=references),
        "composite": lambda: composite(folder, of_images, references=references),
        "pascal-50s": lambda: pascal_50s(folder, of_images, references=references, seed=seed),
        "foil": lambda: foil(folder, of_images, references=references),
        "sugarcrepe": lambda: sugarcrepe(folder, of_images),
        "winoground": lambda: winoground(folder, of_images),
    }
    if name not in readers:
        raise OptionError(f"there is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}")
    read = readers[name]()
    return read if limit is None else _limited(read, limit)


def _limited(read: Judged | Paired | Crossed, limit: int) -> Judged | Paired | Crossed:
    """The entries of some images; both images of an example stay together."""
    step = 2 if isinstance(read, Crossed) else 1
    names = [path.name for path in read.images[::step]]
    distinct = list(dict.fromkeys(names))
    kept = {distinct[row] for row in rows_by_hash(distinct, max(1, limit // step))}
    rows = [row * step + k for row, name in enumerate(names) if name in kept for k in range(step)]

    def some(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[row] for row in rows)

    note = f"{step * len(kept):,} of {step * len(distinct):,} images, chosen by hash"
    common = {"images": some(read.images), "notes": (*read.notes, note)}
    if isinstance(read, Crossed):
        return replace(read, captions=some(read.captions), **common)
    if isinstance(read, Judged):
        references = None if read.references is None else some(read.references)
        return replace(
            read,
            captions=some(read.captions),
            references=references,
            ratings=read.ratings[rows],
            **common,
        )
    return replace(
        read,
        firsts=some(read.firsts),
        seconds=some(read.seconds),
        second_wins=read.second_wins[rows],
        categories=None if read.categories is None else some(read.categories),
        references=tuple(some(draw) for draw in read.references),
        **common,
    )


def run_benchmark(
    metric: DescriptionScore,
    read: Judged | Paired | Crossed,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> BenchmarkResult:
    """Score a benchmark and measure: rank correlation or accuracy, with intervals.

    Each distinct image and text is encoded once. If the benchmark was read with references, the
    reference-augmented score is measured beside the score.

    Args:
        metric: what scores.
        read: the benchmark.
        resamples: of the bootstrap, which draws whole images.
        seed: random seed.

    Raises:
        InputError: an image or a text cannot be scored.
        OptionError: references, and a metric on another scale than "clipscore".
    """
    if isinstance(read, Crossed):
        measures, signature = _crossed(metric, read)
    elif isinstance(read, Judged):
        measures, signature = _judged(metric, read, resamples, seed)
    else:
        measures, signature = _paired(metric, read, resamples, seed)
    return BenchmarkResult(
        benchmark=read.benchmark,
        images=len(set(read.images)),
        measures=tuple(measures),
        notes=read.notes,
        signature=signature,
    )


def _judged(
    metric: DescriptionScore, read: Judged, resamples: int, seed: int
) -> tuple[list[Measure], str]:
    scores = score_pairs(metric, read.images, read.captions, read.references)
    options = {"resamples": resamples, "seed": seed}
    measures = correlate(read, scores.alone, references=False, **options)
    if scores.augmented is not None:
        measures += correlate(read, scores.augmented, references=True, **options)
    return measures, scores.signature


def _crossed(metric: DescriptionScore, read: Crossed) -> tuple[list[Measure], str]:
    """Each image with both captions of its example."""
    examples = len(read.images) // 2
    first = np.repeat(np.arange(examples) * 2, 4)
    image, caption = first + np.tile([0, 0, 1, 1], examples), first + np.tile([0, 1], 2 * examples)
    scores = score_pairs(
        metric, [read.images[row] for row in image], [read.captions[row] for row in caption]
    )
    return matches(scores.alone.reshape(examples, 2, 2)), scores.signature


def _paired(
    metric: DescriptionScore, read: Paired, resamples: int, seed: int
) -> tuple[list[Measure], str]:
    # All draws in one call: they differ in their references only.
    draws = max(1, len(read.references))
    references: Sequence[Sequence[str]] | None = [
        texts for draw in read.references for texts in (*draw, *draw)
    ] or None
    scores = score_pairs(
        metric,
        (*read.images, *read.images) * draws,
        (*read.firsts, *read.seconds) * draws,
        references,
    )
    shape = (draws, 2, len(read.images))
    options = {"resamples": resamples, "seed": seed}
    alone = np.reshape(scores.alone, shape)[:1]
    measures = accuracy(read, alone[:, 0], alone[:, 1], references=False, **options)
    if scores.augmented is not None:
        both = np.reshape(scores.augmented, shape)
        measures += accuracy(read, both[:, 0], both[:, 1], references=True, **options)
    return measures, scores.signature


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
        at_once: pairs per call at most, except for the last pairs of an image.

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
