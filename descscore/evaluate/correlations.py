"""Correlations with their intervals, or the reason why they are undefined."""

from __future__ import annotations

import itertools
import math
import operator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from descscore.errors import OptionError
from descscore.evaluate.resamples import (
    check_rows,
    estimate,
    group_numbers,
    weighted_correlations,
)
from descscore.extras import imports_of
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Shaped

CorrelationKind = Literal["pearson", "spearman", "kendall_b", "kendall_c"]

# Below this part of their mean, differences between values are rounding, not data.
_ROUNDING = 1e-13


def correlation(
    x: Float[np.ndarray, " item"],
    y: Float[np.ndarray, " same"],
    kind: str = "pearson",
    *,
    groups: Shaped[np.ndarray, " group_of"] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    names: tuple[str, str] = ("scores", "ratings"),
) -> Estimate:
    """Correlate two values of each item, with a percentile bootstrap over items.

    Kendall's tau of more than 3,000 items (or groups) takes one sort per resample: with 17,000
    items, about a minute for 10,000 resamples.

    Args:
        x: the first value of each item.
        y: the second.
        kind: "pearson", "spearman", "kendall_b" or "kendall_c".
        groups: each item's group; whole groups are then resampled, as items of the same group are
            not independent. By default, items are resampled.
        resamples: number of bootstrap resamples.
        seed: random seed.
        names: what the values are called where a correlation is undefined.

    Raises:
        OptionError: there is no such kind.
        PairingError: unequal numbers, or a value is not finite.
    """
    return _correlate(
        [x, y], kind, groups=groups, resamples=resamples, seed=seed, names=names, partial=False
    )


def partial_correlation(
    x: Float[np.ndarray, " item"],
    y: Float[np.ndarray, " same"],
    given: Float[np.ndarray, " as_many"],
    kind: str = "pearson",
    *,
    groups: Shaped[np.ndarray, " group_of"] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    names: tuple[str, str, str] = ("scores", "ratings", "lengths"),
) -> Estimate:
    """Partial correlation of two values given a third.

    (r_xy - r_xg r_yg) / sqrt((1 - r_xg²) (1 - r_yg²)); of ranks for "spearman", and of tau-b for
    "kendall_b" (Kendall 1942). The arguments are those of `correlation`.

    Args:
        x: the first value of each item.
        y: the second.
        given: what is controlled for.
        kind: "pearson", "spearman" or "kendall_b".
        groups: each item's group, resampled whole.
        resamples: number of bootstrap resamples.
        seed: random seed.
        names: what the values are called where a correlation is undefined.

    Raises:
        OptionError: there is no such kind of partial correlation.
        PairingError: unequal numbers, or a value is not finite.
    """
    if kind == "kendall_c":
        raise OptionError("tau-c has no partial correlation; choose 'kendall_b'")
    return _correlate(
        [x, y, given],
        kind,
        groups=groups,
        resamples=resamples,
        seed=seed,
        names=names,
        partial=True,
    )


def _correlate(
    values: Sequence[Float[np.ndarray, " _"]],
    kind: str,
    *,
    groups: Shaped[np.ndarray, " group_of"] | None,
    resamples: int,
    seed: int,
    names: Sequence[str],
    partial: bool,
) -> Estimate:
    if kind not in get_args(CorrelationKind):
        raise OptionError(
            f"kind is {kind!r}; choose one of {', '.join(map(repr, get_args(CorrelationKind)))}"
        )
    n = check_rows(*values) if any(map(len, values)) else 0
    arrays = [array.astype(np.float64) for array in values]
    why = _why_undefined(arrays, names)
    if why is not None:
        return Estimate(value=None, n=n, undefined=why)
    pairs = list(itertools.combinations(arrays, 2))
    of_pairs = np.array([[_value(kind, *pair)] for pair in pairs])
    combine = _partial if partial else operator.itemgetter(0)
    value = float(combine(of_pairs)[0])
    if not math.isfinite(value):
        why = f"the {names[2]} alone determine the {names[0]} or the {names[1]}"
        return Estimate(value=None, n=n, undefined=why)
    if groups is not None:
        check_rows(arrays[0], groups)
    group_of = group_numbers(groups, n)
    weighted = weighted_correlations(kind, arrays, group_of)
    return estimate(
        lambda weights: combine(weighted(weights)),
        int(group_of.max()) + 1,
        n=n,
        value=value,
        resamples=resamples,
        seed=seed,
    )


def _why_undefined(
    arrays: Sequence[Float[np.ndarray, " item"]], names: Sequence[str]
) -> str | None:
    n = len(arrays[0])
    if n < 3:
        return f"there {'is 1 item' if n == 1 else f'are {n} items'}, fewer than 3"
    for array, name in zip(arrays, names, strict=True):
        if np.ptp(array) <= _ROUNDING * abs(array.mean()):
            return f"all {n} {name} are {array[0]:.6g}"
    return None


def _value(kind: str, x: Float[np.ndarray, " item"], y: Float[np.ndarray, " same"]) -> float:
    with imports_of("evaluate"):
        from scipy.stats import kendalltau, pearsonr, spearmanr

    if kind == "pearson":
        found: Any = pearsonr(x, y)
    elif kind == "spearman":
        found = spearmanr(x, y)
    else:
        found = kendalltau(x, y, variant=kind[-1])
    return float(found.statistic)


def _partial(of_pairs: Float[np.ndarray, "3 value"]) -> Float[np.ndarray, " value"]:
    """From the correlations of x and y, x and g, y and g; NaN where g determines x or y."""
    xy, xg, yg = of_pairs
    left = (1 - xg**2) * (1 - yg**2)
    safe = np.where(left > _ROUNDING, left, np.nan)
    return np.clip((xy - xg * yg) / np.sqrt(safe), -1, 1)
