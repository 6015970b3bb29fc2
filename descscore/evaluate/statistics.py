"""Estimates with their intervals, for all evaluations: shares, means, seeds, and the bootstrap.

In the bootstrap, groups of items are drawn and weighted by their counts. Drawing a group c times
gives its items the weight c, and with weights the means and correlations of thousands of resamples
are a few products of arrays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import PairingError
from descscore.extras import imports_of
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int, Shaped

ONE_GROUP = "all items are of one group, so there is no interval"
NO_RESAMPLE = "it is undefined in every resample, so there is no interval"
"""Why an estimate has no interval."""

_ELEMENTS_AT_ONCE = 2_000_000


def bootstrap(
    statistic: Callable[[Float[np.ndarray, "resample group"]], Float[np.ndarray, " resample"]],
    groups: int,
    *,
    items: int = 1,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float | None, float | None, int]:
    """Percentile bootstrap (Efron 1979): each resample draws as many groups as there are.

    Args:
        statistic: computes the statistic of some resamples from the groups' counts; NaN where it
            is undefined.
        groups: number of groups, drawn with replacement.
        items: number of items, for which the statistic needs memory.
        resamples: number of bootstrap resamples.
        seed: random seed.

    Returns:
        Both ends of the 95% interval, and the number of resamples without a value, which are
        ignored. No ends for fewer than two groups, or if no resample has a value.
    """
    if groups < 2:
        return None, None, 0
    rng = np.random.default_rng(seed)
    at_once = max(1, _ELEMENTS_AT_ONCE // max(groups, items))
    parts = []
    for first in range(0, resamples, at_once):
        rows = min(at_once, resamples - first)
        drawn = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        parts.append(statistic(counts.astype(np.float64)))
    values = np.concatenate(parts)
    defined = values[np.isfinite(values)]
    if not len(defined):
        return None, None, resamples
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high), resamples - len(defined)


def estimate(
    statistic: Callable[[Float[np.ndarray, "resample group"]], Float[np.ndarray, " resample"]],
    groups: int,
    *,
    n: int,
    value: float | None = None,
    ties: int | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """A statistic with the interval of its bootstrap, or why it has none.

    Args:
        statistic: as for `bootstrap`.
        groups: number of groups.
        n: number of items.
        value: of the statistic; by default computed with every group counted once.
        ties: number of ties, stored in the result.
        resamples: number of bootstrap resamples.
        seed: random seed.
    """
    low, high, degenerate = bootstrap(statistic, groups, items=n, resamples=resamples, seed=seed)
    why = None
    if low is None:
        why = NO_RESAMPLE if degenerate else ONE_GROUP
    return Estimate(
        value=float(statistic(np.ones((1, groups)))[0]) if value is None else value,
        low=low,
        high=high,
        n=n,
        ties=ties,
        undefined=why,
        degenerate=degenerate,
    )


def estimate_mean(
    values: Shaped[np.ndarray, " item"],
    groups: Shaped[np.ndarray, " group_of"] | None = None,
    *,
    ties: int | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """The mean of items with a bootstrap interval over their groups.

    Args:
        values: the items' values.
        groups: each item's group, such as its image; by default each item is its own group.
        ties: number of ties, stored in the result.
        resamples: number of bootstrap resamples.
        seed: random seed.

    Raises:
        PairingError: no values, unequal numbers, or a value is not finite.
    """
    n = check_rows(values) if groups is None else check_rows(values, groups)
    group_of = group_numbers(groups, n)
    sums = np.bincount(group_of, values.astype(np.float64))
    sizes = np.bincount(group_of).astype(np.float64)
    return estimate(
        lambda weights: (weights @ sums) / (weights @ sizes),
        len(sizes),
        n=n,
        value=float(values.mean(dtype=np.float64)),
        ties=ties,
        resamples=resamples,
        seed=seed,
    )


def group_numbers(groups: Shaped[np.ndarray, " _"] | None, n: int) -> Int[np.ndarray, " item"]:
    """The group of each of n items as a number from 0; without groups, one each."""
    return np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]


def check_rows(*samples: Shaped[np.ndarray, "..."]) -> int:
    """The number of rows that the samples share.

    Raises:
        PairingError: there are none, unequal numbers, or a value is not finite.
    """
    lengths = [len(sample) for sample in samples]
    if any(sample.ndim != 1 for sample in samples) or not lengths or len(set(lengths)) > 1:
        raise PairingError(
            f"values of shapes {', '.join(str(sample.shape) for sample in samples)} do not "
            "match; give one of each for every item"
        )
    if not lengths[0]:
        raise PairingError("there are no values; give one or more")
    for sample in samples:
        if sample.dtype.kind == "f" and not np.isfinite(sample).all():
            row = int(np.flatnonzero(~np.isfinite(sample))[0])
            raise PairingError(
                f"value {row} is {sample[row]} ({int((~np.isfinite(sample)).sum())} are not "
                "finite); omit what failed"
            )
    return lengths[0]


def wilson(successes: int, n: int, *, ties: int | None = None) -> Estimate:
    """A share with Wilson's 95% interval (Wilson 1927).

    Args:
        successes: number of successes.
        n: number of cases.
        ties: number of ties, stored in the result.

    Raises:
        PairingError: no cases, or more successes than cases.
    """
    with imports_of("evaluate"):
        from scipy.stats import binomtest

    if n < 1 or not 0 <= successes <= n:
        raise PairingError(f"{successes} of {n} cases have no share; give one case or more")
    found = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return Estimate(
        value=successes / n, low=float(found.low), high=float(found.high), n=n, ties=ties
    )


def seed_interval(values: Sequence[float]) -> Estimate:
    """Mean over seeds with its 95% t-interval; a single value has no interval.

    Raises:
        PairingError: no value, or one is NaN.
    """
    with imports_of("evaluate"):
        from scipy.stats import t

    array = np.asarray(values, dtype=np.float64)
    n = check_rows(array)
    mean = float(array.mean())
    if n < 2:
        return Estimate(value=mean, n=n, undefined="one seed has no interval")
    half = float(t.ppf(0.975, n - 1) * array.std(ddof=1) / math.sqrt(n))
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n)


def paired_permutation(
    a: Float[np.ndarray, " item"],
    b: Float[np.ndarray, " same"],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p of the mean difference between paired values, if the two were exchangeable.

    Tries all swaps of pairs if there are at most `resamples` of them (scipy's `permutation_test`),
    else random ones (its `monte_carlo_test` of differences with random signs, which is the same).

    Returns:
        p in (0, 1]; 1 if no pair differs.

    Raises:
        PairingError: no pairs, unequal numbers, or a value is NaN.
    """
    with imports_of("evaluate"):
        from scipy.stats import monte_carlo_test, permutation_test

    n = check_rows(a, b)
    if n == 1 or np.array_equal(a, b):
        # Swapping one pair gives the same difference with the other sign.
        return 1.0
    differences = a.astype(np.float64) - b.astype(np.float64)
    if 2**n <= resamples:
        found = permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=resamples
        )
    else:
        rng = np.random.default_rng(seed)
        found = monte_carlo_test(
            differences,
            lambda size: np.where(rng.integers(2, size=size, dtype=np.int8), 1, -1) * differences,
            np.mean,
            n_resamples=resamples,
            batch=max(1, _ELEMENTS_AT_ONCE // n),
        )
    return float(found.pvalue)
