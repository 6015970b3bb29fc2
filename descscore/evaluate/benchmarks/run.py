"""Read a benchmark by its name, score it and measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from descscore.datasets.splits import rows_by_hash
from descscore.errors import InputError, OptionError
from descscore.evaluate.benchmarks.composite import composite
from descscore.evaluate.benchmarks.flickr8k import flickr8k_cf, flickr8k_expert
from descscore.evaluate.benchmarks.foil import foil
from descscore.evaluate.benchmarks.measures import BenchmarkResult, Measure
from descscore.evaluate.benchmarks.pascal50s import pascal_50s
from descscore.evaluate.benchmarks.sugarcrepe import sugarcrepe
from descscore.evaluate.benchmarks.winoground import winoground
from descscore.evaluate.paper import published_benchmark

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from jaxtyping import Float

    from descscore.evaluate.benchmarks.entries import Entries
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

_READERS: dict[str, Callable[..., Entries]] = {
    "flickr8k-expert": flickr8k_expert,
    "flickr8k-cf": flickr8k_cf,
    "composite": composite,
    "pascal-50s": pascal_50s,
    "foil": foil,
    "sugarcrepe": sugarcrepe,
    "winoground": winoground,
}

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
) -> Entries:
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
    if name not in _READERS:
        raise OptionError(f"there is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}")
    options: dict[str, Any] = {"references": references}
    if name in {"sugarcrepe", "winoground"}:
        if references:
            raise OptionError(f"{name} has no references; omit them")
        options = {}
    elif name == "pascal-50s":
        options["seed"] = seed
    read = _READERS[name](Path(data), Path(data if images is None else images), **options)
    return read if limit is None else _limited(read, limit)


def _limited(read: Entries, limit: int) -> Entries:
    """The entries of some images; all images of an entry stay together."""
    step = read.per_entry
    names = [path.name for path in read.images[::step]]
    distinct = list(dict.fromkeys(names))
    kept = {distinct[row] for row in rows_by_hash(distinct, max(1, limit // step))}
    rows = [row * step + k for row, name in enumerate(names) if name in kept for k in range(step)]
    note = f"{step * len(kept):,} of {step * len(distinct):,} images, chosen by hash"
    return read.rows(rows, note)


def run_benchmark(
    metric: DescriptionScore,
    read: Entries,
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
    pairs = read.pairs()
    scores = score_pairs(metric, *pairs)
    measures = []
    for references, values in enumerate((scores.alone, scores.augmented)):
        if values is None:
            continue
        for name, part, estimate in read.measure(values, resamples=resamples, seed=seed):
            printed = published_benchmark(read.benchmark, name, part, references=bool(references))
            measures.append(
                Measure(
                    name=name,
                    part=part,
                    references=bool(references),
                    estimate=estimate,
                    published=printed[0],
                    published_in=printed[1],
                )
            )
    return BenchmarkResult(
        benchmark=read.benchmark,
        images=len(set(read.images)),
        measures=tuple(measures),
        notes=read.notes,
        signature=scores.signature,
    )


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
