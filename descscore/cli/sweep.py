"""`descscore sweep`: train a recipe with many settings and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from descscore.cli import options
from descscore.cli.console import (
    SOME_FAILED,
    interruption_reported,
    print_json,
    print_line,
    print_note,
)
from descscore.cli.parameters import argument, option
from descscore.cli.tables import print_table
from descscore.errors import RecipeError
from descscore.extras import imports_of
from descscore.writing import check_utf8

if TYPE_CHECKING:
    from descscore_training.choice import Choice
    from descscore_training.finetune_recipe import FinetuneRecipe
    from descscore_training.sweep import Trial


def sweep(
    recipe: str = argument(..., "RECIPE", "TOML file, or shipped sweep such as mini-relevance."),
    data: Path = options.DATA,
    out: Path = options.OUT,
    trials: int | None = option(
        None, "N", "Total number of trials, including finished ones.", min=1
    ),
    overrides: list[str] | None = options.SET,
    device: Literal["auto", "cpu"] = options.TRAINING_DEVICE,
    json: bool = options.JSON,
) -> None:
    r"""Train a recipe with many settings; resumes if interrupted.

    Needs `pip install "descscore\[sweep]"`. Each trial is a run in its own folder. Trials are
    compared by the trade-off of their best steps.
    """
    with imports_of("sweep"):
        from descscore_training.config import find_recipe
        from descscore_training.finetune_recipe import FinetuneRecipe
        from descscore_training.sweep import as_json
        from descscore_training.sweep import sweep as run
        from descscore_training.sweep_recipe import load_sweep
        from descscore_training.trainer import train

    check_utf8(out)
    plan, base = load_sweep(FinetuneRecipe, find_recipe(recipe, "sweep"), overrides or ())

    def train_in(settled: FinetuneRecipe, folder: Path) -> Choice:
        # The trials share the decoded images.
        pixels = out / "pixels.npy"
        return train(settled, data, folder, device=device, progress=True, pixels=pixels)

    with interruption_reported("; repeat the command to resume"):
        done = run(plan, base, out, train=train_in, trials=trials, report=_announce)
    if json:
        print_json(as_json(plan, base, done))
    else:
        _print_table(done)
    failed = sum(trial.choice is None for trial in done)
    if failed == len(done):
        first = min(done, key=lambda trial: trial.number)
        raise RecipeError(
            f"every trial failed, the first with: {first.error}; correct it and choose another "
            "folder"
        )
    if failed:
        print_note(f"{failed} of {len(done)} trials failed; they are not run again in {out}")
        raise typer.Exit(SOME_FAILED)


def _announce(number: int, total: int, settings: dict[str, Any]) -> None:
    shown = ", ".join(f"{key}={value}" for key, value in settings.items())
    print_line(f"trial {number}, {number + 1} of {total}: {shown}", stderr=True)


def _print_table(trials: list[Trial]) -> None:
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    measures = ("step", "preference", "transfer", "relevance", "trade-off")
    print_table(
        "",
        ["trial", *(key.rpartition(".")[2] for key in keys), *measures, ""],
        [
            (
                str(trial.number),
                *(str(trial.settings.get(key, "")) for key in keys),
                *_measured(trial.choice),
                _remark(trial),
            )
            for trial in trials
        ],
        left=0,
        stderr=True,
    )


def _measured(choice: Choice | None) -> list[str]:
    if choice is None:
        return [""] * 5
    shares = (choice.preference, choice.transfer, choice.relevance, choice.trade_off)
    return [str(choice.step), *("" if share is None else f"{share:.3f}" for share in shares)]


def _remark(trial: Trial) -> str:
    remarks = []
    if trial.error is not None:
        remarks.append(f"failed: {trial.error}")
    elif trial.choice is not None and trial.choice.below_floor:
        remarks.append("lost too much relevance")
    if trial.same_as is not None:
        remarks.append(f"same as {trial.same_as}")
    return ", ".join(remarks)
