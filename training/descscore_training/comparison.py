"""Fine-tuned checkpoints of one base side by side, mean and 95% interval over seeds.

    python -m descscore_training.comparison CHECKPOINT ... --data DATA -o RESULTS.json

Their vision towers must be the base's: CIFAR-10's test images are embedded once for all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from descscore import DescriptionScore
from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import RecipeError
from descscore.evaluate.statistics import seed_interval
from descscore_training.finetune_recipe import TransferSource
from descscore_training.measure import measure_concadia
from descscore_training.validation import TransferTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from descscore.checkpoints.store import Checkpoint

_CIFAR10 = TransferSource(name="cifar10", path="cifar10.zip", under="test")
COLUMNS = {
    "validation preference": "preference, validation",
    "preference": "preference, val200",
    "f1": "CIFAR-10 F1",
    "probe accuracy": "probe, subspace",
    "probe accuracy, whole state": "probe, whole state",
    "relevance of descriptions": "relevance of descriptions, val200",
    "relevance of captions": "relevance of captions, val200",
}
"""What is compared, and what the table calls it."""


def compare(folders: Iterable[Path], data: Path) -> list[dict[str, Any]]:
    """Measure a base and checkpoints of it.

    Args:
        folders: checkpoints that `descscore train` wrote.
        data: a folder with `cifar10.zip` and `concadia-val200/`.

    Returns:
        One record a model, the base first: `run`, `seed`, and those of `COLUMNS` that it has.

    Raises:
        RecipeError: a checkpoint's vision tower was tuned, or its base is another's.
    """
    checkpoints = [resolve_checkpoint(folder) for folder in folders]
    bases = {checkpoint.base_folder for checkpoint in checkpoints}
    if len(bases) != 1:
        raise RecipeError(f"the checkpoints have {len(bases)} bases; compare those of one")
    base = resolve_checkpoint(bases.pop())
    task: TransferTask | None = None
    records = []
    for checkpoint in (base, *checkpoints):
        clip = load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))
        config = checkpoint.config or {}
        if config and config["recipe"]["tuning"]["towers"] != "text":
            raise RecipeError(f"{checkpoint.name!r} has another vision tower than its base")
        if task is None:
            task = TransferTask(_CIFAR10, data, clip, frozen=True)
        task.clip = clip
        metric = DescriptionScore(checkpoint.folder, scale="cosine")
        shares = measure_concadia(metric, data / "concadia-val200")
        validated = config.get("measured", {}).get("validation", {})
        record = {
            "run": _run(checkpoint),
            "seed": config.get("seed"),
            "validation preference": validated.get("preference"),
            "f1": task.f1(),
            **{name: share["share"] for name, share in shares.items()},
            **{name: value for name, value in validated.items() if name.startswith("probe")},
        }
        records.append({name: value for name, value in record.items() if value is not None})
        sys.stderr.write(f"{checkpoint.name}: done\n")
    return records


def table(records: Sequence[dict[str, Any]]) -> str:
    """The comparison in Markdown: mean ± half of the 95% t-interval over seeds."""
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        runs[record["run"]].append(record)
    lines = [
        f"| run | seeds | {' | '.join(COLUMNS.values())} |",
        "|" + " --- |" * (2 + len(COLUMNS)),
    ]
    for run, of_run in runs.items():
        cells = [_cell([record[name] for record in of_run if name in record]) for name in COLUMNS]
        seeds = len([record for record in of_run if "seed" in record]) or ""
        lines.append(f"| {run} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _run(checkpoint: Checkpoint) -> str:
    if checkpoint.config is None:
        return "base"
    recipe = checkpoint.config["recipe"]
    kind, tuning = recipe["objective"]["kind"], recipe["tuning"]
    kind += f" {recipe['objective']['alpha']:g}" if kind == "joint" else ""
    return f"{kind}, {'LoRA' if tuning['kind'] == 'lora' else 'full'}"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean, half = seed_interval(values)
    return f"{mean:.3f}" if half is None else f"{mean:.3f} ± {half:.3f}"


def main() -> None:
    """Compare checkpoints, write the records as JSON and print the table."""
    parser = argparse.ArgumentParser(description="Compare fine-tuned checkpoints of one base.")
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    records = compare(options.checkpoints, options.data)
    options.output.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(table(records) + "\n")


if __name__ == "__main__":
    main()
