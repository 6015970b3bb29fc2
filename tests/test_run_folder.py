"""The folder of a run: what is written there is whole, and what is right is left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from descscore.errors import OptionError, RecipeError, WriteError
from descscore.writing import write_whole
from descscore_training.run_folder import (
    kept_step,
    load_state,
    lock_run,
    log,
    pin,
    save_best,
    save_state,
)


class KilledError(Exception):
    pass


def begin(out: Path) -> Path:
    """A folder in which a run has begun."""
    (out / "metrics.jsonl").touch()
    return out


def test_what_a_run_uses_is_remembered_and_another_refused(tmp_path: Path):
    pin(tmp_path, "data", "one")
    pin(tmp_path, "data", "two")  # nothing has begun
    pin(begin(tmp_path), "data", "two")
    with pytest.raises(RecipeError, match="started with the data two, which is now one; restore"):
        pin(tmp_path, "data", "one")
    assert (tmp_path / "data.txt").read_text() == "two"


def test_what_is_remembered_already_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pin(begin(tmp_path), "data", "one")

    def killed(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise KilledError

    monkeypatch.setattr(Path, "write_bytes", killed)
    pin(tmp_path, "data", "one")
    with pytest.raises(KilledError):
        pin(tmp_path, "base", "one")
    monkeypatch.undo()
    pin(tmp_path, "base", "one")
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "data.txt", "base.txt"}


def test_an_empty_file_says_nothing_of_what_a_run_uses(tmp_path: Path):
    (begin(tmp_path) / "data.txt").touch()
    pin(tmp_path, "data", "one")
    assert (tmp_path / "data.txt").read_text() == "one"


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, which fails as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_tensor_state(out: Path, tensor: torch.Tensor) -> None:
    save_state(out, {"step": 1, "tensor": tensor})


def save_tensor_best(out: Path, tensor: torch.Tensor) -> None:
    save_best(out, 1, {"tensor": tensor})


@pytest.mark.parametrize(
    ("save", "name"), [(save_tensor_state, "state.pt"), (save_tensor_best, "best.safetensors")]
)
def test_a_full_disk_leaves_the_file_that_was_there_and_says_what_to_do(
    tmp_path: Path, save: Callable[[Path, torch.Tensor], None], name: str
):
    save(tmp_path, torch.zeros(3))
    before = (tmp_path / name).read_bytes()
    message = rf"{name} cannot be written \(.+\); free some space and repeat the command"
    with full_disk(10_000), pytest.raises(WriteError, match=message):
        save(tmp_path, torch.zeros(100_000))
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]
    save(tmp_path, torch.zeros(100_000))
    assert (tmp_path / name).stat().st_size > 400_000


def test_a_full_disk_names_the_log(tmp_path: Path):
    message = r"metrics\.jsonl cannot be written \(.+\); free some space"
    with full_disk(10_000), pytest.raises(WriteError, match=message):
        log(tmp_path, {"kind": "train", "step": 1, "note": "x" * 20_000})


def test_what_a_killed_process_left_makes_room_first(tmp_path: Path):
    (tmp_path / ".state.pt.tmp").write_bytes(b"half")
    seen = []

    def write(file: Path) -> None:
        seen.append(file.exists())
        file.write_text("whole", encoding="utf-8")

    write_whole(tmp_path / "state.pt", write, sole=True)
    assert seen == [False]
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def test_the_kept_step_is_that_of_the_saved_weights(tmp_path: Path):
    assert kept_step(tmp_path) is None
    save_best(tmp_path, 12, {"tensor": torch.zeros(3).expand(2, 3)})
    assert kept_step(tmp_path) == 12
    whole = (tmp_path / "best.safetensors").read_bytes()
    (tmp_path / "best.safetensors").write_bytes(whole[:20])
    assert kept_step(tmp_path) is None


def test_a_state_is_read_as_it_was_saved(tmp_path: Path):
    assert load_state(tmp_path) is None
    state: dict[str, Any] = {"step": 3, "parameters": {"weight": torch.rand(2)}}
    save_state(tmp_path, state)
    found = load_state(tmp_path)
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["parameters"]["weight"], state["parameters"]["weight"])


_CHILD = """
import sys
from pathlib import Path
from descscore_training.run_folder import lock_run

with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_room_for_one_process_until_that_is_killed(tmp_path: Path):
    out = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        message = "another process trains in .*run; wait for it, or choose another folder"
        with pytest.raises(OptionError, match=message), lock_run(out):
            pass
        with lock_run(tmp_path / "other"):
            pass
        child.kill()
    for _ in range(2):
        with lock_run(out):
            pass
