"""Fine-tuning runs: resumed, stopped, repeated, refused."""

from __future__ import annotations

import importlib.machinery
import json
import math
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from descscore.errors import MissingExtraError, OptionError, RecipeError, WriteError
from descscore.purpose.subspace import LearnedBasis, orthonormality_error
from descscore_training.choice import Choice
from descscore_training.export import export_checkpoint
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.finetuning import trainable
from descscore_training.run_folder import lock_run, save_state
from descscore_training.trainer import train
from tests.training_made import made_data, made_recipe

ROOT = Path(__file__).parents[1]
TEXTS = {"name": "texts", "path": "texts.csv", "batch": 2}
PAIRS = {"name": "pairs", "path": "pairs.csv", "images": "images", "batch": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_data(tmp_path_factory.mktemp("data"))


def run(recipe: FinetuneRecipe, data: Path, out: Path, **options: Any) -> Choice:
    return train(recipe, data, out, **{"device": "cpu", "progress": False} | options)


def records(out: Path, kind: str = "validation") -> list[dict[str, Any]]:
    *lines, _unfinished = (out / "metrics.jsonl").read_text().split("\n")
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def steps(out: Path) -> list[int]:
    return [record["step"] for record in records(out)]


def state(out: Path) -> dict[str, Any]:
    return torch.load(out / "state.pt", weights_only=True)


def assert_same(found: Path, expected: Path) -> None:
    """Two runs ended with the same weights, to the bit, and measured the same on the way."""
    assert records(found) == records(expected)
    pairs = [
        (load_file(found / "best.safetensors"), load_file(expected / "best.safetensors")),
        (state(found)["parameters"], state(expected)["parameters"]),
    ]
    for ours, theirs in pairs:
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert torch.equal(ours[name], tensor), name


@contextmanager
def at_each_step(act: Callable[[int], None]) -> Any:
    """Do something just before the parameters move; it is told how often they have moved."""
    counted = 0

    def before(*_: object) -> None:
        nonlocal counted
        act(counted)
        counted += 1

    hook = register_optimizer_step_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()


class KilledError(Exception):
    pass


def kill_at(step: int) -> Any:
    def act(counted: int) -> None:
        if counted == step:
            raise KilledError

    return at_each_step(act)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[int, dict[str, torch.Tensor]]]:
    """Set what validation measures; returns the weights it is shown, filled in as they come."""

    def script(preferences: list[float], f1: float = 0.5) -> dict[int, dict[str, torch.Tensor]]:
        seen: dict[int, dict[str, torch.Tensor]] = {}

        def validate(step: Any, *_: object, **__: object) -> dict[str, Any]:
            seen[len(seen)] = {name: t.clone() for name, t in trainable(step).items()}
            preference = preferences[len(seen) - 1]
            return {"preference": preference, "relevance": 0.5, "f1": {"classes": f1}}

        monkeypatch.setattr("descscore_training.trainer.validate", validate)
        return seen

    return script


@pytest.mark.parametrize(
    "changes",
    [
        {
            "objective": {"relevance_weight": 0.2},
            "tuning": {"dropout": 0.3, "token_dropout": 0.3},
            "optimiser": {"name": "adamw", "schedule": "cosine", "warmup": 3, "clip_norm": 0.5},
            "sources": [PAIRS, TEXTS | {"image_free": "random"}],
        },
        {
            "objective": {"kind": "joint", "sources": "cross", "relevance_weight": 0.1},
            "tuning": {"kind": "full"},
            "optimiser": {"lr": 1e-3},
        },
        {
            "objective": {"kind": "behavioral"},
            "tuning": {"towers": "text", "dropout": 0.1},
            "optimiser": {"name": "sgd", "options": {"momentum": 0.9}},
            "duration": {"accumulate": 2},
        },
    ],
    ids=["lora with dropout", "full", "behavioral in parts"],
)
def test_a_run_killed_twice_ends_as_an_uninterrupted_one(
    tiny_clip: Path, data: Path, tmp_path: Path, changes: dict[str, Any]
):
    recipe = made_recipe(tiny_clip, **changes)
    expected = run(recipe, data, tmp_path / "whole")
    # Before anything is saved, and between two evaluations.
    for moment in (1, 5):
        with pytest.raises(KilledError), kill_at(moment):
            run(recipe, data, tmp_path / "killed")
    assert run(recipe, data, tmp_path / "killed") == expected
    assert steps(tmp_path / "killed") == [0, 2, 4, 6, 8]
    assert_same(tmp_path / "killed", tmp_path / "whole")


_CHILD = """
import sys, time
from torch.optim.optimizer import register_optimizer_step_pre_hook
from tests.training_made import made_recipe
from descscore_training.trainer import train
from pathlib import Path

base, data, out = map(Path, sys.argv[1:])
register_optimizer_step_pre_hook(lambda *_: time.sleep(0.02))
recipe = made_recipe(base, duration={"epochs": 20, "evaluate_every": 5}, tuning={"dropout": 0.2})
train(recipe, data, out, device="cpu", progress=False)
"""


def test_a_run_killed_by_the_system_ends_as_an_uninterrupted_one(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    killed = tmp_path / "killed"
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, tiny_clip, data, killed], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        late = time.monotonic() + 120
        while not (killed / "metrics.jsonl").exists() or max(steps(killed), default=0) < 10:
            assert child.poll() is None
            assert time.monotonic() < late
            time.sleep(0.01)
        time.sleep(random.random() * 0.2)  # anywhere between two evaluations
    finally:
        child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert 80 not in steps(killed)
    recipe = made_recipe(
        tiny_clip, duration={"epochs": 20, "evaluate_every": 5}, tuning={"dropout": 0.2}
    )
    run(recipe, data, killed)
    run(recipe, data, tmp_path / "whole")
    assert_same(killed, tmp_path / "whole")


def test_training_learns_the_preference(tiny_clip: Path, data: Path, tmp_path: Path):
    recipe = made_recipe(
        tiny_clip,
        objective={"kind": "joint"},
        optimiser={"lr": 2e-2},
        duration={"epochs": 8},
        transfer=[],
    )
    choice = run(recipe, data, tmp_path)
    measured = records(tmp_path)
    assert measured[0]["preference"] == 0.5
    assert choice.preference == 1.0
    assert measured[-1]["raised"] > measured[0]["raised"]


def test_a_seed_gives_the_same_run_and_another_seed_another(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    torch.manual_seed(1)
    run(made_recipe(tiny_clip), data, tmp_path / "one")
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    run(made_recipe(tiny_clip), data, tmp_path / "same")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert_same(tmp_path / "same", tmp_path / "one")
    run(made_recipe(tiny_clip, seed=1), data, tmp_path / "other")
    one, other = (state(tmp_path / name)["parameters"] for name in ("one", "other"))
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_parts_of_a_batch_move_the_parameters_as_the_whole_does(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    changes: dict[str, Any] = {
        "objective": {"kind": "joint"},
        "optimiser": {"name": "sgd", "lr": 0.05, "clip_norm": 1.0},
        "sources": [PAIRS, TEXTS | {"batch": 4, "image_free": "random"}],
        "tuning": {"towers": "text"},
    }
    found = {}
    for parts in (1, 2, 4):
        recipe = made_recipe(tiny_clip, **changes, duration={"accumulate": parts})
        run(recipe, data, tmp_path / str(parts))
        found[parts] = state(tmp_path / str(parts))["parameters"]
    start = run_zero(made_recipe(tiny_clip, **changes), data, tmp_path / "start")
    moved = 0
    for name, tensor in found[1].items():
        for parts in (2, 4):
            torch.testing.assert_close(found[parts][name], tensor, atol=1e-6, rtol=0)
        moved += (tensor - start[name]).abs().max().item() > 1e-4
    assert moved > len(start) / 2
    losses = [records(tmp_path / str(parts), "train")[-1]["loss"] for parts in (1, 2, 4)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


def test_parts_of_a_batch_share_its_stand_ins_and_draw_the_rest_for_themselves(
    tiny_clip: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from descscore_training.step import Step

    (data / "labels.csv").write_text("label\n" + "\n".join(f"thing {i}" for i in range(40)))
    forward, batches = Step.forward, []

    def seen(self: Step, batch: Any) -> dict[str, torch.Tensor]:
        batches.append(batch)
        return forward(self, batch)

    monkeypatch.setattr(Step, "forward", seen)
    images: dict[int, list[dict[tuple[int, ...], torch.Tensor]]] = {}
    for parts in (1, 2, 4):
        recipe = made_recipe(
            tiny_clip,
            sources=[PAIRS, TEXTS | {"batch": 4, "image_free": "random"}],
            tuning={"towers": "text"},
            objective={"relevance_weight": 0.1},
            anchors=[{"path": "labels.csv", "batch": 8}],
            duration={"accumulate": parts},
        )
        batches.clear()
        run(recipe, data, tmp_path / str(parts))
        assert len(batches) == 8 * parts
        images[parts] = [{} for _ in range(8)]
        for call, batch in enumerate(batches):
            of_step = images[parts][call // parts]
            of_step |= dict(zip(map(tuple, batch.captions), batch.images, strict=True))
        for first in range(0, len(batches), parts):
            of_parts = batches[first : first + parts]
            assert len({str(batch.anchors) for batch in of_parts}) == parts
            assert len({batch.probes.sum().item() for batch in of_parts}) == parts
    for parts in (2, 4):
        for ours, theirs in zip(images[parts], images[1], strict=True):
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[text], image) for text, image in theirs.items())


def run_zero(recipe: FinetuneRecipe, data: Path, out: Path) -> dict[str, torch.Tensor]:
    """The parameters that a run starts from."""
    kept: dict[str, torch.Tensor] = {}

    class Seen(Exception):  # noqa: N818
        pass

    def validate(step: Any, *_: object, **__: object) -> None:
        kept.update({name: tensor.clone() for name, tensor in trainable(step).items()})
        raise Seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("descscore_training.trainer.validate", validate)
        with pytest.raises(Seen):
            run(recipe, data, out)
    return kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration": {"accumulate": 3}}, "a batch has 4 pairs, which cannot be shared evenly"),
        (
            {"sources": [PAIRS, TEXTS | {"image_free": "random", "batch": 1}],
             "duration": {"accumulate": 2}},
            "a batch has 5 pairs",
        ),
        (
            {"objective": {"sources": "cross"}, "duration": {"accumulate": 4}},
            "takes another pair of the batch, but shared among 1 processes with 4 parts each",
        ),
        ({"objective": {"layer": 3}}, r"objective\.layer is 3"),
        ({"objective": {"dimension": 32}}, r"objective\.dimension is 32"),
        ({"optimiser": {"name": "adan"}}, "no optimiser 'adan'"),
        ({"optimiser": {"options": {"beta": 1}}}, "cannot be made.*beta"),
        ({"optimiser": {"schedule": "polynomial", "lr": 1e-8}}, r"optimiser\.schedule is 'polyn"),
        ({"transfer": [{"name": "birds", "path": "birds"}]}, "there is no .*birds"),
        ({"sources": [PAIRS | {"path": "none.csv"}]}, r"there is no .*none\.csv"),
    ],
)  # fmt: skip
def test_a_recipe_that_does_not_fit_is_refused_before_images_are_read(
    tiny_clip: Path,
    data: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the images were read before the recipe was refused")

    monkeypatch.setattr("descscore_training.trainer.load_banks", refuse)
    with pytest.raises(RecipeError, match=message):
        run(made_recipe(tiny_clip, **changes), data, tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_refused_recipe_leaves_the_folder_free(tiny_clip: Path, data: Path, tmp_path: Path):
    with pytest.raises(RecipeError):
        run(made_recipe(tiny_clip, optimiser={"name": "adan"}), data, tmp_path)
    run(made_recipe(tiny_clip, duration={"epochs": 0.25}, transfer=[]), data, tmp_path)
    assert steps(tmp_path) == [0, 1]


def test_a_source_that_is_validated_on_alone_is_no_part_of_the_batch(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    lines = (data / "texts.csv").read_text().splitlines()
    kept = [line for line in lines if line.endswith(("split", "val"))]
    (data / "validated.csv").write_text("\n".join(kept))
    only = TEXTS | {"path": "validated.csv", "image_free": "random", "batch": 3}
    recipe = made_recipe(tiny_clip, sources=[PAIRS, only], duration={"accumulate": 2})
    run(recipe, data, tmp_path)
    assert steps(tmp_path)[-1] == 8


def test_another_recipe_is_refused_in_the_folder_of_a_run(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    run(made_recipe(tiny_clip, transfer=[]), data, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(RecipeError, match=r"of another recipe \(seed was 0 and is now 1\); "):
        run(made_recipe(tiny_clip, transfer=[], seed=1), data, tmp_path)
    assert contents(tmp_path) == before


def test_the_same_number_in_another_writing_is_the_same_recipe(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    choice = run(made_recipe(tiny_clip, transfer=[]), data, tmp_path)
    resolved = json.loads((tmp_path / "recipe.json").read_text())
    resolved["seed"] = float(resolved["seed"])
    (tmp_path / "recipe.json").write_text(json.dumps(resolved))
    assert run(made_recipe(tiny_clip, transfer=[]), data, tmp_path) == choice


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_finished_run_called_again_changes_nothing(tiny_clip: Path, data: Path, tmp_path: Path):
    choice = run(made_recipe(tiny_clip), data, tmp_path)
    before = contents(tmp_path)
    with kill_at(0):
        assert run(made_recipe(tiny_clip), data, tmp_path) == choice
    assert contents(tmp_path) == before


def test_a_folder_in_which_another_process_trains_is_refused_and_left_alone(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    recipe = made_recipe(tiny_clip)
    with pytest.raises(KilledError), kill_at(5):
        run(recipe, data, tmp_path)
    before = contents(tmp_path)
    with lock_run(tmp_path), pytest.raises(OptionError, match="another process trains in"):
        run(recipe, data, tmp_path)
    assert contents(tmp_path) == before
    run(recipe, data, tmp_path)
    assert steps(tmp_path) == [0, 2, 4, 6, 8]


def test_changed_data_are_refused(tiny_clip: Path, tmp_path: Path):
    data = made_data(tmp_path / "data")
    run(made_recipe(tiny_clip), data, tmp_path / "run")
    table = data / "pairs.csv"
    table.write_text(table.read_text().replace("Lagos", "Laos"))
    with pytest.raises(RecipeError, match=r"was started with the data .* choose another folder"):
        run(made_recipe(tiny_clip), data, tmp_path / "run")


@pytest.mark.parametrize("what", ["anchors", "transfer"])
def test_changed_anchors_and_classes_are_refused(tiny_clip: Path, tmp_path: Path, what: str):
    data = made_data(tmp_path / "data")
    (data / "labels.csv").write_text("label\nthing\nbody\n")
    recipe = made_recipe(
        tiny_clip,
        objective={"relevance_weight": 0.1},
        anchors=[{"path": "labels.csv", "batch": 2}],
    )
    run(recipe, data, tmp_path / "run")
    if what == "anchors":
        (data / "labels.csv").write_text("label\nthing\nsoul\n")
    else:
        (data / "classes" / "red").rename(data / "classes" / "crimson")
    with pytest.raises(RecipeError, match=f"was started with the {what} .* choose another folder"):
        run(recipe, data, tmp_path / "run")


def test_a_run_that_was_begun_without_all_digests_goes_on(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    recipe = made_recipe(tiny_clip)
    with pytest.raises(KilledError), kill_at(5):
        run(recipe, data, tmp_path)
    for name in ("anchors.txt", "transfer.txt"):
        (tmp_path / name).unlink()
    run(recipe, data, tmp_path)
    assert steps(tmp_path) == [0, 2, 4, 6, 8]
    assert (tmp_path / "transfer.txt").is_file()


def test_without_a_better_preference_it_stops_and_stays_stopped(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any
):
    scripted([0.5, 0.6, 0.7, 0.7, 0.65, 0.7, 0.9, 0.9, 0.9])
    recipe = made_recipe(tiny_clip, duration={"epochs": 4, "patience": 1.5, "evaluate_every": 2})
    choice = run(recipe, data, tmp_path)
    # Half an epoch between evaluations: the first best is at step 4, an epoch and a half later 10.
    assert steps(tmp_path) == [0, 2, 4, 6, 8, 10]
    assert choice.step == 4
    before = contents(tmp_path)
    with kill_at(0):
        assert run(recipe, data, tmp_path) == choice
    assert contents(tmp_path) == before


def test_a_run_resumed_after_a_kill_stops_where_it_would_have(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any
):
    recipe = made_recipe(tiny_clip, duration={"epochs": 4, "patience": 1, "evaluate_every": 2})
    scripted([0.5, 0.6, 0.7, 0.7])
    with pytest.raises(KilledError), kill_at(7):
        run(recipe, data, tmp_path)
    scripted([0.7, 0.9])
    run(recipe, data, tmp_path)
    assert steps(tmp_path) == [0, 2, 4, 6, 8]


def test_without_patience_it_goes_on_to_the_end(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any
):
    scripted([0.9, 0.1, 0.1, 0.1, 0.1])
    run(made_recipe(tiny_clip), data, tmp_path)
    assert steps(tmp_path) == [0, 2, 4, 6, 8]


def test_the_weights_of_the_chosen_step_are_kept(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any
):
    seen = scripted([0.9, 0.5, 0.8, 0.6, 0.7])
    assert run(made_recipe(tiny_clip), data, tmp_path).step == 4
    with safe_open(tmp_path / "best.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == "4"
    kept = load_file(tmp_path / "best.safetensors")
    assert kept.keys() == seen[2].keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in seen[2].items())
    last = state(tmp_path)["parameters"]
    assert all(torch.equal(last[name], tensor) for name, tensor in seen[4].items())
    assert not all(torch.equal(last[name], kept[name]) for name in kept)


def test_a_run_killed_between_its_files_keeps_the_step_that_its_log_chooses(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
):
    replace, replaced = Path.replace, []

    def killed(path: Path, target: Path) -> Path:
        if target.name in {"state.pt", "best.safetensors"}:
            replaced.append(target.name)
            if len(replaced) == 4:  # the second file of the second evaluation
                raise KilledError
        return replace(path, target)

    recipe = made_recipe(tiny_clip)
    seen = scripted([0.5, 0.6, 0.7])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KilledError):
            run(recipe, data, tmp_path)
    # Measured again, step 4 would not have been chosen: a GPU need not repeat its sums.
    scripted([0.1] * 3)
    choice = run(recipe, data, tmp_path)
    with safe_open(tmp_path / "best.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == str(choice.step) == "4"
    kept = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in seen[2].items())


def test_the_state_is_saved_at_the_best_steps_and_at_intervals(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
):
    saved: list[int] = []

    def save(out: Path, content: dict[str, Any]) -> None:
        saved.append(content["step"])
        save_state(out, content)

    monkeypatch.setattr("descscore_training.trainer.save_state", save)
    scripted([0.5, 0.6, 0.4, 0.4, 0.3])
    run(made_recipe(tiny_clip, duration={"save_minutes": 10}), data, tmp_path / "seldom")
    assert saved == [2, 8]  # the best, and the last
    saved.clear()
    scripted([0.5, 0.6, 0.4, 0.4, 0.3])
    run(made_recipe(tiny_clip), data, tmp_path / "always")
    assert saved == [2, 4, 6, 8]


def test_a_run_that_seldom_saves_ends_as_an_uninterrupted_one(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    recipe = made_recipe(tiny_clip, duration={"save_minutes": 10, "evaluate_every": 1})
    run(recipe, data, tmp_path / "whole")
    with pytest.raises(KilledError), kill_at(6):
        run(recipe, data, tmp_path / "killed")
    run(recipe, data, tmp_path / "killed")
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_what_is_watched_must_be_a_part_of_concadia(tiny_clip: Path, data: Path, tmp_path: Path):
    watch = {"name": "seen", "path": "classes", "split": "test"}
    with pytest.raises(RecipeError, match=r"watch: .*classes"):
        run(made_recipe(tiny_clip, watch=watch), data, tmp_path)


def test_weights_that_went_missing_are_saved_again_from_the_state(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any
):
    scripted([0.5, 0.6, 0.7, 0.8, 0.9])
    recipe = made_recipe(tiny_clip)
    run(recipe, data, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "best.safetensors").unlink()
    with kill_at(0):
        run(recipe, data, tmp_path)
    assert contents(tmp_path) == before


def test_a_full_disk_ends_a_run_that_can_go_on(
    tiny_clip: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = made_recipe(tiny_clip)
    save, saved = torch.save, []

    def overflow(state: dict[str, Any], file: Path) -> None:
        saved.append(state["step"])
        if saved == [2, 4]:
            file.write_bytes(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")
        save(state, file)

    monkeypatch.setattr(torch, "save", overflow)
    with pytest.raises(WriteError, match=r"state\.pt cannot be written .* repeat the command"):
        run(recipe, data, tmp_path / "full")
    assert not list((tmp_path / "full").glob("*.tmp"))
    run(recipe, data, tmp_path / "full")
    run(recipe, data, tmp_path / "whole")
    assert_same(tmp_path / "full", tmp_path / "whole")


def test_a_transfer_that_cannot_be_recovered_is_refused_before_training(
    tiny_clip: Path, data: Path, tmp_path: Path, scripted: Any
):
    scripted([0.5] * 5, f1=0.0)
    with pytest.raises(RecipeError, match="remove the task from transfer"), kill_at(0):
        run(made_recipe(tiny_clip), data, tmp_path)


@pytest.mark.parametrize("kind", ["behavioral", "iit-das"])
def test_a_loss_that_is_no_number_names_the_step(
    tiny_clip: Path, data: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    from descscore_training.step import Step

    forward, calls = Step.forward, []

    def broken(self: Step, batch: Any) -> dict[str, torch.Tensor]:
        calls.append(batch)
        losses = forward(self, batch)
        return {name: loss * (math.nan if len(calls) == 4 else 1) for name, loss in losses.items()}

    monkeypatch.setattr(Step, "forward", broken)
    with pytest.raises(RecipeError, match=r"loss at step 4 is nan; lower optimiser\.lr"):
        run(made_recipe(tiny_clip, objective={"kind": kind}), data, tmp_path)
    assert steps(tmp_path) == [0, 2]
    # The broken step was not saved: without the cause it goes on from the one before.
    monkeypatch.setattr(Step, "forward", forward)
    run(made_recipe(tiny_clip, objective={"kind": kind}), data, tmp_path)
    assert steps(tmp_path) == [0, 2, 4, 6, 8]


def test_weights_that_are_no_numbers_name_the_step(tiny_clip: Path, data: Path, tmp_path: Path):
    taken = []

    def spoil(optimiser: torch.optim.Optimizer, *_: object) -> None:
        taken.append(optimiser)
        if len(taken) == 4:  # the last step, whose weights no further loss would show
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    parameter.grad.fill_(math.nan)

    hook = register_optimizer_step_pre_hook(spoil)
    message = r"at step 4 scores of .* are not finite; lower optimiser\.lr, or set optimiser\.clip"
    try:
        with pytest.raises(RecipeError, match=message):
            run(made_recipe(tiny_clip, duration={"epochs": 1}), data, tmp_path)
    finally:
        hook.remove()
    assert steps(tmp_path) == [0, 2]


def test_a_damaged_state_says_how_to_start_over(tiny_clip: Path, data: Path, tmp_path: Path):
    recipe = made_recipe(tiny_clip, transfer=[])
    run(recipe, data, tmp_path)
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:1000])
    with pytest.raises(RecipeError, match=r"state\.pt cannot be read .* to start over"):
        run(recipe, data, tmp_path)


def test_an_epoch_is_a_pass_over_the_first_source_or_so_many_pairs(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    bare = TEXTS | {"image_free": "random"}
    for name, duration, last in (
        ("passes", {"epochs": 1.3, "evaluate_every": 3}, 6),  # 16 pairs in batches of 4: 5.2 steps
        ("pairs", {"epochs": 1.5, "epoch_pairs": 8, "evaluate_every": 3}, 3),
    ):
        run(made_recipe(tiny_clip, sources=[PAIRS, bare], duration=duration), data, tmp_path / name)
        assert steps(tmp_path / name)[-1] == last
    assert [record["epoch"] for record in records(tmp_path / "passes")] == [0, 0.75, 1.5]
    assert [record["epoch"] for record in records(tmp_path / "pairs")] == [0, 1.5]


def test_the_schedule_and_the_warmup_move_both_learning_rates(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    seen = []

    def keep(optimiser: torch.optim.Optimizer, *_: object) -> None:
        seen.append([group["lr"] for group in optimiser.param_groups])

    settings = {"lr": 0.4, "rotation_lr": 0.8, "schedule": "linear", "warmup": 4, "name": "sgd"}
    hook = register_optimizer_step_pre_hook(keep)
    try:
        run(made_recipe(tiny_clip, optimiser=settings), data, tmp_path)
    finally:
        hook.remove()
    shape = [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]
    assert [rates[0] for rates in seen] == pytest.approx([0.4 * part for part in shape])
    assert [rates[1] for rates in seen] == pytest.approx([0.8 * part for part in shape])


def test_the_basis_has_a_learning_rate_of_its_own_and_no_decay(
    tiny_clip: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    saved: list[dict[str, Any]] = []

    def save(out: Path, state: dict[str, Any]) -> None:
        saved.append(state)
        save_state(out, state)

    monkeypatch.setattr("descscore_training.trainer.save_state", save)
    settings = {"name": "adamw", "rotation_lr": 0.0, "weight_decay": 0.5}
    recipe = made_recipe(tiny_clip, optimiser=settings)
    start = run_zero(recipe, data, tmp_path)
    run(recipe, data, tmp_path)
    end = state(tmp_path)["parameters"]
    still = {name for name in start if torch.equal(start[name], end[name])}
    assert {name.split(".")[0] for name in still} == {"learned"}
    assert {name.split(".")[0] for name in start.keys() - still} == {"model"}
    assert [group["weight_decay"] for group in saved[0]["optimiser"]["param_groups"]] == [0.5, 0.0]
    # Nothing goes on from the last step.
    assert "optimiser" not in saved[-1]


def test_the_norm_of_the_gradient_is_clipped(tiny_clip: Path, data: Path, tmp_path: Path):
    changes: dict[str, Any] = {"transfer": [], "duration": {"epochs": 0.25}}
    settings = {"name": "sgd", "lr": 1.0}
    start = run_zero(made_recipe(tiny_clip, optimiser=settings, **changes), data, tmp_path / "zero")
    for norm in (0.0, 0.01):
        out = tmp_path / str(norm)
        run(made_recipe(tiny_clip, optimiser=settings | {"clip_norm": norm}, **changes), data, out)
        end = state(out)["parameters"]
        moved = sum((end[name] - start[name]).double().square().sum() for name in start)
        moved = math.sqrt(moved)
        assert moved == pytest.approx(0.01, rel=1e-3) if norm else moved > 0.1


def test_mixed_precision_keeps_parameters_in_float32_and_the_basis_orthonormal(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    # In one process, as a sweep runs them.
    for precision in ("float32", "bfloat16"):
        recipe = made_recipe(tiny_clip, duration={"precision": precision})
        run(recipe, data, tmp_path / precision)
    parameters = state(tmp_path / "bfloat16")["parameters"]
    assert {tensor.dtype for name, tensor in parameters.items() if "lora" in name} == {
        torch.float32
    }
    learned = LearnedBasis(32, 8)
    learned.load_state_dict(
        {name.removeprefix("learned."): t for name, t in parameters.items() if "learned" in name}
    )
    assert learned().dtype == torch.float32
    assert orthonormality_error(learned()) < 1e-6
    losses = [
        records(tmp_path / precision, "train")[-1]["loss"] for precision in ("float32", "bfloat16")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


def test_pixels_of_a_trained_vision_tower_are_decoded_once(
    tiny_clip: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = made_recipe(tiny_clip, tuning={"towers": "vision"}, transfer=[])
    with pytest.raises(KilledError), kill_at(3):
        run(recipe, data, tmp_path)
    assert (tmp_path / "pixels.npy").is_file()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("descscore_training.pairs.pixels.decoded", refuse)
    monkeypatch.setattr("descscore.pipeline.decoded", refuse)
    run(recipe, data, tmp_path)
    trained = load_file(tmp_path / "best.safetensors")
    updates = {name: t for name, t in trained.items() if "lora_B" in name}
    assert all("vision_model" in name for name in updates)
    assert all(tensor.abs().max() > 0 for tensor in updates.values())


@pytest.mark.parametrize("towers", ["text", "text-and-projections"])
def test_a_frozen_vision_tower_is_not_run_in_training(
    tiny_clip: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, towers: str
):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the vision tower ran")

    monkeypatch.setattr("descscore_training.step.embed_images", refuse)
    run(made_recipe(tiny_clip, tuning={"towers": towers}), data, tmp_path)
    assert not (tmp_path / "pixels.npy").exists()


@pytest.mark.parametrize(
    ("stand_in", "towers"),
    [("random", "text"), ("random", "both"), ("random", "text-and-projections")],
)
def test_pairs_without_images_are_trained_on(
    tiny_clip: Path, data: Path, tmp_path: Path, stand_in: str, towers: str
):
    sources = [TEXTS | {"image_free": stand_in}, PAIRS | {"batch": 1}]
    recipe = made_recipe(
        tiny_clip, sources=sources, tuning={"towers": towers}, objective={"relevance_weight": 0.5}
    )
    run(recipe, data, tmp_path)
    assert records(tmp_path)[-1]["step"] == 8  # 8 pairs in batches of 2, twice
    assert records(tmp_path, "train")[-1].keys() >= {"loss", "iit", "relevance"}


def test_without_transfer_the_preference_chooses(tiny_clip: Path, data: Path, tmp_path: Path):
    choice = run(made_recipe(tiny_clip, transfer=[]), data, tmp_path)
    assert choice.by == "preference"
    assert choice.preference == max(record["preference"] for record in records(tmp_path)[1:])
    assert all(record["f1"] == {} for record in records(tmp_path))


def test_a_broken_image_is_left_out_and_reported(
    tiny_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = made_data(tmp_path / "data")
    (data / "images" / "4.png").write_bytes(b"no image")
    run(made_recipe(tiny_clip, transfer=[]), data, tmp_path / "run", progress=True)
    shown = capsys.readouterr().err
    assert "pairs: 16 pairs to train on, 8 pairs to validate on" in shown
    assert "skipped" in shown
    assert f"skipped: {data / 'images' / '4.png'} is not in an image format" in shown
    assert "validation preference 0." in shown


def test_in_a_file_progress_is_a_line_an_evaluation(
    tiny_clip: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run(made_recipe(tiny_clip), data, tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "\r" not in shown
    steps = [record["step"] for record in records(tmp_path)][1:]
    lines = re.findall(r"^step (\d+) of \d+, \d+ s: loss .*, validation preference 0", shown, re.M)
    assert [int(step) for step in lines] == steps
    assert "stopped after" not in shown


def test_evaluations_beyond_the_run_are_said_before_it_begins(
    tiny_clip: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = made_recipe(tiny_clip, duration={"evaluate_every": 9, "epochs": 0.5}, transfer=[])
    run(recipe, data, tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert shown.startswith("duration.evaluate_every is 9 and the run has 2 steps")


def test_a_warmup_longer_than_the_run_is_said(
    tiny_clip: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for warmup, said in ((8, True), (7, False)):
        recipe = made_recipe(tiny_clip, optimiser={"warmup": warmup}, transfer=[])
        run(recipe, data, tmp_path / str(warmup), progress=True)
        shown = capsys.readouterr().err
        assert ("optimiser.warmup is 8 and the run has 8 steps" in shown) == said


def test_a_run_that_ends_early_says_why(
    tiny_clip: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    duration = {"epochs": 40, "patience": 0.5, "evaluate_every": 2}
    run(
        made_recipe(tiny_clip, duration=duration, optimiser={"lr": 1e-9}),
        data,
        tmp_path,
        progress=True,
    )
    last = records(tmp_path)[-1]["step"]
    assert f"stopped after step {last} of 160: for 0.5 epochs" in capsys.readouterr().err


def test_without_progress_nothing_is_said(
    tiny_clip: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    capfd.readouterr()
    run(made_recipe(tiny_clip), data, tmp_path)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_a_base_that_is_an_adapter_is_refused(tiny_clip: Path, data: Path, tmp_path: Path):
    run(made_recipe(tiny_clip), data, tmp_path / "run")
    export_checkpoint(tmp_path / "run", tmp_path / "made", name="made", data=data, device="cpu")
    with pytest.raises(RecipeError, match="is itself fine-tuned; name the CLIP it came from"):
        run(made_recipe(tmp_path / "made"), data, tmp_path / "again")


@pytest.mark.parametrize("device", ["cuda:1", "gpu", ""])
def test_a_device_that_accelerate_would_pass_over_is_refused(
    tiny_clip: Path, data: Path, tmp_path: Path, device: str
):
    with pytest.raises(OptionError, match="training takes 'auto' or 'cpu'"):
        run(made_recipe(tiny_clip), data, tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused(tiny_clip: Path, data: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match="no tracker 'mlflow'; choose tensorboard or wandb"):
        run(made_recipe(tiny_clip), data, tmp_path / "run", trackers=["mlflow"])
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_not_installed_is_refused(
    tiny_clip: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def find(name: str) -> importlib.machinery.ModuleSpec | None:
        assert name == "wandb"
        return None

    monkeypatch.setattr("descscore_training.processes.find_spec", find)
    with pytest.raises(MissingExtraError, match="'wandb' is not installed: pip install wandb"):
        run(made_recipe(tiny_clip), data, tmp_path / "run", trackers=["wandb"])


def test_tensorboard_gets_the_metrics_only_when_asked(tiny_clip: Path, data: Path, tmp_path: Path):
    from tensorboard.backend.event_processing import event_accumulator

    recipe = made_recipe(tiny_clip)
    run(recipe, data, tmp_path / "without")
    assert not list((tmp_path / "without").rglob("*tfevents*"))
    run(recipe, data, tmp_path / "with", trackers=["tensorboard"])
    [folder] = {
        path.parent
        for path in (tmp_path / "with").rglob("*tfevents*")
        if path.parent.name == "descscore"
    }
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    found = {event.step: event.value for event in events.Scalars("validation/preference")}
    logged = {record["step"]: record["preference"] for record in records(tmp_path / "with")}
    assert found == pytest.approx(logged)
    assert "validation/f1.classes" in events.Tags()["scalars"]
    assert "train/loss" in events.Tags()["scalars"]
    assert_same(tmp_path / "with", tmp_path / "without")
