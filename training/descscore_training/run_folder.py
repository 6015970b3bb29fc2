"""The folder of a training run: whose it is, its log, its saved state, the weights it keeps."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from descscore.changes import changes
from descscore.errors import RecipeError
from descscore.writing import naming, run_lock, write_json, write_whole
from descscore_training.config import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from descscore_training.config import Part

BEST = "best.safetensors"
STATE = "state.pt"

# What stands in a folder once work on a run has begun there: a log, or a pretraining's vocabulary.
_BEGUN = ("metrics.jsonl", "tokenizer")


@contextmanager
def lock_run(out: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; a killed process keeps none out.

    Raises:
        OptionError: another process is in it.
    """
    out.mkdir(parents=True, exist_ok=True)
    busy = f"another process trains in {out}; wait for it, or choose another folder"
    with run_lock(out / "run.lock", busy):
        yield


def claim_run(out: Path, recipe: Part) -> None:
    """Make a run's folder, or find it to be one of the same recipe.

    A run that came to nothing, such as one whose data were not found, leaves the folder free.

    Raises:
        RecipeError: it contains a run of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    resolved = out / "recipe.json"
    if resolved.exists() and _begun(out):
        changed = changes(json.loads(resolved.read_text("utf-8")), plain(recipe))
        if changed:
            raise RecipeError(
                f"{out} contains a run of another recipe ({changed}); choose another folder or "
                "remove it"
            )
    write_json(resolved, plain(recipe))


def pin(out: Path, what: str, identity: str) -> None:
    """Remember what a run uses, or find it to be the same as before.

    Raises:
        RecipeError: it is another one.
    """
    path = out / f"{what}.txt"
    found = path.read_text("utf-8") if path.exists() else None
    if found == identity:
        return
    # An empty file says nothing.
    if found and _begun(out):
        raise RecipeError(
            f"{out} was started with the {what} {found}, which is now {identity}; restore the old "
            "one, or choose another folder"
        )
    write_whole(path, identity)


def log(out: Path, record: dict[str, Any]) -> None:
    """Add a line to the run's log.

    Raises:
        WriteError: it cannot be written.
    """
    path = out / "metrics.jsonl"
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def truncate_log(out: Path, step: int) -> None:
    """Drop from the log the records of steps that will be taken again."""
    path = out / "metrics.jsonl"
    if path.exists():
        whole = [line for line in path.read_text("utf-8").splitlines(keepends=True) if "\n" in line]
        kept = "".join(line for line in whole if json.loads(line)["step"] <= step)
        write_whole(path, kept)


def save_state(out: Path, state: dict[str, Any]) -> None:
    """Save what an interrupted run resumes from.

    Raises:
        WriteError: it cannot be written.
    """
    write_whole(out / STATE, lambda file: torch.save(state, file), sole=True)


def save_best(out: Path, step: int, tensors: Mapping[str, Tensor]) -> None:
    """Save the weights of the chosen step.

    Raises:
        WriteError: they cannot be written.
    """
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    metadata = {"step": str(step)}
    write_whole(out / BEST, lambda file: save_file(contiguous, file, metadata=metadata), sole=True)


def kept_step(out: Path) -> int | None:
    """The step whose weights are saved as the chosen one's; None if none can be read."""
    try:
        with safe_open(out / BEST, framework="pt") as file:
            return int(file.metadata()["step"])
    except (OSError, SafetensorError):
        return None


def _begun(out: Path) -> bool:
    return any((out / name).exists() for name in _BEGUN)


def load_state(out: Path) -> dict[str, Any] | None:
    """The last saved state; None before the first.

    Raises:
        RecipeError: it cannot be read.
    """
    path = out / STATE
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file makes PyTorch raise errors of many classes.
    except Exception as error:
        raise RecipeError(f"{path} cannot be read ({error}); remove {out} to start over") from error
