"""Sweeps over settings: what they try, how they go on after a kill, and what they make of it."""

from __future__ import annotations

import json
import logging
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from pydantic import model_validator

from descscore.errors import MissingExtraError, RecipeError, WriteError
from descscore_training.choice import Choice
from descscore_training.config import Part, build_recipe, find_recipe
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.sweep import Trial, as_json, sweep
from descscore_training.sweep_recipe import SweepRecipe, load_sweep, with_settings

ROOT = Path(__file__).parents[1]


class Tuning(Part):
    kind: str = "lora"
    rank: int = 8

    @model_validator(mode="after")
    def _check_luck(self) -> Tuning:
        if self.rank == 13:
            raise RecipeError("tuning.rank is 13; it brings bad luck")
        return self


class Recipe(Part):
    seed: int = 0
    lr: float = 0.1
    tags: tuple[str, ...] = ("a",)
    tuning: Tuning = Tuning()


def choice(value: float, *, below_floor: bool = False) -> Choice:
    return Choice(
        step=100,
        by="preference",
        trade_off=value,
        preference=value,
        relevance=None,
        transfer=None,
        below_floor=below_floor,
    )


class FakeTrainer:
    """Trains nothing; the value of a recipe is what `value` says."""

    def __init__(self, value: Callable[[Recipe], float] | None = None) -> None:
        self.value = value or (lambda recipe: 1 - abs(recipe.lr - 0.3))
        self.trained: list[str] = []

    def __call__(self, recipe: Recipe, folder: Path) -> Choice:
        self.trained.append(folder.name)
        return choice(self.value(recipe))


def plan(space: dict[str, Any], **more: Any) -> SweepRecipe:
    return build_recipe(SweepRecipe, {"base": "any", "space": space, **more})


def settings_of(trials: list[Trial]) -> list[dict[str, Any]]:
    return [trial.settings for trial in sorted(trials, key=lambda trial: trial.number)]


RANKS = {"tuning": {"rank": [4, 8, 16]}}
GRID = plan(RANKS, sampler="grid")
RANGE = {"lr": {"low": 0.0, "high": 1.0}}


# What a sweep is.


def test_a_grid_holds_every_combination_once_and_in_order():
    space = {"lr": [0.1, 0.2], "tuning": {"rank": [4, 8]}}
    assert list(plan(space, sampler="grid").grid()) == [
        {"lr": 0.1, "tuning.rank": 4},
        {"lr": 0.1, "tuning.rank": 8},
        {"lr": 0.2, "tuning.rank": 4},
        {"lr": 0.2, "tuning.rank": 8},
    ]


@pytest.mark.parametrize("line", ["tuning.rank = [4, 8]", '"tuning.rank" = [4, 8]'])
def test_a_sweep_is_read_with_the_recipe_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
):
    (tmp_path / "base.toml").write_text("seed = 5\nlr = 0.5")
    head = 'base = "base.toml"\noverrides = { lr = 0.25, tuning.kind = "full" }\nsampler = "grid"'
    (tmp_path / "sweep.toml").write_text(f"{head}\n[space]\n{line}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    read, base = load_sweep(Recipe, tmp_path / "sweep.toml", ["seed=6"])
    assert base == Recipe(seed=6, lr=0.25, tuning=Tuning(kind="full"))
    assert list(read.grid()) == [{"tuning.rank": 4}, {"tuning.rank": 8}]


def test_settings_change_the_recipe_where_they_say():
    base = Recipe(seed=3, tags=("a", "b"))
    changed = with_settings(base, {"tuning.rank": 4, "lr": 0.3})
    assert changed == Recipe(seed=3, lr=0.3, tags=("a", "b"), tuning=Tuning(rank=4))
    assert base == Recipe(seed=3, tags=("a", "b"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": {}}, "space is empty"),
        ({"sampler": "bayes"}, "sampler is 'bayes'; it should be 'grid', 'random' or 'tpe'"),
        ({"trials": 0}, "trials is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"space": {"lr": 0.1}}, "lr in the sweep's space is 0.1; list its choices"),
        ({"space": {"lr": []}}, r"lr in the sweep's space is \[\]; list its choices"),
        ({"space": RANGE, "sampler": "grid"}, "a grid needs choices for lr"),
        ({"space": {"lr": {"low": 0.1}}}, "lr in the sweep's space: 'high' is missing"),
        ({"space": {"lr": {"low": 1, "high": 1}}}, "from 1 to 1; low must be less"),
        ({"space": {"lr": {"low": 0, "high": 1, "log": True}}}, "from 0 to 1; .*with log above 0"),
        ({"space": {"lr": {"low": 0, "hihg": 1}}}, "unknown key 'hihg'; did you mean 'high'"),
        ({"space": {"lr": [float("nan")]}}, "lr .* has the choice nan"),
        ({"space": {"tags": [["a"], ["b"]]}}, r"tags .* has the choice \['a'\]"),
        ({"space": {"lr": [0.1, 0.1]}}, "a choice of lr occurs twice"),
        ({"space": {"a.b": [1], "a": {"b": [1]}}}, "two keys of the sweep's space are named 'a.b'"),
    ],
)
def test_a_bad_sweep_names_the_key_and_the_remedy(values: dict[str, Any], message: str):
    with pytest.raises(RecipeError, match=message):
        plan(**{"space": RANKS} | values)


@pytest.mark.parametrize(
    ("line", "override", "message"),
    [
        ("tuning.rnak = [4]", "", "no 'tuning.rnak' for the sweep to vary; did you mean 'tuning.r"),
        ("tags.first = [4]", "", "no 'tags.first'"),
        ("lr = [0.1]", "lr=0.5", "override 'lr=0.5' fixes what the sweep varies"),
    ],
)
def test_a_space_that_does_not_fit_the_recipe_is_refused(
    tmp_path: Path, line: str, override: str, message: str
):
    (tmp_path / "base.toml").write_text("seed = 5")
    (tmp_path / "sweep.toml").write_text(f'base = "base.toml"\n[space]\n{line}\n')
    with pytest.raises(RecipeError, match=message):
        load_sweep(Recipe, tmp_path / "sweep.toml", [override] if override else [])


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("clip-b32-behavioral", 8 * 4),
        ("clip-b32-iit-das", 3 * 3 * 4),
        ("clip-b32-behavioral-lora", 5 * 3 * 3),
        ("clip-b32-iit-das-lora", 5 * 3 * 3),
        ("clip-b32-joint", 5),
        ("mini-rank", 6),
        ("mini-relevance", 4),
    ],
)
def test_shipped_sweeps_vary_their_recipes(name: str, points: int):
    shipped, base = load_sweep(FinetuneRecipe, find_recipe(name, "sweep"))
    grid = list(shipped.grid())
    assert len(grid) == points
    recipes = [with_settings(base, settings) for settings in grid]
    assert sum(recipe == base for recipe in recipes) <= 1
    assert all(recipes[i] != recipes[i + 1] for i in range(points - 1))


@pytest.mark.parametrize(
    "name", ["behavioral", "iit-das", "behavioral-lora", "iit-das-lora", "joint"]
)
def test_the_papers_searches_last_5_epochs_and_maximise_validation_accuracy(name: str):
    shipped, base = load_sweep(FinetuneRecipe, find_recipe(f"clip-b32-{name}", "sweep"))
    assert base.duration.epochs == 5
    assert base.transfer == ()  # then the choice is by preference alone
    assert shipped.sampler == "grid"


def test_an_unknown_sweep_lists_the_shipped_ones():
    with pytest.raises(
        RecipeError, match=r"no recipe 'maxi'.*clip-b32-behavioral, .*mini-relevance"
    ):
        find_recipe("maxi", "sweep")


# What it runs.


def test_a_grid_trains_each_point_in_its_folder_and_ranks_them(tmp_path: Path):
    train = FakeTrainer(lambda recipe: {4: 0.3, 8: 0.9, 16: 0.5}[recipe.tuning.rank])
    trials = sweep(GRID, Recipe(), tmp_path, train=train)
    assert train.trained == ["trial-0000", "trial-0001", "trial-0002"]
    assert [trial.settings["tuning.rank"] for trial in trials] == [8, 16, 4]
    assert trials[0] == Trial(
        number=1, settings={"tuning.rank": 8}, choice=choice(0.9), error=None, same_as=None
    )


def test_what_came_out_is_in_the_folder_as_json(tmp_path: Path):
    def train(recipe: Recipe, folder: Path) -> Choice:
        if recipe.tuning.rank == 16:
            raise RecipeError("no such data")
        return choice(recipe.tuning.rank / 10)

    trials = sweep(GRID, Recipe(), tmp_path, train=train)
    written = json.loads((tmp_path / "sweep.json").read_text())
    assert written == as_json(GRID, Recipe(), trials)
    assert written["sweep"]["recipe"]["tuning"] == {"kind": "lora", "rank": 8}
    assert [
        (trial["folder"], trial["settings"], trial["error"]) for trial in written["trials"]
    ] == [
        ("trial-0001", {"tuning.rank": 8}, None),
        ("trial-0000", {"tuning.rank": 4}, None),
        ("trial-0002", {"tuning.rank": 16}, "no such data"),
    ]
    assert [trial["choice"] and trial["choice"]["trade_off"] for trial in written["trials"]] == [
        0.8,
        0.4,
        None,
    ]


def test_trials_that_lost_too_much_relevance_come_behind_the_others(tmp_path: Path):
    def train(recipe: Recipe, folder: Path) -> Choice:
        return choice(recipe.tuning.rank / 20, below_floor=recipe.tuning.rank == 16)

    trials = sweep(GRID, Recipe(), tmp_path, train=train)
    assert [trial.settings["tuning.rank"] for trial in trials] == [8, 4, 16]


def test_a_failing_trial_is_kept_with_its_message_and_the_sweep_goes_on(tmp_path: Path):
    class OutOfMemoryError(RuntimeError):
        """Named as PyTorch's."""

    def train(recipe: Recipe, folder: Path) -> Choice:
        if recipe.tuning.rank == 4:
            raise RecipeError("there is no data")
        if recipe.tuning.rank == 16:
            raise OutOfMemoryError("tried to allocate 80 GiB")
        if recipe.tuning.rank == 32:
            raise MemoryError
        return choice(0.5)

    points = plan({"tuning.rank": [4, 13, 16, 32, 8]}, sampler="grid")
    trials = sweep(points, Recipe(), tmp_path, train=train)
    assert [(trial.number, trial.error) for trial in trials] == [
        (4, None),
        (0, "there is no data"),
        (1, "tuning.rank is 13; it brings bad luck"),
        (2, "out of memory"),
        (3, "out of memory"),
    ]


def test_a_defect_stops_the_sweep_and_is_no_result(tmp_path: Path):
    def broken(recipe: Recipe, folder: Path) -> Choice:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sweep(GRID, Recipe(), tmp_path, train=broken)
    train = FakeTrainer()
    assert len(sweep(GRID, Recipe(), tmp_path, train=train)) == 3
    assert train.trained == ["trial-0000", "trial-0001", "trial-0002"]


def test_a_full_disk_stops_the_sweep_and_is_no_result(tmp_path: Path):
    def full(recipe: Recipe, folder: Path) -> Choice:
        raise WriteError("state.pt cannot be written")

    with pytest.raises(WriteError):
        sweep(GRID, Recipe(), tmp_path, train=full)
    assert all(
        trial.error is None for trial in sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())
    )


def test_one_recipe_is_trained_once_however_often_it_is_drawn(tmp_path: Path):
    train = FakeTrainer(lambda recipe: recipe.tuning.rank / 10)
    drawn = plan({"tuning.rank": [4, 8]}, sampler="random", trials=8)
    trials = sweep(drawn, Recipe(), tmp_path, train=train)
    assert len(trials) == 8
    first = {
        rank: min(t.number for t in trials if t.settings["tuning.rank"] == rank) for rank in (4, 8)
    }
    assert sorted(train.trained) == sorted(f"trial-{n:04d}" for n in first.values())
    for trial in trials:
        rank = trial.settings["tuning.rank"]
        assert trial.choice == choice(rank / 10)
        assert trial.folder == f"trial-{first[rank]:04d}"
        assert trial.same_as == (None if trial.number == first[rank] else first[rank])


def test_tpe_learns_where_the_good_values_are(tmp_path: Path):
    drawn = plan(RANGE, sampler="tpe", trials=30)
    trials = sweep(drawn, Recipe(), tmp_path, train=FakeTrainer())
    distances = [abs(settings["lr"] - 0.3) for settings in settings_of(trials)]
    # Uniform draws lie 0.29 away on average: (0.3² + 0.7²) / 2.
    assert sum(distances[-15:]) / 15 < 0.2
    assert trials[0].choice == choice(1 - min(distances))


def test_tpe_keeps_away_from_where_relevance_is_lost(tmp_path: Path):
    def train(recipe: Recipe, folder: Path) -> Choice:
        # The best values would be at 0, where the choice is flagged.
        return choice(1 - recipe.lr, below_floor=recipe.lr < 0.5)

    trials = sweep(plan(RANGE, sampler="tpe", trials=30), Recipe(), tmp_path, train=train)
    lrs = [settings["lr"] for settings in settings_of(trials)]
    # Were they not flagged, next to none of these would lie above 0.5.
    assert sum(lr >= 0.5 for lr in lrs[-15:]) >= 6
    assert trials[0].settings["lr"] == min(lr for lr in lrs if lr >= 0.5)


def test_draws_depend_on_the_seed_and_differ_between_trials(tmp_path: Path):
    def lrs(name: str, seed: int) -> list[float]:
        drawn = plan(RANGE, sampler="random", trials=6, seed=seed)
        trials = sweep(drawn, Recipe(), tmp_path / name, train=FakeTrainer())
        return [settings["lr"] for settings in settings_of(trials)]

    assert lrs("a", 0) == lrs("b", 0)
    assert set(lrs("a", 0)).isdisjoint(lrs("c", 1))
    assert len(set(lrs("a", 0))) == 6


def test_a_sweep_without_an_end_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match="a tpe sweep has no end of its own"):
        sweep(plan(RANGE), Recipe(), tmp_path, train=FakeTrainer())


# How it goes on.


def test_a_finished_sweep_runs_nothing_again(tmp_path: Path):
    first = sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())
    again = FakeTrainer()
    assert sweep(GRID, Recipe(), tmp_path, train=again) == first
    assert again.trained == []


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_more_trials_go_on_as_if_they_had_been_asked_for_at_once(tmp_path: Path, sampler: str):
    space = {"lr": [i / 32 for i in range(32)]}
    drawn = plan(space, sampler=sampler, trials=4)
    whole = sweep(drawn, Recipe(), tmp_path / "whole", train=FakeTrainer(), trials=13)
    for trials in (4, 12, 13):
        parts = sweep(drawn, Recipe(), tmp_path / "parts", train=FakeTrainer(), trials=trials)
        assert len(parts) == trials
    assert parts == whole


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_an_interrupted_trial_goes_on_in_its_folder_with_its_settings(tmp_path: Path, sampler: str):
    seen: list[tuple[str, float]] = []

    def train(recipe: Recipe, folder: Path) -> Choice:
        seen.append((folder.name, recipe.lr))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return choice(recipe.lr)

    space = {"lr": [0.1, 0.2, 0.3, 0.4]} if sampler == "grid" else RANGE
    drawn = plan(space, sampler=sampler, trials=4)
    with pytest.raises(KeyboardInterrupt):
        sweep(drawn, Recipe(), tmp_path / "out", train=train)
    assert len(sweep(drawn, Recipe(), tmp_path / "out", train=train)) == 4
    assert [name for name, _ in seen] == [f"trial-000{i}" for i in (0, 1, 2, 2, 3)]
    whole = sweep(drawn, Recipe(), tmp_path / "whole", train=FakeTrainer())
    assert [lr for _, lr in seen[:2] + seen[3:]] == [trial["lr"] for trial in settings_of(whole)]
    assert seen[2] == seen[3]


@pytest.mark.parametrize("moment", ["enqueue_trial", "ask"])
def test_a_trial_that_was_not_asked_to_its_end_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
):
    real = getattr(optuna.Study, moment)

    def killed(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())
    trials = sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())
    assert [trial["tuning.rank"] for trial in settings_of(trials)] == [4, 8, 16]


def test_a_range_of_whole_numbers_gives_whole_numbers(tmp_path: Path):
    ranks = plan({"tuning.rank": {"low": 1, "high": 64, "log": True}}, sampler="random", trials=4)
    trials = sweep(ranks, Recipe(), tmp_path, train=FakeTrainer())
    assert all(isinstance(trial.settings["tuning.rank"], int) for trial in trials)


class SlowTrainer:
    """Counts 40 steps in a file, going on from what is there; every step taken is logged."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self, recipe: Recipe, folder: Path) -> Choice:
        folder.mkdir(exist_ok=True)
        state, log = folder / "state", folder.parent / "steps.log"
        step = int(state.read_text()) if state.exists() else 0
        for number in range(step + 1, 41):
            time.sleep(self.seconds)
            with log.open("a") as file:
                file.write(f"{folder.name} {number}\n")
            (folder / "state.tmp").write_text(str(number))
            (folder / "state.tmp").replace(state)
        return choice(1 - abs(recipe.lr - 0.3))


SLOW = plan(RANGE, sampler="tpe", trials=4)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_killed_sweep_ends_with_the_results_of_an_uninterrupted_one(tmp_path: Path):
    whole = sweep(SLOW, Recipe(), tmp_path / "whole", train=SlowTrainer())
    out = tmp_path / "killed"
    code = (
        "import pathlib, sys; from tests.test_sweep import *\n"
        "sweep(SLOW, Recipe(), pathlib.Path(sys.argv[1]), train=SlowTrainer(0.01))"
    )
    state = out / "trial-0002" / "state"
    with subprocess.Popen([sys.executable, "-c", code, str(out)], cwd=ROOT) as process:
        while process.poll() is None and not (state.exists() and int(state.read_text()) >= 10):
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "trial-0003").exists()
    reached = int(state.read_text())
    assert 10 <= reached < 40

    resumed = sweep(SLOW, Recipe(), out, train=SlowTrainer())
    assert resumed == whole
    assert (out / "sweep.json").read_bytes() == (tmp_path / "whole" / "sweep.json").read_bytes()
    # A step may have been taken twice: the one whose state the kill kept from being written.
    steps = (out / "steps.log").read_text().splitlines()
    assert set(steps) == {f"trial-000{n} {step}" for n in range(4) for step in range(1, 41)}
    assert len(steps) - len(set(steps)) <= 1


@pytest.mark.parametrize(
    ("other", "base", "differing"),
    [
        (plan({"tuning.rank": [4, 8]}, sampler="grid"), Recipe(), "space"),
        (plan({"tuning.rank": [8, 4, 16]}, sampler="grid"), Recipe(), "space"),
        (plan(RANKS, sampler="random", trials=3), Recipe(), "sampler"),
        (plan(RANKS, sampler="grid", seed=1), Recipe(), "seed"),
        (GRID, Recipe(lr=0.2), "recipe"),
    ],
)
def test_another_sweep_is_refused_in_the_same_folder(
    tmp_path: Path, other: SweepRecipe, base: Recipe, differing: str
):
    sweep(GRID, Recipe(), tmp_path, train=FakeTrainer(), trials=1)
    with pytest.raises(RecipeError, match=rf"contains another sweep \(its {differing} differs\)"):
        sweep(other, base, tmp_path, train=FakeTrainer())


# Its storage.


def test_a_folder_may_be_called_anything(tmp_path: Path):
    out = tmp_path / "a b" / "50% #1?x=é"
    assert len(sweep(GRID, Recipe(), out, train=FakeTrainer())) == 3
    assert (out / "sweep.db").is_file()
    again = FakeTrainer()
    sweep(GRID, Recipe(), out, train=again)
    assert again.trained == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system lists no open files")
def test_the_database_is_closed_when_the_sweep_ends(tmp_path: Path):
    sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())
    files = [path.resolve().name for path in Path("/proc/self/fd").iterdir()]
    assert files
    assert "sweep.db" not in files


def test_a_broken_database_is_named(tmp_path: Path):
    (tmp_path / "sweep.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RecipeError, match=r"sweep\.db cannot be used \(.*not a database"):
        sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())


def test_a_locked_database_is_waited_for_and_then_said_to_be_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sweep(GRID, Recipe(), tmp_path, train=FakeTrainer(), trials=1)
    monkeypatch.setattr("descscore_training.sweep._SECONDS_TO_WAIT", 0.1)
    with closing(sqlite3.connect(tmp_path / "sweep.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(
            WriteError, match=r"another process uses .*sweep\.db.* try again"
        ) as error:
            sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())
    assert "remove" not in str(error.value)
    assert len(sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())) == 3


@pytest.fixture
def verbosity() -> Iterator[int]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    yield optuna.logging.DEBUG
    optuna.logging.set_verbosity(before)


def test_optuna_is_silent_only_inside_the_sweep(
    tmp_path: Path, verbosity: int, caplog: pytest.LogCaptureFixture
):
    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    try:
        sweep(plan(RANGE, trials=2), Recipe(), tmp_path, train=FakeTrainer())
        assert caplog.messages == []
        assert optuna.logging.get_verbosity() == verbosity
        optuna.create_study()
        assert len(caplog.messages) == 1
    finally:
        logger.removeHandler(caplog.handler)


def test_without_optuna_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r'pip install "descscore\[sweep\]"'):
        sweep(GRID, Recipe(), tmp_path, train=FakeTrainer())


def test_a_sweep_reports_what_it_is_about_to_train(tmp_path: Path):
    reported: list[tuple[int, int, dict[str, Any]]] = []

    def report(number: int, total: int, settings: dict[str, Any]) -> None:
        reported.append((number, total, settings))

    sweep(GRID, Recipe(), tmp_path, train=FakeTrainer(), trials=2, report=report)
    assert reported == [(0, 2, {"tuning.rank": 4}), (1, 2, {"tuning.rank": 8})]
