"""Training by several processes, and what a process that trains imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from descscore_training.trainer import train
from tests.training_made import made_data, made_recipe

ROOT = Path(__file__).parents[1]

_CHILD = """
import json
import sys
from pathlib import Path

from descscore.errors import RecipeError
from descscore_training.trainer import train
from tests.training_made import made_recipe

base, data, out, changes = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
for name, change in json.loads(changes).items():
    recipe = made_recipe(base, **change)
    try:
        train(recipe, data, out / name, device="cpu", progress=False)
    except RecipeError as error:
        print(f"{name} refused: {error}", flush=True)
print("imported:", sorted({"tensorboard", "wandb"} & sys.modules.keys()), flush=True)
"""

CHANGES: dict[str, dict[str, Any]] = {
    "adapter": {
        "objective": {"kind": "joint"},
        "optimiser": {"name": "sgd", "lr": 0.05, "clip_norm": 1.0},
        "duration": {"epochs": 1.5, "patience": 0.5},
    },
    "parts": {
        "tuning": {"kind": "full"},
        "objective": {"kind": "iit"},
        "optimiser": {"name": "sgd", "lr": 0.01},
        "duration": {"accumulate": 2},
    },
    "stand-ins": {
        "tuning": {"kind": "full"},
        "objective": {"kind": "joint"},
        "optimiser": {"name": "sgd", "lr": 0.01},
        "sources": [
            {"name": "p", "path": "pairs.csv", "images": "images", "batch": 4},
            {"name": "t", "path": "texts.csv", "batch": 4, "image_free": "random"},
        ],
    },
}
REFUSED: dict[str, dict[str, Any]] = {
    "odd": {"sources": [{"name": "p", "path": "pairs.csv", "images": "images", "batch": 3}]},
    "alone": {"objective": {"sources": "cross"}, "duration": {"accumulate": 2}},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def together(
    tiny_clip: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder of what two processes trained, and what they printed."""
    folder = tmp_path_factory.mktemp("together")
    script = folder / "child.py"
    script.write_text(_CHILD, encoding="utf-8")
    # What `accelerate launch` starts, but for CPUs, where that would need MPI.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [*launcher, script, tiny_clip, data, folder, json.dumps(CHANGES | REFUSED)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return folder, done.stdout


def records(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.mark.parametrize("name", list(CHANGES))
def test_two_processes_end_where_one_does(
    together: tuple[Path, str], tiny_clip: Path, data: Path, tmp_path: Path, name: str
):
    two = together[0] / name
    train(made_recipe(tiny_clip, **CHANGES[name]), data, tmp_path, device="cpu", progress=False)
    found, expected = (torch.load(out / "state.pt", weights_only=True) for out in (two, tmp_path))
    assert found["step"] == expected["step"]
    assert found["parameters"].keys() == expected["parameters"].keys()
    for key, tensor in expected["parameters"].items():
        torch.testing.assert_close(found["parameters"][key], tensor, atol=1e-5, rtol=0, msg=key)
    ours, theirs = (records(out, "validation") for out in (two, tmp_path))
    assert [record["step"] for record in ours] == [record["step"] for record in theirs]
    assert (two / "best.safetensors").is_file()


def test_the_logged_loss_is_that_of_the_whole_batch(
    together: tuple[Path, str], tiny_clip: Path, data: Path, tmp_path: Path
):
    train(made_recipe(tiny_clip, **CHANGES["parts"]), data, tmp_path, device="cpu", progress=False)
    ours, theirs = (records(out, "train")[-1] for out in (together[0] / "parts", tmp_path))
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def test_a_batch_that_cannot_be_shared_is_refused_by_every_process(together: tuple[Path, str]):
    shown = together[1]
    message = "odd refused: a batch has 3 pairs, which cannot be shared evenly among 2 processes"
    assert shown.count(message) == 2
    message = "alone refused: objective.sources is 'cross', which takes another pair of the batch"
    assert shown.count(message) == 2


def test_no_tracker_is_imported_unless_asked_for(together: tuple[Path, str]):
    # Both processes write to one pipe, and may break into each other's line.
    assert together[1].count("imported:") == together[1].count("[]") == 2
