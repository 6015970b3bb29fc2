"""Correlations with their intervals, or the reason why they are undefined."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from descscore.errors import OptionError
from descscore.evaluate.statistics import check_rows, estimate, group_numbers
from descscore.extras import imports_of
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Shaped

    Statistic = Callable[[Float[np.ndarray, "resample item"]], Float[np.ndarray, " resample"]]
    """What is computed of each resample from how often each item was drawn."""

CorrelationKind = Literal["pearson", "spearman", "kendall_b", "kendall_c"]

# Below this part of their mean, differences between values are rounding, not data.
_ROUNDING = 1e-13
# Of more items, sorting each resample is quicker than products with a matrix of all pairs.
_ITEMS_IN_MATRIX = 500


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
    if kind not in get_args(CorrelationKind):
        raise OptionError(
            f"kind is {kind!r}; choose one of {', '.join(map(repr, get_args(CorrelationKind)))}"
        )
    return _estimate([x, y], names, partial(_statistic, kind), groups, resamples, seed)


def partial_correlation(
    x: Float[np.ndarray, " item"],
    y: Float[np.ndarray, " same"],
    given: Float[np.ndarray, " as_many"],
    *,
    groups: Shaped[np.ndarray, " group_of"] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    names: tuple[str, str, str] = ("scores", "ratings", "lengths"),
) -> Estimate:
    """Pearson's partial correlation of two values given a third.

    (r_xy - r_xg r_yg) / sqrt((1 - r_xg²) (1 - r_yg²)). The arguments are those of `correlation`.

    Args:
        x: the first value of each item.
        y: the second.
        given: what is controlled for.
        groups: each item's group, resampled whole.
        resamples: number of bootstrap resamples.
        seed: random seed.
        names: what the values are called where a correlation is undefined.

    Raises:
        PairingError: unequal numbers, or a value is not finite.
    """

    def statistic(*values: Float[np.ndarray, " item"]) -> Statistic:
        pairs = [_statistic("pearson", *pair) for pair in itertools.combinations(values, 2)]

        def of_weights(weights: Float[np.ndarray, "resample item"]) -> np.ndarray:
            xy, xg, yg = (of_pair(weights) for of_pair in pairs)
            left = (1 - xg**2) * (1 - yg**2)
            safe = np.where(left > _ROUNDING, left, np.nan)
            return np.clip((xy - xg * yg) / np.sqrt(safe), -1, 1)

        return of_weights

    found = _estimate([x, y, given], names, statistic, groups, resamples, seed)
    if found.value is not None and not np.isfinite(found.value):
        why = f"the {names[2]} alone determine the {names[0]} or the {names[1]}"
        return Estimate(value=None, n=found.n, undefined=why)
    return found


def _estimate(
    values: Sequence[Float[np.ndarray, " _"]],
    names: Sequence[str],
    statistic: Callable[..., Statistic],
    groups: Shaped[np.ndarray, " group_of"] | None,
    resamples: int,
    seed: int,
) -> Estimate:
    n = check_rows(*values) if any(map(len, values)) else 0
    why = undefined_because(values, names)
    if why is not None:
        return Estimate(value=None, n=n, undefined=why)
    if groups is not None:
        check_rows(values[0], groups)
    group_of = group_numbers(groups, n)
    of_weights = statistic(*(array.astype(np.float64) for array in values))
    return estimate(
        lambda drawn: of_weights(drawn[:, group_of]),
        int(group_of.max()) + 1,
        n=n,
        resamples=resamples,
        seed=seed,
    )


def undefined_because(
    values: Sequence[Float[np.ndarray, " item"]], names: Sequence[str]
) -> str | None:
    """Why values have no correlation; None if they have one."""
    n = len(values[0])
    if n < 3:
        return f"there {'is 1 item' if n == 1 else f'are {n} items'}, fewer than 3"
    for array, name in zip(values, names, strict=True):
        if np.ptp(array) <= _ROUNDING * abs(array.mean()):
            return f"all {n} {name} are {array[0]:.6g}"
    return None


def _statistic(
    kind: str, x: Float[np.ndarray, " item"], y: Float[np.ndarray, " item"]
) -> Statistic:
    if kind == "pearson":
        return partial(weighted_pearson, *((values - values.mean())[None] for values in (x, y)))
    a, b = (np.unique(values, return_inverse=True)[1] for values in (x, y))
    if kind == "spearman":
        return lambda weights: weighted_pearson(_ranks(a, weights), _ranks(b, weights), weights)
    if len(x) > _ITEMS_IN_MATRIX:
        return partial(_sorted_kendall, kind, a, b)
    return partial(_kendall, kind, a, b, *(np.sign(v[:, None] - v).astype(float) for v in (a, b)))


def weighted_pearson(
    x: Float[np.ndarray, "#resample item"],
    y: Float[np.ndarray, "#resample item"],
    weights: Float[np.ndarray, "resample item"],
) -> Float[np.ndarray, " resample"]:
    """Pearson's correlation with weights; NaN where one value is the same for all that is drawn."""
    n = weights.sum(1, keepdims=True)
    a, b = (v - (weights * v).sum(1, keepdims=True) / n for v in (x, y))
    covariance, of_x, of_y = ((weights * product).sum(1) for product in (a * b, a * a, b * b))
    smallest = [n[:, 0] * (_ROUNDING * np.abs(v).max()) ** 2 for v in (x, y)]
    varies = (of_x > smallest[0]) & (of_y > smallest[1])
    return np.clip(covariance / np.sqrt(np.where(varies, of_x * of_y, np.nan)), -1, 1)


def _ranks(
    level_of: np.ndarray, weights: Float[np.ndarray, "resample item"]
) -> Float[np.ndarray, "resample item"]:
    """The mean rank of each item's value among what is drawn, less a constant."""
    of_level = _level_weights(level_of, weights)
    return (of_level.cumsum(1) - of_level / 2)[:, level_of]


def _level_weights(
    level_of: np.ndarray, weights: Float[np.ndarray, "resample item"]
) -> Float[np.ndarray, "resample level"]:
    """How often each distinct value is drawn; items have the numbers of their values."""
    order = np.argsort(level_of, kind="stable")
    starts = np.flatnonzero(np.diff(level_of[order], prepend=-1))
    return np.add.reduceat(weights[:, order], starts, axis=1)


def _kendall(
    kind: str,
    a: np.ndarray,
    b: np.ndarray,
    of_a: Float[np.ndarray, "item item"],
    of_b: Float[np.ndarray, "item item"],
    weights: Float[np.ndarray, "resample item"],
) -> Float[np.ndarray, " resample"]:
    """Kendall's tau from the excess of concordant over discordant pairs.

    tau-b = excess / sqrt(P_a P_b) with P pairs that are not tied in a value (Kendall 1945); tau-c =
    2 excess / (n² (m - 1) / m) with m the smaller number of distinct values (Stuart 1953).

    Args:
        kind: "kendall_b" or "kendall_c".
        a: the first value of each item, as a number of a distinct value.
        b: the second.
        of_a: for each pair of items the sign of the difference of the first value.
        of_b: of the second.
        weights: how often each item is drawn.
    """

    def pairs(signs: Float[np.ndarray, "item item"]) -> Float[np.ndarray, " resample"]:
        return ((weights @ signs) * weights).sum(1) / 2

    excess, in_a, in_b = pairs(of_a * of_b), pairs(of_a**2), pairs(of_b**2)
    varies = (in_a > 0) & (in_b > 0)
    if kind == "kendall_b":
        return np.clip(excess / np.sqrt(np.where(varies, in_a * in_b, np.nan)), -1, 1)
    m = np.minimum(*((_level_weights(v, weights) > 0).sum(1) for v in (a, b)))
    return 2 * excess / (weights.sum(1) ** 2 * np.where(varies, (m - 1) / m, np.nan))


def _sorted_kendall(
    kind: str, a: np.ndarray, b: np.ndarray, weights: Float[np.ndarray, "resample item"]
) -> Float[np.ndarray, " resample"]:
    with imports_of("evaluate"):
        from scipy.stats import kendalltau

    found = []
    for row in weights.astype(np.int64):
        drawn = np.repeat(np.arange(len(row)), row)
        tau: Any = kendalltau(a[drawn], b[drawn], variant=kind[-1], method="asymptotic")
        found.append(tau.statistic)
    return np.array(found)
