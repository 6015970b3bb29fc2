"""Shares, means over seeds and paired tests, for all evaluations; scipy does what it can."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import PairingError
from descscore.evaluate.resamples import check_rows
from descscore.extras import imports_of
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

_ELEMENTS_AT_ONCE = 400_000


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

    Tries all swaps of pairs if there are at most `resamples` of them, else random ones
    (scipy's `permutation_test`).

    Returns:
        p in (0, 1]; 1 if no pair differs.

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
