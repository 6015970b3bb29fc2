"""Benchmarks in which one of two captions is right: how often it scores higher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.evaluate.benchmarks.published import published
from descscore.evaluate.benchmarks.results import Measure
from descscore.evaluate.statistics import bootstrap

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Bool, Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """Pairs of captions, one entry a pair.

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

    With categories, each of them by itself and their mean, every category counting the same.
    Without, the mean over images of the share of an image's pairs.

    Args:
        paired: the pairs.
        firsts: scores of the first captions, for each draw of references.
        seconds: scores of the second captions.
        references: the scores are reference-augmented.
        resamples: of the bootstrap, which draws whole images.
        seed: of the bootstrap.
    """
    # Half of a tie, in either of the two: the expectation of breaking it at random.
    scored = (1 + np.sign(np.subtract(seconds, firsts, dtype=np.float64))) / 2
    right = scored * paired.second_wins + (1 - scored) * (1 - paired.second_wins)
    of_pair = right.mean(axis=0)
    _, image = np.unique([str(path) for path in paired.images], return_inverse=True)
    count = int(image.max()) + 1
    every = np.ones(len(of_pair), dtype=bool)
    if paired.categories is None:
        share = np.bincount(image, of_pair, count) / np.bincount(image, minlength=count)
        low, high = _interval(np.mean, share, resamples=resamples, seed=seed)
        return [_measure(paired, "all", len(of_pair), float(share.mean()), low, high, references)]
    names = list(dict.fromkeys(paired.categories))
    chosen = {name: np.array([own == name for own in paired.categories]) for name in sorted(names)}
    measures = []
    for name, part in chosen.items():
        rows = _sums(of_pair, image, count, part)
        rows = [row[rows[1] > 0] for row in rows]
        low, high = _interval(_ratio, *rows, resamples=resamples, seed=seed)
        n = int(part.sum())
        measures.append(
            _measure(paired, name, n, float(of_pair[part].mean()), low, high, references)
        )
    rows = [row for part in chosen.values() for row in _sums(of_pair, image, count, part)]
    low, high = _interval(_mean_ratio, *rows, resamples=resamples, seed=seed)
    mean = float(np.mean([of_pair[part].mean() for part in chosen.values()]))
    return [
        *measures,
        _measure(paired, "mean", int(every.sum()), mean, low, high, references),
    ]


def _sums(
    of_pair: Float[np.ndarray, " pair"],
    image: np.ndarray,
    count: int,
    part: Bool[np.ndarray, " pair"],
) -> list[np.ndarray]:
    """For each image, how much of its pairs of one category is right, and how many there are."""
    return [
        np.bincount(image[part], of_pair[part], count),
        np.bincount(image[part], minlength=count).astype(np.float64),
    ]


def _ratio(right: np.ndarray, pairs: np.ndarray, axis: int = -1) -> np.ndarray:
    return right.sum(axis=axis) / pairs.sum(axis=axis)


def _mean_ratio(*rows: np.ndarray, axis: int = -1) -> np.ndarray:
    # A resample without any image of a category leaves that category out of its mean.
    right = np.stack([row.sum(axis=axis) for row in rows[::2]])
    pairs = np.stack([row.sum(axis=axis) for row in rows[1::2]])
    share = np.divide(right, pairs, out=np.zeros_like(right), where=pairs > 0)
    return share.sum(axis=0) / (pairs > 0).sum(axis=0)


def _interval(
    statistic: object, *rows: np.ndarray, resamples: int, seed: int
) -> tuple[float | None, float | None]:
    if len(rows[0]) < 2:
        return None, None
    found = bootstrap(statistic, *rows, resamples=resamples, seed=seed)  # pyright: ignore
    return found.low, found.high


def _measure(
    paired: Paired,
    part: str,
    n: int,
    value: float,
    low: float | None,
    high: float | None,
    references: bool,
) -> Measure:
    printed, where = published(paired.benchmark, "accuracy", part, references=references)
    return Measure(
        name="accuracy",
        part=part,
        references=references,
        n=n,
        value=value,
        low=low,
        high=high,
        undefined=None if low is not None else "all pairs are of one image: there is no interval",
        published=printed,
        published_in=where,
    )
