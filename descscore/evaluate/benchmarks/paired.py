"""Benchmarks in which one of two captions is right: how often it scores higher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.evaluate.benchmarks.measures import Measure
from descscore.evaluate.paper import published_benchmark
from descscore.evaluate.resamples import ONE_GROUP, bootstrap
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, Int


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """Pairs of captions, one entry per pair.

    Attributes:
        benchmark: its name.
        images: the image of each pair.
        firsts: one caption.
        seconds: the other.
        second_wins: 1 where the second is right, 0 where the first is, 0.5 where neither.
        categories: of the pairs, each of which is reported; None for one category.
        references: for each draw, the references of each pair; empty where they were not asked for.
        notes: what was left out, counted, and which choices were made.
    """

    benchmark: str
    images: tuple[Path, ...]
    firsts: tuple[str, ...]
    seconds: tuple[str, ...]
    second_wins: Float[np.ndarray, " pair"]
    categories: tuple[str, ...] | None
    references: tuple[tuple[tuple[str, ...], ...], ...]
    notes: tuple[str, ...]


def accuracy(
    paired: Paired,
    firsts: Float[np.ndarray, "draw pair"],
    seconds: Float[np.ndarray, "draw pair"],
    *,
    references: bool,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Measure]:
    """The share of pairs whose right caption scores higher; a tie counts half.

    With categories, the share of each and their unweighted mean.
    Without, the mean over images of the share of an image's pairs.

    Args:
        paired: the pairs.
        firsts: scores of the first captions, for each draw of references.
        seconds: scores of the second captions.
        references: the scores are reference-augmented.
        resamples: of the bootstrap, which draws whole images.
        seed: random seed.
    """
    # Half of a tie, in either of the two: the expectation of breaking it at random.
    scored = (1 + np.sign(np.subtract(seconds, firsts, dtype=np.float64))) / 2
    right = scored * paired.second_wins + (1 - scored) * (1 - paired.second_wins)
    of_pair = right.mean(axis=0)
    image = np.unique([str(path) for path in paired.images], return_inverse=True)[1]
    names = ["all"] if paired.categories is None else sorted(set(paired.categories))
    weights = np.zeros((len(names), len(of_pair)))
    if paired.categories is None:
        weights[0] = (1 / np.bincount(image))[image]
    else:
        for row, name in enumerate(names):
            weights[row] = [own == name for own in paired.categories]
    shares = _Shares.of(of_pair, image, weights)
    measures = [
        _measure(
            paired,
            name,
            shares.estimate([row], resamples=resamples, seed=seed),
            references=references,
        )
        for row, name in enumerate(names)
    ]
    if paired.categories is not None:
        mean = shares.estimate(range(len(names)), resamples=resamples, seed=seed)
        measures.append(_measure(paired, "mean", mean, references=references))
    return measures


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shares:
    """How much of each image's pairs is right, by category.

    Attributes:
        right: weight of the pairs that are right.
        weight: of all pairs.
        pairs: how many there are.
    """

    right: Float[np.ndarray, "category image"]
    weight: Float[np.ndarray, "category image"]
    pairs: list[int]

    @classmethod
    def of(
        cls,
        of_pair: Float[np.ndarray, " pair"],
        image: Int[np.ndarray, " pair"],
        weights: Float[np.ndarray, "category pair"],
    ) -> _Shares:
        return cls(
            right=np.stack([np.bincount(image, row * of_pair) for row in weights]),
            weight=np.stack([np.bincount(image, row) for row in weights]),
            pairs=(weights > 0).sum(1).tolist(),
        )

    def estimate(self, rows: Sequence[int], *, resamples: int, seed: int) -> Estimate:
        """The mean over some categories of their shares, with a bootstrap over their images."""
        rows = list(rows)
        images = (self.weight[rows] > 0).any(0)
        right, weight = self.right[rows][:, images].T, self.weight[rows][:, images].T

        def shares(drawn: Float[np.ndarray, "resample image"]) -> Float[np.ndarray, " resample"]:
            # A resample without any image of a category leaves that category out of its mean.
            of_category = drawn @ weight
            share = np.divide(
                drawn @ right,
                of_category,
                out=np.full_like(of_category, np.nan),
                where=of_category > 0,
            )
            return np.nanmean(share, axis=1)

        count = len(right)
        low, high, _ = bootstrap(shares, count, resamples=resamples, seed=seed)
        return Estimate(
            value=float(shares(np.ones((1, count)))[0]),
            low=low,
            high=high,
            n=sum(self.pairs[row] for row in rows),
            undefined=ONE_GROUP if low is None else None,
        )


def _measure(paired: Paired, part: str, estimate: Estimate, *, references: bool) -> Measure:
    printed, where = published_benchmark(paired.benchmark, "accuracy", part, references=references)
    return Measure(
        name="accuracy",
        part=part,
        references=references,
        estimate=estimate,
        published=printed,
        published_in=where,
    )
