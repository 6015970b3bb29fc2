"""Figures of what was measured hold what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.figures import (
    Point,
    localisation_figure,
    main,
    relevance_figure,
    relevance_points,
    reliability,
    reliability_figure,
)

BASE = Point(weight=None, preference=0.5, relevance=0.9, transfer=1)
POINTS = [
    BASE,
    Point(weight=1.0, preference=0.6, relevance=0.88, transfer=0.95),
    Point(weight=0.0, preference=0.8, relevance=0.7, transfer=0.5),
]


def localised(rank: int) -> dict[str, Any]:
    def found(share: float) -> dict[str, float]:
        return {"flipped": share, "change": 4 * share - 2, "probe accuracy": share}

    return {
        "rank": rank,
        "learned": found(0.9),
        "complement": found(0.4),
        "identity": found(0.6),
        "random": [found(0.5), found(0.3)],
    }


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    trials = []
    for number, point in enumerate(POINTS[1:]):
        folder = tmp_path / f"trial-{number:04d}"
        folder.mkdir()
        values = {"preference": point.preference, "relevance": point.relevance}
        log = [
            {"step": 0, "epoch": 0.0, "preference": 0.5, "relevance": 0.9, "f1": {"a": 0.8}},
            {"step": 5, "epoch": 1.0, **values, "f1": {"a": 0.8 * point.transfer}},
        ]
        lines = [json.dumps({"kind": "validation", "raised": 0.5, "lowered": 0.5} | r) for r in log]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        settings = {"objective.relevance_weight": point.weight}
        choice = values | {"transfer": point.transfer, "step": 5}
        trials.append({"folder": folder.name, "settings": settings, "choice": choice})
    failed = {"folder": "trial-0002", "settings": {"objective.relevance_weight": 3}, "choice": None}
    (tmp_path / "sweep.json").write_text(json.dumps({"trials": [*trials, failed]}))
    return tmp_path


def test_points_of_a_sweep_are_the_base_and_each_trial_that_did_not_fail(sweep: Path):
    assert relevance_points(sweep) == POINTS


def test_preference_stands_against_relevance_and_transfer():
    figure = relevance_figure(POINTS)
    for axis, across in zip(figure.axes, ([0.7, 0.88], [0.5, 0.95]), strict=True):
        line, star = axis.lines
        assert list(line.get_xdata()) == across
        assert list(line.get_ydata()) == [0.8, 0.6]
        assert list(star.get_ydata()) == [0.5]
        assert [text.get_text() for text in axis.texts] == ["base", "1", "0"]


def test_ranks_stand_in_order_with_the_range_of_the_random_bases():
    figure = localisation_figure([localised(8), localised(1)])
    share = figure.axes[0]
    lines = {str(line.get_label()): line for line in share.lines}
    assert list(lines["learned"].get_xdata()) == [1, 8]
    assert list(lines["complement"].get_ydata()) == [0.4, 0.4]
    assert list(lines["random, mean and range"].get_ydata()) == [0.4, 0.4]
    low, high = share.collections[0].get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == pytest.approx((0.3, 0.5))


def test_reliability_compares_mean_probabilities_with_shares_by_bin():
    purposes = np.array([0.05, 0.15, 0.12, 0.95, 1.0, 0.91])
    descriptions = np.array([False, True, False, True, True, False])
    bins = reliability(purposes, descriptions)
    expected = [(0.05, 0, 1), (0.135, 1 / 2, 2), (2.86 / 3, 2 / 3, 3)]
    assert np.array(bins) == pytest.approx(np.array(expected))
    [axis] = reliability_figure(bins).axes
    assert axis.lines[1].get_xydata() == pytest.approx(np.array(expected)[:, :2])
    assert [text.get_text() for text in axis.texts] == ["1", "2", "3"]


def test_the_command_writes_both_figures(sweep: Path, monkeypatch: pytest.MonkeyPatch):
    results = sweep / "results.json"
    results.write_text(json.dumps([localised(1), localised(4)]))
    for name, given in (("localisation", results), ("relevance", sweep)):
        out = sweep / f"{name}.svg"
        monkeypatch.setattr("sys.argv", ["plots", name, str(given), "-o", str(out)])
        main()
        assert "<svg" in out.read_text(encoding="utf-8")
