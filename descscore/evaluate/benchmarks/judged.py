"""Benchmarks of rated captions: rank correlation of ratings and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.evaluate.benchmarks.measures import Measure
from descscore.evaluate.correlations import correlation
from descscore.evaluate.paper import published_benchmark

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Captions and their ratings, one entry per rating.

    Attributes:
        benchmark: its name.
        images: the image of each rating.
        captions: the caption that was rated.
        references: other captions of the image, the rated one not among them; None where they were
            not asked for.
        ratings: higher is better.
        notes: what was left out, counted, and which choices were made.
    """

    benchmark: str
    images: tuple[Path, ...]
    captions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...] | None
    ratings: Float[np.ndarray, " rating"]
    notes: tuple[str, ...]


def correlate(
    judged: Judged,
    scores: Float[np.ndarray, " rating"],
    *,
    references: bool,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Measure]:
    """Kendall's τ_c and τ_b over all ratings, each a data point of its own (Hessel et al. 2021).

    Args:
        judged: the ratings.
        scores: of the rated captions.
        references: the scores are reference-augmented.
        resamples: of the bootstrap, which draws whole images.
        seed: random seed.
    """
    _, image = np.unique([str(path) for path in judged.images], return_inverse=True)
    measures = []
    for name, kind in (("tau_c", "kendall_c"), ("tau_b", "kendall_b")):
        found = correlation(
            np.asarray(scores, dtype=np.float64),
            judged.ratings,
            kind,
            groups=image,
            resamples=resamples,
            seed=seed,
        )
        printed, where = published_benchmark(judged.benchmark, name, "all", references=references)
        measures.append(
            Measure(
                name=name,
                references=references,
                estimate=found,
                published=printed,
                published_in=where,
            )
        )
    return measures
