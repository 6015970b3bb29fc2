"""Two scores of each item: the figures, and rows that do not belong together."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from descscore.errors import PairingError, TableError
from descscore.evaluate.compare import compare
from descscore.evaluate.scored_pairs import score_twice, scored_pairs
from tests.fake_metric import FakeMetric


def table(path: Path, *rows: str, header: str = "id,image,text,score") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_figures_are_those_of_the_differences():
    rng = np.random.default_rng(0)
    a = rng.normal(size=100)
    b = a + rng.normal(loc=0.1, scale=0.5, size=100)
    b[:3] = a[:3]
    found = compare(a, b, [f"item {i}" for i in range(100)], top=2)
    assert found.difference == pytest.approx((b - a).mean())
    assert found.interval.low < found.difference < found.interval.high
    assert found.p == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, abs=0.02)
    assert (found.win.share, found.win.ties) == (np.mean(b > a), 3)
    assert found.lower == (b < a).sum()
    order = np.argsort(b - a)
    assert [change.item for change in found.raised] == [f"item {i}" for i in order[[-1, -2]]]
    assert [change.item for change in found.lowered] == [f"item {i}" for i in order[[0, 1]]]
    assert found.raised[0].difference == found.raised[0].b - found.raised[0].a


def test_items_without_a_score_are_left_out_and_named():
    found = compare(np.array([0.1, np.nan, 0.3]), np.array([0.2, 0.2, np.nan]), ["x", "y", "z"])
    assert (found.n, found.interval, found.p) == (1, None, None)
    assert [(f.item, f.error) for f in found.missing] == [
        ("y", "has no score in A"),
        ("z", "has no score in B"),
    ]
    with pytest.raises(PairingError, match="none of 1 items has a score in both"):
        compare(np.array([np.nan]), np.array([1.0]), ["x"])


def test_a_constant_difference_is_said():
    a = np.array([0.1, 0.5, 0.3])
    assert compare(a, a, ["x", "y", "z"]).constant
    assert compare(a, a, ["x", "y", "z"]).p == 1
    shifted = compare(a, a + 0.1, ["x", "y", "z"])
    assert shifted.constant
    # Of eight ways to swap three pairs two are as extreme.
    assert shifted.p == pytest.approx(0.25)


def test_rows_are_matched_by_order_or_by_id(tmp_path: Path):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,", "3,c.png,z,0.3")
    b = table(tmp_path / "b.csv", "3,c.png,z,0.5", "1,a.png,x,0.2", "4,d.png,w,0.9")
    by_order = scored_pairs(a, a)
    assert by_order.a == pytest.approx([0.1, np.nan, 0.3], nan_ok=True)
    assert by_order.items[0] == "row 1 (a.png)"
    by_id = scored_pairs(a, b, id_column="id")
    assert (by_id.items, by_id.texts) == (["1", "3"], ["x", "z"])
    assert [list(by_id.a), list(by_id.b)] == [[0.1, 0.3], [0.2, 0.5]]
    assert [(f.item, f.error) for f in by_id.missing] == [
        ("2", f"is not in {b}"),
        ("4", f"is not in {a}"),
    ]


@pytest.mark.parametrize(
    ("rows", "by_id", "message"),
    [
        (["1,a.png,x,0.1"], None, "has 2 rows and .* 1; compare files of the same table"),
        (["1,a.png,x,0.1", "2,b.png,Y,0.2"], None, "row 2 differs: column 'text' is 'y'"),
        (["1,a.png,x,0.1", "2,B.png,y,0.2"], None, "row 2 differs: column 'image'"),
        (["1,a.png,x,0.1", "2,b.png,y,good"], None, "holds 'good', which is no score"),
        (["1,a.png,x,0.1", "2,b.png,y,inf"], None, "holds 'inf', which is no score"),
        (["1,a.png,x,0.1", "1,b.png,y,0.2"], "id", "'id' '1' comes twice"),
        (["1,a.png,x,0.1", ",b.png,y,0.2"], "id", "row 2 of .* has no 'id'"),
        (["7,a.png,x,0.1"], "id", "have no 'id' in common"),
        (["1,a.png,x,0.1"], "name", "has no column 'name'"),
    ],
)
def test_files_of_other_rows_are_refused(
    tmp_path: Path, rows: list[str], by_id: str | None, message: str
):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    b = table(tmp_path / "b.csv", *rows)
    with pytest.raises(TableError, match=message):
        scored_pairs(a, b, id_column=by_id)


def test_two_metrics_score_one_table_and_what_either_cannot_is_left_out(tmp_path: Path):
    pairs = table(tmp_path / "p.csv", "a.png,x", "missing.png,y", "b.png,bad", header="image,text")
    loaded = []

    def load() -> FakeMetric:
        assert all(earlier() is None for earlier in loaded)
        metric = FakeMetric()
        loaded.append(weakref.ref(metric))
        return metric

    steps = []
    found = score_twice([load, load], pairs, progress=lambda *step: steps.append(step))
    assert found.items == ["row 1 (a.png)"]
    assert found.a == found.b
    assert [failure.item for failure in found.missing] == [
        "row 2 (missing.png)",
        "row 3 (b.png)",
    ]
    assert (len(loaded), steps) == (2, [(3, 6), (6, 6)])
