"""Intervals, correlations and tests, seeded, for all evaluations; scipy does what it can."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import PairingError
from descscore.evaluate.correlations import Correlation, correlation, partial_correlation
from descscore.evaluate.rows import check_rows
from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Shaped

__all__ = [
    "Correlation",
    "Interval",
    "bootstrap",
    "correlation",
    "paired_permutation",
    "partial_correlation",
    "seed_interval",
    "wilson",
]

_ELEMENTS_AT_ONCE = 400_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval: of 95% unless asked otherwise.

    Attributes:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval for a share (Wilson 1927).

    Args:
        successes: cases that count.
        n: all cases.
        confidence: of the interval, in (0, 1).

    Raises:
        PairingError: no cases, or more successes than cases.
    """
    with imports_of("evaluate"):
        from scipy.stats import binomtest

    if n < 1 or not 0 <= successes <= n:
        raise PairingError(f"{successes} of {n} cases have no share; give one case or more")
    found = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(low=float(found.low), high=float(found.high))


def bootstrap(
    statistic: Callable[..., object],
    *samples: Shaped[np.ndarray, " _"],
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap (Efron 1979): rows are drawn with replacement, the samples' jointly.

    Args:
        statistic: a number from the samples. One with an argument `axis`, such as `np.mean`, is
            given many resamples at once, which is far quicker.
        *samples: one value a row each.
        resamples: how many are drawn.
        confidence: of the interval, in (0, 1).
        seed: of the draws.

    Raises:
        PairingError: fewer than two rows, unequal numbers of rows, a value is NaN, or the statistic
            is undefined in a resample.
    """
    with imports_of("evaluate"):
        from scipy.stats import DegenerateDataWarning
        from scipy.stats import bootstrap as scipy_bootstrap

    n = check_rows(*samples)
    if n < 2:
        raise PairingError("a bootstrap of one row says nothing; give two rows or more")
    with warnings.catch_warnings():
        # Said below, with what it means here.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = scipy_bootstrap(
            samples,
            statistic,
            n_resamples=resamples,
            batch=max(1, min(resamples, _ELEMENTS_AT_ONCE // (n * len(samples)))),
            paired=True,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    undefined = int((~np.isfinite(found.bootstrap_distribution)).sum())
    if undefined:
        raise PairingError(
            f"the statistic is undefined in {undefined:,} of {resamples:,} resamples; its interval "
            "needs more rows, or rows that differ more"
        )
    return Interval(
        low=float(found.confidence_interval.low), high=float(found.confidence_interval.high)
    )


def seed_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean over seeds, and half the width of its 95% t-interval.

    Returns:
        The half-width is None for a single value, whose spread is unknown.

    Raises:
        PairingError: no value, or one is NaN.
    """
    with imports_of("evaluate"):
        from scipy.stats import t

    array = np.asarray(values, dtype=np.float64)
    n = check_rows(array)
    if n < 2:
        return float(array.mean()), None
    half = t.ppf(0.975, n - 1) * array.std(ddof=1) / math.sqrt(n)
    return float(array.mean()), float(half)


def paired_permutation(
    a: Float[np.ndarray, " item"],
    b: Float[np.ndarray, " same"],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p of the mean difference between paired values, if the two were exchangeable.

    Every swap of pairs is tried where there are no more than `resamples` of them, random ones
    otherwise (scipy's `permutation_test`).

    Returns:
        p in (0, 1]; 1 where no pair differs.

    Raises:
        PairingError: no pairs, unequal numbers, or a value is NaN.
    """
    with imports_of("evaluate"):
        from scipy.stats import permutation_test

    n = check_rows(a, b)
    if n == 1 or np.array_equal(a, b):
        # Swapping one pair gives the same difference with the other sign.
        return 1.0
    found = permutation_test(
        (a.astype(np.float64), b.astype(np.float64)),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _ELEMENTS_AT_ONCE // (2 * n)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
