"""The rehearsal of the paper's study: everything runs, from nothing but a CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from descscore.cli.app import app
from descscore.datasets.concadia import read_concadia
from descscore.datasets.labelled_images import class_folders
from descscore_training.config import find_recipe, load_recipe
from descscore_training.study.plan import make_plan
from descscore_training.study.rehearsal import RANDOM_BASE, rehearse
from descscore_training.study.study import Study
from tests.study_made import made_study


def rehearsal(*overrides: str) -> Study:
    return load_recipe(Study, find_recipe("paper-smoke", "reproduce"), overrides)


def test_it_is_the_papers_study_but_for_its_size() -> None:
    paper, smoke = load_recipe(Study, find_recipe("paper", "reproduce")), rehearsal()
    for part in ("runs", "concadia", "transfer", "human", "data", "trade_off", "prefix"):
        assert getattr(smoke, part) == getattr(paper, part)
    assert len(smoke.seeds) == 2
    assert smoke.base == RANDOM_BASE


def test_its_plan_misses_nothing(tmp_path: Path) -> None:
    plan = make_plan(rehearsal(), find_recipe("paper-smoke", "reproduce"), tmp_path, tmp_path)
    assert plan.ready
    assert {planned.steps for planned in plan.runs} == {2}


def test_a_few_rows_of_what_is_there_are_taken_and_the_rest_is_drawn(
    tiny_clip: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    made_study(data, tiny_clip)
    (data / "food101").symlink_to(data / "classes")
    study, small = rehearse(rehearsal(f"base={tiny_clip}"), data, tmp_path / "out")
    assert study.base == str(tiny_clip)
    taken, there = read_concadia(small / "concadia"), read_concadia(data / "concadia")
    assert {one.description for one in taken} <= {one.description for one in there}
    # It has no training split of its own.
    assert {one.split for one in taken} == {"train", "val", "test"}
    assert class_folders(small / "food101").classes == ["blue", "green"]
    assert len(class_folders(small / "imagenet").names) == 8
    before = sorted(path.stat().st_mtime_ns for path in small.rglob("*"))
    rehearse(study, data, tmp_path / "out")
    assert sorted(path.stat().st_mtime_ns for path in small.rglob("*")) == before


def test_the_command_writes_every_table_and_figure(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "paper-smoke"
    sets = [f"base={tiny_clip}", "overrides.objective.layer=1", "overrides.objective.dimension=4"]
    arguments = ["reproduce", "paper-smoke", "--data", str(tmp_path)]
    arguments += [part for one in sets for part in ("--set", one)]
    with pytest.raises(SystemExit) as exit_:
        app([*arguments, "--device", "cpu"], prog_name="descscore")
    assert not exit_.value.code
    found = json.loads((out / "results.json").read_text())
    assert {cell["table"] for cell in found["cells"]} == {1, 2, 3}
    assert all(cell["verdict"] is None for cell in found["cells"])
    runs = {run["name"]: [seed["error"] for seed in run["seeds"]] for run in found["runs"]}
    four = ["behavioral-full", "behavioral-lora", "iit-das-full", "iit-das-lora"]
    assert runs == {name: [None, None] for name in (*four, "joint-lora")}
    figures = {path.name for path in (out / "figures").iterdir()}
    assert figures == {"words.svg", "steps.svg", "trade-off.svg", "parts.svg"}
    report = (out / "report.md").read_text()
    for row in ("| words |", "| none, prefix 'A photo depicts ' |", "through, random basis of 4"):
        assert row in report
