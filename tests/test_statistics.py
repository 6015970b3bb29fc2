"""Intervals, correlations and tests against closed forms and scipy."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import scipy.stats

from descscore.errors import OptionError, PairingError
from descscore.evaluate import correlations, statistics
from descscore.evaluate.correlations import correlation, partial_correlation
from descscore.evaluate.statistics import (
    bootstrap,
    estimate_mean,
    paired_permutation,
    seed_interval,
    wilson,
)

KINDS = ["pearson", "spearman", "kendall_b", "kendall_c"]
SCIPY = {
    "pearson": lambda x, y: scipy.stats.pearsonr(x, y)[0],
    "spearman": lambda x, y: scipy.stats.spearmanr(x, y)[0],
    "kendall_b": lambda x, y: scipy.stats.kendalltau(x, y, variant="b")[0],
    "kendall_c": lambda x, y: scipy.stats.kendalltau(x, y, variant="c")[0],
}


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated values, the second with many ties."""
    x = np.random.default_rng(seed).normal(size=n)
    return x, np.round(x + np.random.default_rng(seed + 1).normal(size=n))


def test_wilsons_interval_is_the_roots_of_its_equation():
    # Wilson (1927) for 8 of 10: the roots of (p - 0.8)^2 = z^2 p (1 - p) / 10.
    z = 1.959963984540054
    roots = sorted(np.roots([1 + z**2 / 10, -(1.6 + z**2 / 10), 0.64]))
    found = wilson(8, 10)
    assert [found.low, found.high] == pytest.approx(roots)
    assert wilson(0, 5).low == 0
    assert wilson(5, 5).high == 1


def test_the_bootstrap_of_a_mean_is_as_wide_as_the_central_limit_theorem_says():
    values = np.random.default_rng(0).normal(size=1000)
    found = estimate_mean(values)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_bootstrap_is_scipys_of_the_same_draws():
    values = np.random.default_rng(0).exponential(size=80)
    found = estimate_mean(values, resamples=500, seed=3)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert estimate_mean(values, seed=1) == estimate_mean(values, seed=1)
    assert estimate_mean(values, seed=1) != estimate_mean(values, seed=2)


def test_a_mean_over_groups_is_resampled_by_groups_of_any_size():
    values = np.random.default_rng(0).normal(size=60)
    groups = np.repeat(np.arange(10), [1, 11] * 5)
    found = estimate_mean(values, groups, resamples=2000)
    means = []
    for drawn in np.random.default_rng(0).integers(10, size=(2000, 10)):
        means.append(np.concatenate([values[groups == group] for group in drawn]).mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))
    assert (found.value, found.n) == (pytest.approx(values.mean()), 60)


def test_the_interval_over_seeds_is_students():
    values = [0.90, 0.91, 0.89, 0.92, 0.88]
    found = seed_interval(values)
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.half_width == pytest.approx((high - low) / 2)
    assert (seed_interval([0.9]).value, seed_interval([0.9]).half_width) == (0.9, None)


def test_few_pairs_are_permuted_in_every_way():
    # All of five differences positive: 2 of the 32 sign flips are as extreme.
    assert paired_permutation(np.arange(5.0) + 1, np.arange(5.0)) == pytest.approx(2 / 32)
    assert paired_permutation(np.arange(5.0), np.arange(5.0)) == 1
    assert paired_permutation(np.array([3.0]), np.array([1.0])) == 1


def test_many_pairs_are_permuted_at_random_and_agree_with_the_t_test():
    rng = np.random.default_rng(3)
    a = rng.normal(size=200)
    b = a + rng.normal(loc=0.12, size=200)
    found = paired_permutation(a, b)
    assert found == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, abs=0.02)
    assert found == paired_permutation(b, a)
    assert 0 < paired_permutation(a, a + 1) < 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_a_correlation_is_scipys(kind: str):
    x, y = made(50)
    found = correlation(x, y, kind, resamples=500)
    assert found.value == pytest.approx(SCIPY[kind](x, y))
    assert (found.n, found.undefined, found.degenerate) == (50, None, 0)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_resamples_correlation_is_scipys_of_the_rows_drawn(
    kind: str, grouped: bool, monkeypatch: pytest.MonkeyPatch
):
    x, y = made(24)
    group_of = np.random.default_rng(2).permutation(np.arange(24) // (4 if grouped else 1))
    groups = group_of.max() + 1
    expected = []
    for drawn in np.random.default_rng(7).integers(groups, size=(30, groups)):
        rows = np.concatenate([np.flatnonzero(group_of == group) for group in drawn])
        expected.append(SCIPY[kind](x[rows], y[rows]))
    low_and_high = np.percentile(expected, [2.5, 97.5])
    # The same where resamples are taken in parts, and where each is sorted.
    for elements, items in ((2_000_000, 500), (7 * 24, 500), (2_000_000, 0)):
        monkeypatch.setattr(statistics, "_ELEMENTS_AT_ONCE", elements)
        monkeypatch.setattr(correlations, "_ITEMS_IN_MATRIX", items)
        found = correlation(x, y, kind, groups=group_of, resamples=30, seed=7)
        assert [found.low, found.high] == pytest.approx(list(low_and_high))


def test_pearsons_interval_is_fishers_for_normal_values():
    rng = np.random.default_rng(5)
    x = rng.normal(size=2000)
    y = 0.5 * x + rng.normal(size=2000)
    found = correlation(x, y)
    fisher = scipy.stats.pearsonr(x, y).confidence_interval(0.95)
    assert [found.low, found.high] == pytest.approx(list(fisher), abs=0.005)


def test_whole_groups_are_resampled():
    # Ten copies of each of 20 items hold no more than the 20: the interval is that of 20.
    x, y = made(20)
    alone = correlation(x, y, resamples=4000)
    copies = correlation(
        np.repeat(x, 10), np.repeat(y, 10), groups=np.repeat(np.arange(20), 10), resamples=4000
    )
    as_if_independent = correlation(np.repeat(x, 10), np.repeat(y, 10), resamples=4000)
    assert [copies.low, copies.high] == pytest.approx([alone.low, alone.high])
    assert as_if_independent.high - as_if_independent.low < (alone.high - alone.low) / 2


def test_a_partial_correlation_is_that_of_the_residuals():
    rng = np.random.default_rng(1)
    length = rng.normal(size=60)
    x = length + rng.normal(size=60)
    y = length + rng.normal(size=60)
    design = np.stack([np.ones(60), length], axis=1)
    left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
    found = partial_correlation(x, y, length, resamples=500)
    assert found.value == pytest.approx(scipy.stats.pearsonr(*left)[0])
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([], [], "there are 0 items, fewer than 3"),
        ([1.0], [1.0], "there is 1 item, fewer than 3"),
        ([1.0, 2.0], [1.0, 2.0], "there are 2 items, fewer than 3"),
        ([0.25, 0.25, 0.25], [1.0, 2.0, 3.0], "all 3 scores are 0.25"),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0], "all 3 ratings are 4"),
        # Sums of the same numbers in another order.
        ([0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0], "all 3 scores are 0.3"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_undefined_correlation_says_why(x: list[float], y: list[float], why: str, kind: str):
    found = correlation(np.array(x), np.array(y), kind)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.undefined == why


@pytest.mark.parametrize("kind", KINDS)
def test_resamples_without_a_correlation_are_counted_and_left_out(kind: str):
    # Of three items: the same one drawn thrice, 3 of 27 resamples; the same x, 8 - 1 more.
    x, y = np.array([1.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0])
    found = correlation(x, y, kind, resamples=27_000)
    constant = sum(len(set(x[list(rows)])) == 1 for rows in itertools.product(range(3), repeat=3))
    assert found.degenerate == pytest.approx(1000 * constant, rel=0.05)
    assert -1 <= found.low <= found.high <= 1


def test_items_of_one_group_have_a_value_and_no_interval():
    x, y = made(10)
    found = correlation(x, y, groups=np.array(["one"] * 10))
    assert found.value == pytest.approx(SCIPY["pearson"](x, y))
    assert (found.low, found.high) == (None, None)
    assert found.undefined == "all items are of one group, so there is no interval"


def test_what_cannot_be_resampled_has_no_interval():
    assert bootstrap(lambda weights: weights[:, 0], 1) == (None, None, 0)
    assert bootstrap(lambda weights: weights[:, 0] * np.nan, 5, resamples=7) == (None, None, 7)
    one = estimate_mean(np.array([0.5]))
    assert (one.value, one.low) == (0.5, None)
    assert one.undefined == "all items are of one group, so there is no interval"


def test_what_the_controlled_value_determines_has_no_partial_correlation():
    x, y = made(10)
    found = partial_correlation(x, y, 2 * x + 1)
    assert found.value is None
    assert found.undefined == "the lengths alone determine the scores or the ratings"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wilson(1, 0), PairingError, "1 of 0 cases"),
        (lambda: wilson(3, 2), PairingError, "3 of 2 cases"),
        (lambda: estimate_mean(np.zeros(0)), PairingError, "no values"),
        (lambda: estimate_mean(np.array([1.0, np.nan])), PairingError, "value 1 is nan"),
        (lambda: estimate_mean(np.zeros(3), np.zeros(2)), PairingError, "one of each"),
        (lambda: seed_interval([]), PairingError, "no values"),
        (lambda: seed_interval([0.5, float("inf")]), PairingError, "value 1 is inf"),
        (lambda: paired_permutation(np.zeros(2), np.zeros(3)), PairingError, "one of each"),
        (lambda: correlation(np.zeros(3), np.zeros(2)), PairingError, "one of each"),
        (lambda: correlation(np.arange(3.0), np.array([1, 2, np.nan])), PairingError, "value 2"),
        (lambda: correlation(np.zeros(3), np.zeros(3), "kendal"), OptionError, "'kendall_b'"),
        (
            lambda: correlation(np.arange(3.0), np.arange(3.0), groups=np.arange(2)),
            PairingError,
            "one of each",
        ),
    ],
)
def test_what_has_no_statistic_is_refused(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


def test_ten_thousand_resamples_of_400_items_take_less_than_a_second_of_cpu():
    x, y = made(400)
    correlation(x, y)
    began = time.process_time()
    correlation(x, y)
    assert time.process_time() - began < 1
