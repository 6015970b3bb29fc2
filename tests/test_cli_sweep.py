"""`descscore sweep`: what it prints where, and how it ends. The training is a fake."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from descscore.errors import RecipeError
from descscore_training.choice import Choice
from descscore_training.finetune_recipe import FinetuneRecipe
from tests.command_line import command_line

BASE = """
base = "mini/base"
objective.kind = "iit-das"
objective.dimension = 16
tuning.kind = "lora"
optimiser.lr = 1e-4
[[sources]]
name = "pairs"
path = "pairs.csv"
batch = 4
"""
SWEEP = """
base = "base.toml"
sampler = "grid"
[space]
objective.relevance_weight = [0.0, 0.1, 0.3]
"""

Calls = list[tuple[FinetuneRecipe, Path, Path, Path, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return command_line(capsys, "sweep")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calls]:
    """Puts a trainer in place of the real one; it returns the list of its calls."""

    def fake(behave: Callable[[FinetuneRecipe], Choice]) -> Calls:
        calls: Calls = []

        def train(
            recipe: FinetuneRecipe,
            data: Path,
            out: Path,
            *,
            device: str,
            progress: bool,
            pixels: Path,
        ) -> Choice:
            calls.append((recipe, data, out, pixels, device))
            return behave(recipe)

        module = ModuleType("descscore_training.trainer")
        module.train = train  # pyright: ignore
        monkeypatch.setitem(sys.modules, "descscore_training.trainer", module)
        return calls

    return fake


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The sweep's file, beside its base recipe."""
    (tmp_path / "base.toml").write_text(BASE)
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    return path


def chosen(weight: float) -> Choice:
    return Choice(
        step=int(100 + 1000 * weight),
        by="trade-off",
        trade_off=0.5 + weight,
        preference=0.9 - weight,
        relevance=0.7,
        transfer=0.25,
        below_floor=False,
    )


def succeed(recipe: FinetuneRecipe) -> Choice:
    return chosen(recipe.objective.relevance_weight)


def fail(recipe: FinetuneRecipe) -> Choice:
    raise RecipeError("there is no [pairs.csv]")


def interrupt(recipe: FinetuneRecipe) -> Choice:
    raise KeyboardInterrupt


def test_each_trial_is_trained_in_its_own_folder_with_images_that_all_share(
    run: Any, fake: Any, files: Path
):
    calls = fake(succeed)
    out, data = files.parent / "out", files.parent / "data"
    options = ("--data", data, "-o", out, "--device", "cpu", "--set", "seed=4", "--trials", 2)
    assert run(files, *options).code == 0
    assert [(r.seed, r.objective.relevance_weight, *rest) for r, *rest in calls] == [
        (4, 0.0, data, out / "trial-0000", out / "pixels.npy", "cpu"),
        (4, 0.1, data, out / "trial-0001", out / "pixels.npy", "cpu"),
    ]


def test_the_table_on_stderr_has_the_best_trial_first(run: Any, fake: Any, files: Path):
    fake(succeed)
    done = run(files, "--data", files.parent, "-o", files.parent / "out")
    assert (done.code, done.out) == (0, "")
    lines = done.err.splitlines()
    assert lines[:3] == [
        "trial 0, 1 of 3: objective.relevance_weight=0.0",
        "trial 1, 2 of 3: objective.relevance_weight=0.1",
        "trial 2, 3 of 3: objective.relevance_weight=0.3",
    ]
    assert [line.split() for line in lines[3:]] == [
        ["trial", "relevance_weight", "step", "preference", "transfer", "relevance", "trade-off"],
        ["2", "0.3", "400", "0.600", "0.250", "0.700", "0.800"],
        ["1", "0.1", "200", "0.800", "0.250", "0.700", "0.600"],
        ["0", "0.0", "100", "0.900", "0.250", "0.700", "0.500"],
    ]


def test_json_on_stdout_is_the_file_in_the_folder(run: Any, fake: Any, files: Path):
    fake(succeed)
    out = files.parent / "out"
    done = run(files, "--data", files.parent, "-o", out, "--json")
    assert done.code == 0
    printed = json.loads(done.out)
    assert printed == json.loads((out / "sweep.json").read_text())
    assert [trial["choice"]["trade_off"] for trial in printed["trials"]] == [0.8, 0.6, 0.5]
    assert "trade-off" not in done.err


def test_failed_trials_are_in_the_table_with_their_reason(run: Any, fake: Any, files: Path):
    fake(lambda recipe: (fail if recipe.objective.relevance_weight == 0.1 else succeed)(recipe))
    done = run(files, "--data", files.parent, "-o", files.parent / "out")
    assert done.code == 1
    assert re.search(r"^ +1 +0\.1 +failed: there is no \[pairs\.csv\]", done.err, re.MULTILINE)
    assert "Note: 1 of 3 trials failed" in done.err


def test_where_all_trials_failed_the_first_reason_is_the_error(run: Any, fake: Any, files: Path):
    fake(fail)
    done = run(files, "--data", files.parent, "-o", files.parent / "out")
    assert done.code == 2
    assert "Error: every trial failed, the first with: there is no [pairs.csv]" in done.err


def test_ctrl_c_leaves_a_sweep_to_go_on_with(run: Any, fake: Any, files: Path):
    options = (files, "--data", files.parent, "-o", files.parent / "out")
    fake(interrupt)
    assert run(*options).code == 130
    calls = fake(succeed)
    assert run(*options).code == 0
    assert len(calls) == 3


def test_remarks_say_what_is_odd_about_a_trial(run: Any, fake: Any, files: Path):
    def lose(recipe: FinetuneRecipe) -> Choice:
        from dataclasses import replace

        return replace(succeed(recipe), below_floor=True, transfer=None, relevance=None)

    fake(lose)
    files.write_text(SWEEP.replace("grid", "random").replace("[0.0, 0.1, 0.3]", "[0.0]"))
    done = run(files, "--data", files.parent, "-o", files.parent / "out", "--trials", 2)
    assert [line.rstrip().split(maxsplit=5) for line in done.err.splitlines()[-2:]] == [
        ["0", "0.0", "100", "0.900", "0.500", "lost too much relevance"],
        ["1", "0.0", "100", "0.900", "0.500", "lost too much relevance, same as 0"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["maxi"], "there is no recipe 'maxi'"),
        (["SWEEP", "--trials", "0"], "--trials"),
        (["SWEEP", "--set", "objective.relevance_weight=1"], "fixes what the sweep varies"),
        (["SWEEP", "--set", "objective.kind=das"], "objective.kind"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    run: Any, fake: Any, files: Path, arguments: list[str], message: str
):
    calls = fake(succeed)
    given = [files if argument == "SWEEP" else argument for argument in arguments]
    done = run(*given, "--data", files.parent, "-o", files.parent / "out")
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert message in done.err
    assert calls == []
