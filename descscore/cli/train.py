"""`descscore train`: fine-tune a CLIP by a recipe, and write the checkpoint."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from descscore.cli import options
from descscore.cli.console import (
    interruption_reported,
    print_json,
    print_line,
    print_note,
    warnings_as_notes,
)
from descscore.cli.parameters import argument, option
from descscore.cli.tables import COUNTS, print_table, result_text
from descscore.errors import RecipeError
from descscore.extras import imports_of

if TYPE_CHECKING:
    from descscore_training.choice import Choice


def train(
    recipe: str = argument(
        ..., "RECIPE", "TOML file, or shipped recipe such as clip-b32-iit-das-lora."
    ),
    data: Path = options.DATA,
    out: Path = options.OUT,
    overrides: list[str] | None = options.SET,
    device: Literal["auto", "cpu"] = options.TRAINING_DEVICE,
    trackers: list[str] | None = option(
        None,
        "--track tensorboard|wandb",
        "Also log metrics there; repeatable. wandb sends them to its servers.",
    ),
    checkpoint: Path | None = option(
        None, "DIR", "Folder for the checkpoint; best/ in -o by default."
    ),
    json: bool = options.JSON,
) -> None:
    r"""Fine-tune a CLIP with a recipe; resumes if interrupted.

    Needs `pip install "descscore\[train]"`. Keeps the step with the best trade-off, and writes it
    as a checkpoint folder with the results before and after training.
    """
    with imports_of("train"):
        from descscore.checkpoints.files import CONFIG, read_json
        from descscore.errors import DemonstrationWarning
        from descscore.writing import check_new_folder, check_utf8
        from descscore_training.config import find_recipe, load_recipe
        from descscore_training.export import export_checkpoint, exported_choice
        from descscore_training.finetune_recipe import FinetuneRecipe
        from descscore_training.pairs.sources import check_present
        from descscore_training.run_folder import STATE
        from descscore_training.trainer import train as run

    settled = load_recipe(FinetuneRecipe, find_recipe(recipe), overrides or ())
    folder = out / "best" if checkpoint is None else checkpoint
    check_utf8(out, folder)
    check_present(settled, data)
    for place in (out, folder):
        check_new_folder(place)
    # `accelerate launch` starts this command once a device, and says so in the environment.
    alone = os.environ.get("RANK", "0") == "0"

    def how_to_go_on() -> str:
        if (out / STATE).exists():
            return "; repeat the command to resume from the last evaluation"
        why = "nothing is saved before the first evaluation"
        return f"; repeat the command to start again, since {why}"

    with warnings_as_notes(shown=alone):
        # Of mini, whose adapter is to be another; what it advises is no option of this command.
        warnings.simplefilter("ignore", DemonstrationWarning)
        choice = exported_choice(settled, out, folder)
        if choice is None:
            try:
                with interruption_reported(how_to_go_on):
                    choice = run(settled, data, out, device=device, trackers=tuple(trackers or ()))
            except Exception as error:
                if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                    raise RecipeError(
                        "out of memory; raise duration.accumulate or lower a source's batch with "
                        "--set, and name another folder"
                    ) from error
                raise
            if alone:
                name = (out if checkpoint is None else checkpoint).resolve().name
                export_checkpoint(out, folder, name=name, data=data, device=device)
    if not alone:
        return
    config = read_json(folder / CONFIG)
    measured = {name: config[name] for name in ("measured", "measured_base")}
    if json:
        print_json({"checkpoint": str(folder), "choice": asdict(choice), **measured})
        return
    _print_table(choice, **measured)
    print_line(f'DescriptionScore("{folder.as_posix()}")')


def _print_table(choice: Choice, measured: dict[str, Any], measured_base: dict[str, Any]) -> None:
    rows: list[tuple[str, str, str]] = []
    for data, results in measured.items():
        for name, value in results.items():
            if name not in COUNTS:
                first = measured_base.get(data, {}).get(name)
                before = "" if first is None else result_text(first)
                rows.append((f"{data}: {name}", before, result_text(value)))
    print_table("", ["", "base", f"step {choice.step:,}"], rows, stderr=True)
    if choice.preference <= measured_base["validation"]["preference"]:
        print_note(
            "no step prefers descriptions more than the base does; see in metrics.jsonl whether "
            "the loss still fell (train longer, or raise optimiser.lr) or preference fell with it "
            "(use more pairs, or lower optimiser.lr)"
        )
    if choice.below_floor:
        print_line(
            "No step kept enough relevance; this one kept the most.", fg="yellow", stderr=True
        )
