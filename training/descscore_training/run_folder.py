"""The folder of a training run: whose it is, its log, its saved state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from descscore.changes import changes
from descscore.errors import RecipeError
from descscore_training.config import save_recipe

if TYPE_CHECKING:
    from pathlib import Path


# What stands in a folder once work on a run has begun there: a log, or a pretraining's vocabulary.
_BEGUN = ("metrics.jsonl", "tokenizer")


def claim(out: Path, recipe: object) -> None:
    """Make a run's folder, or find it to be one of the same recipe.

    A run that came to nothing, such as one whose data were not found, leaves the folder free.

    Raises:
        RecipeError: it holds a run of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    unfinished, resolved = out / "recipe.tmp", out / "recipe.json"
    save_recipe(recipe, unfinished)
    same = resolved.exists() and resolved.read_text("utf-8") == unfinished.read_text("utf-8")
    if resolved.exists() and not same and _begun(out):
        before, now = (json.loads(path.read_text("utf-8")) for path in (resolved, unfinished))
        unfinished.unlink()
        raise RecipeError(
            f"{out} holds a run of another recipe ({changes(before, now)}); choose another folder "
            "or remove it"
        )
    unfinished.replace(resolved)


def pin(out: Path, what: str, identity: str) -> None:
    """Remember what a run uses, or find it to be the same as before.

    Raises:
        RecipeError: it is another one.
    """
    path = out / f"{what}.txt"
    if path.exists() and path.read_text("utf-8") != identity and _begun(out):
        raise RecipeError(
            f"{out} was begun with the {what} {path.read_text('utf-8')}, which is now {identity}; "
            "bring the old one back, or choose another folder"
        )
    path.write_text(identity, encoding="utf-8")


def log(out: Path, record: dict[str, Any]) -> None:
    """Add a line to the run's log."""
    with (out / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def forget_after(out: Path, step: int) -> None:
    """Drop from the log the records of steps that will be taken again."""
    path = out / "metrics.jsonl"
    if path.exists():
        whole = [line for line in path.read_text("utf-8").splitlines(keepends=True) if "\n" in line]
        unfinished = path.with_suffix(".tmp")
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        unfinished.write_text("".join(kept), encoding="utf-8")
        unfinished.replace(path)


def save_state(out: Path, state: dict[str, Any]) -> None:
    """Save what an interrupted run goes on from; the old state stays until the new one is whole."""
    unfinished = out / "state.tmp"
    torch.save(state, unfinished)
    unfinished.replace(out / "state.pt")


def _begun(out: Path) -> bool:
    return any((out / name).exists() for name in _BEGUN)


def load_state(out: Path) -> dict[str, Any] | None:
    """The last saved state; None before the first.

    Raises:
        RecipeError: it cannot be read.
    """
    path = out / "state.pt"
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file makes PyTorch raise errors of many classes.
    except Exception as error:
        raise RecipeError(f"{path} cannot be read ({error}); remove {out} to start over") from error
