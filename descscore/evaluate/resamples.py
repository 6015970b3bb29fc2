"""The bootstrap of all evaluations: groups of items are drawn and weighted by their counts.

Drawing a group c times gives its items the weight c, and with weights the means and correlations of
thousands of resamples are a few products of matrices.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
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
# Their matrix takes 72 MB; more are sorted for each resample.
_UNITS_IN_MATRIX = 3_000


def bootstrap(
    statistic: Callable[[Float[np.ndarray, "resample group"]], Float[np.ndarray, " resample"]],
    groups: int,
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float | None, float | None, int]:
    """Percentile bootstrap (Efron 1979): each resample draws as many groups as there are.

    Args:
        statistic: computes the statistic of some resamples from the groups' counts; NaN where it
            is undefined.
        groups: number of groups, drawn with replacement.
        resamples: number of bootstrap resamples.
        seed: random seed.

    Returns:
        Both ends of the 95% interval, and the number of resamples without a value, which are
        ignored. No ends for fewer than two groups, or if no resample has a value.
    """
    if groups < 2:
        return None, None, 0
    rng = np.random.default_rng(seed)
    at_once = max(1, _ELEMENTS_AT_ONCE // groups)
    parts = [
        statistic(_draw(rng, min(at_once, resamples - first), groups))
        for first in range(0, resamples, at_once)
    ]
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
    low, high, degenerate = bootstrap(statistic, groups, resamples=resamples, seed=seed)
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


def weighted_correlations(
    kind: str, values: Sequence[Float[np.ndarray, " item"]], group_of: Int[np.ndarray, " item"]
) -> Callable[[Float[np.ndarray, "resample group"]], Float[np.ndarray, "pair resample"]]:
    """What gives the correlations of resamples from how often each group was drawn.

    For each pair of variables in the order of `itertools.combinations`; NaN where one of the two is
    constant in the resample.

    Args:
        kind: "pearson", "spearman", "kendall_b" or "kendall_c".
        values: two variables or more.
        group_of: each item's group, counted from 0.
    """
    variables = [_Variable.of(array) for array in values]
    pairs = list(itertools.combinations(variables, 2))
    matrices = []
    if kind.startswith("kendall") and group_of.max() < _UNITS_IN_MATRIX:
        matrices = [_concordance(x, y, group_of) for x, y in pairs]

    def of_weights(
        drawn: Float[np.ndarray, "resample group"],
    ) -> Float[np.ndarray, "pair resample"]:
        at_once = max(1, _ELEMENTS_AT_ONCE // len(group_of))
        parts = []
        for first in range(0, len(drawn), at_once):
            some = drawn[first : first + at_once]
            weights = some[:, group_of]
            if kind == "pearson":
                parts.append([_pearson(x, y, weights) for x, y in pairs])
            elif kind == "spearman":
                parts.append([_spearman(x, y, weights) for x, y in pairs])
            elif matrices:
                excess = [((some @ matrix) * some).sum(1) / 2 for matrix in matrices]
                parts.append(
                    [
                        _kendall(kind, x, y, weights, of_pair)
                        for (x, y), of_pair in zip(pairs, excess, strict=True)
                    ]
                )
            else:
                parts.append([_sorted_kendall(kind, x, y, weights) for x, y in pairs])
        return np.concatenate(parts, axis=1)

    return of_weights


@dataclass(frozen=True, kw_only=True)
class _Variable:
    """A variable and its distinct values, the levels.

    Attributes:
        centred: the values less their mean.
        level_of: for each item the rank of its level, from 0.
        order: items sorted by level.
        starts: where in `order` each level begins.
    """

    centred: Float[np.ndarray, " item"]
    level_of: Int[np.ndarray, " item"]
    order: Int[np.ndarray, " item"]
    starts: Int[np.ndarray, " level"]

    @classmethod
    def of(cls, values: Float[np.ndarray, " item"]) -> _Variable:
        level_of = np.unique(values, return_inverse=True)[1]
        order = np.argsort(level_of, kind="stable")
        starts = np.flatnonzero(np.diff(level_of[order], prepend=-1))
        return cls(centred=values - values.mean(), level_of=level_of, order=order, starts=starts)

    def level_weights(
        self, weights: Float[np.ndarray, "resample item"]
    ) -> Float[np.ndarray, "resample level"]:
        """How often each level is drawn."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)


def _draw(rng: np.random.Generator, resamples: int, groups: int) -> Float[np.ndarray, "r g"]:
    """How often each group is drawn in each resample."""
    drawn = rng.integers(groups, size=(resamples, groups))
    drawn += groups * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * groups)
    return counts.reshape(resamples, groups).astype(np.float64)


def _pearson(
    x: _Variable, y: _Variable, weights: Float[np.ndarray, "resample item"]
) -> Float[np.ndarray, " resample"]:
    a, b = x.centred, y.centred
    moments = weights @ np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], axis=1)
    n, of_a, of_b, of_aa, of_bb, of_ab = moments.T
    return _ratio(
        of_ab - of_a * of_b / n,
        of_aa - of_a**2 / n,
        of_bb - of_b**2 / n,
        _varies(x.level_weights(weights)) & _varies(y.level_weights(weights)),
    )


def _spearman(
    x: _Variable, y: _Variable, weights: Float[np.ndarray, "resample item"]
) -> Float[np.ndarray, " resample"]:
    n = weights.sum(1, keepdims=True)
    ranks = []
    varies = np.ones(len(weights), dtype=bool)
    for variable in (x, y):
        drawn = variable.level_weights(weights)
        varies &= _varies(drawn)
        # The mean rank of each level, less a constant.
        of_level = drawn.cumsum(1) - drawn / 2
        of_item = of_level[:, variable.level_of]
        ranks.append(of_item - (weights * of_item).sum(1, keepdims=True) / n)
    a, b = ranks
    sums = [(weights * product).sum(1) for product in (a * b, a * a, b * b)]
    return _ratio(sums[0], sums[1], sums[2], varies)


def _kendall(
    kind: str,
    x: _Variable,
    y: _Variable,
    weights: Float[np.ndarray, "resample item"],
    excess: Float[np.ndarray, " resample"],
) -> Float[np.ndarray, " resample"]:
    """Kendall's tau from the excess of concordant over discordant pairs.

    tau-b = excess / sqrt((P - T_x)(P - T_y)) with P pairs, T_x of them tied in x (Kendall 1945);
    tau-c = 2 excess / (n² (m - 1) / m) with m the smaller number of levels (Stuart 1953).
    """
    n = weights.sum(1)
    of_x, of_y = x.level_weights(weights), y.level_weights(weights)
    varies = _varies(of_x) & _varies(of_y)
    if kind == "kendall_b":
        left = [n * (n - 1) / 2 - (w * (w - 1)).sum(1) / 2 for w in (of_x, of_y)]
        return _ratio(excess, left[0], left[1], varies)
    m = np.where(varies, np.minimum((of_x > 0).sum(1), (of_y > 0).sum(1)), np.nan)
    return 2 * excess / (n**2 * (m - 1) / m)


def _sorted_kendall(
    kind: str, x: _Variable, y: _Variable, weights: Float[np.ndarray, "resample item"]
) -> Float[np.ndarray, " resample"]:
    with imports_of("evaluate"):
        from scipy.stats import kendalltau

    varies = _varies(x.level_weights(weights)) & _varies(y.level_weights(weights))
    found = np.full(len(weights), np.nan)
    for row in np.flatnonzero(varies):
        items = np.repeat(np.arange(weights.shape[1]), weights[row].astype(np.int64))
        found[row] = kendalltau(
            x.level_of[items], y.level_of[items], variant=kind[-1], method="asymptotic"
        )[0]
    return found


def _concordance(
    x: _Variable, y: _Variable, group_of: Int[np.ndarray, " item"]
) -> Float[np.ndarray, "group group"]:
    """Concordant less discordant pairs of items between every two groups, each pair both ways."""
    order = np.argsort(group_of, kind="stable")
    a, b, group = (rows[order].astype(np.int32) for rows in (x.level_of, y.level_of, group_of))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    matrix = np.zeros((len(starts), len(starts)))
    at_once = max(1, _ELEMENTS_AT_ONCE // len(a))
    for first in range(0, len(a), at_once):
        rows = slice(first, first + at_once)
        signs = np.sign(a[rows, None] - a) * np.sign(b[rows, None] - b)
        np.add.at(matrix, group[rows], np.add.reduceat(signs, starts, axis=1))
    return matrix


def _varies(level_weights: Float[np.ndarray, "resample level"]) -> np.ndarray:
    """Whether a resample holds two levels or more."""
    return (level_weights > 0).sum(1) > 1


def _ratio(
    covariance: Float[np.ndarray, " resample"],
    of_x: Float[np.ndarray, " resample"],
    of_y: Float[np.ndarray, " resample"],
    varies: np.ndarray,
) -> Float[np.ndarray, " resample"]:
    """Covariance over the root of the variances, which rounding may take below zero."""
    product = np.where(varies & (of_x > 0) & (of_y > 0), of_x * of_y, np.nan)
    return np.clip(covariance / np.sqrt(product), -1, 1)
