"""Read a benchmark by its name, score it and measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.datasets.splits import rows_by_hash
from descscore.errors import InputError, OptionError
from descscore.evaluate.benchmarks import BENCHMARKS, Benchmark
from descscore.evaluate.benchmarks.composite import composite
from descscore.evaluate.benchmarks.flickr8k import flickr8k_cf, flickr8k_expert
from descscore.evaluate.benchmarks.foil import foil
from descscore.evaluate.benchmarks.pascal50s import pascal_50s
from descscore.evaluate.benchmarks.sugarcrepe import sugarcrepe
from descscore.evaluate.benchmarks.winoground import winoground
from descscore.evaluate.paper import published_benchmark

if TYPE_CHECKING:
    import os

    from descscore.evaluate.benchmarks.entries import Entries
    from descscore.metric import DescriptionScore
    from descscore.results import Estimate

_WITH_REFERENCES = {
    "flickr8k-expert": flickr8k_expert,
    "flickr8k-cf": flickr8k_cf,
    "composite": composite,
    "pascal-50s": pascal_50s,
    "foil": foil,
}
_WITHOUT = {"sugarcrepe": sugarcrepe, "winoground": winoground}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One result of a benchmark, with the value printed in CLIPScore's paper.

    Attributes:
        name: "tau_c", "tau_b" (in [-1, 1]) or "accuracy" (in [0, 1]).
        part: the category of the items, or "all".
        references: whether the scores are RefCLIPScores.
        estimate: value over ratings or pairs, with a bootstrap interval over whole images.
        published: what Hessel et al. (2021) printed for CLIP ViT-B/32, on the same scale; None
            if they printed nothing.
        published_in: the table.
    """

    name: str
    part: str
    references: bool
    estimate: Estimate
    published: float | None
    published_in: str | None


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """One benchmark with one metric.

    Attributes:
        benchmark: its name.
        images: number of distinct images.
        measures: the results.
        notes: numbers of skipped items, and the choices that were made.
        signature: everything that the scores depend on.
    """

    benchmark: str
    images: int
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]
    signature: str


def read_benchmark(
    name: Benchmark,
    data: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    references: bool = False,
    limit: int | None = None,
) -> Entries:
    """Read a captioning benchmark from the files that its authors distribute.

    Args:
        name: "flickr8k-expert", "flickr8k-cf", "composite", "pascal-50s", "foil", "sugarcrepe" or
            "winoground".
        data: the folder that contains its files, directly or in subfolders.
        images: the folder of its images; `data` by default.
        references: also read references.
        limit: use only this many images, those with the smallest SHA-256 of their file name.

    Raises:
        OptionError: there is no such benchmark or folder, or it has no references.
        TableError: a file or an image is missing, or a file has another layout.
    """
    folders = Path(data), Path(data if images is None else images)
    if name in _WITH_REFERENCES:
        read = _WITH_REFERENCES[name](*folders, references=references)
    elif name not in _WITHOUT:
        raise OptionError(f"there is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}")
    elif references:
        raise OptionError(f"{name} has no references; omit them")
    else:
        read = _WITHOUT[name](*folders)
    return read if limit is None else _limited(read, limit)


def _limited(read: Entries, limit: int) -> Entries:
    """The entries of some images; all images of an entry stay together."""
    images = len(set(read.images))
    names = list(dict.fromkeys(path.name for path in read.images[:: read.per_entry]))
    each = images // len(names)
    kept = {names[row] for row in rows_by_hash(names, max(1, limit // each))}
    note = f"{each * len(kept):,} of {images:,} images, chosen by hash"
    return read.some(lambda image: image.name in kept, note)


def run_benchmark(
    metric: DescriptionScore, read: Entries, *, resamples: int = 1000, seed: int = 0
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
    images = [str(path) for path in read.images]
    scored: dict[bool, Any]
    if read.references is None:
        scores = metric(images, list(read.texts))
        scored = {False: scores.scores}
    else:
        scores = metric(images, list(read.texts), [list(texts) for texts in read.references])
        scored = {False: scores.image_scores, True: scores.scores}
    failure = next(filter(None, scores.errors), None)
    if failure is not None:
        raise InputError(failure)
    measures = []
    for references, values in scored.items():
        for name, part, estimate in read.measure(read, values.astype(float), resamples, seed):
            published, table = published_benchmark(
                read.benchmark, name, part, references=references
            )
            measures.append(
                Measure(
                    name=name,
                    part=part,
                    references=references,
                    estimate=estimate,
                    published=published,
                    published_in=table,
                )
            )
    return BenchmarkResult(
        benchmark=read.benchmark,
        images=len(set(read.images)),
        measures=tuple(measures),
        notes=read.notes,
        signature=scores.signature,
    )
