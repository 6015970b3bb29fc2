"""Results of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descscore.results import Estimate


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
    part: str = "all"
    references: bool
    estimate: Estimate
    published: float | None = None
    published_in: str | None = None


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
