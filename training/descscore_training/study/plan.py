"""What a study will train and measure, on what data, what it lacks, and about how long it takes."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from statistics import mean
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError, RecipeError
from descscore.writing import write_json
from descscore_training.finetuning import find_base
from descscore_training.pairs.sources import load_pairs
from descscore_training.study.rehearsal import RANDOM_BASE
from descscore_training.study.study import trainings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from descscore_training.finetune_recipe import FinetuneRecipe
    from descscore_training.study.study import DataSet, Study, Training


# Seconds per step. The paper's: 6 hours for 83,334 steps of iit-das and 3 for 64,612 of behavioral,
# on an RTX A6000. Those of mini/base: 30 trainings of 120 steps took half an hour on two cores.
_PAPER, _CORES = "an RTX A6000, as the paper reports", "two CPU cores"
_KNOWN = {
    "openai/clip-vit-base-patch32": ({"behavioral": 0.17, "iit-das": 0.26}, _PAPER),
    "mini/base": ({"behavioral": 0.5, "iit-das": 0.5}, _CORES),
}
TIMINGS = "timings.json"


@dataclass(frozen=True, kw_only=True)
class Need:
    """One dataset of a study.

    Attributes:
        path: relative to the data folder.
        missing: those of its files and folders that are not there.
        source: where it comes from, if the study says.
    """

    path: str
    missing: tuple[str, ...]
    source: DataSet | None

    @property
    def present(self) -> bool:
        """Whether all is there."""
        return not self.missing


def needs(study: Study, trainings: Iterable[Training], data: Path) -> list[Need]:
    """Every dataset that the runs and the evaluations read, and what of it is missing."""
    of: dict[str, dict[str, None]] = {}
    sources = {source.path: source for source in study.data}
    for path in dict.fromkeys(_paths(study, trainings)):
        inside = PurePosixPath(path)
        covering = next((s for s in sources if inside.is_relative_to(PurePosixPath(s))), path)
        of.setdefault(covering, {})[path] = None
    return [
        Need(
            path=path,
            missing=tuple(part for part in parts if not (data / part).exists()),
            source=sources.get(path),
        )
        for path, parts in of.items()
    ]


def check_needs(study: Study, trainings: Sequence[Training], data: Path) -> None:
    """Miss all that is missing at once, before hours of training.

    Raises:
        RecipeError: data are missing, or the base is; the message says where all of it comes from.
    """
    lines = []
    for need in needs(study, trainings, data):
        if need.present:
            continue
        if need.source is None:
            lines += [f"{data / path}; put the data there" for path in need.missing]
            continue
        parts = [path for path in need.missing if path != need.path]
        what = f" ({', '.join(parts)})" if parts else ""
        about = f". {need.source.about}" if need.source.about else ""
        lines.append(f"{data / need.path}{what}, from {need.source.address}{about}")
    try:
        find_base(trainings[0].recipe)
    except CheckpointError as error:
        lines.append(f"the base {study.base!r}: {error}")
    if lines:
        listed = "; ".join(f"({number}) {line}" for number, line in enumerate(lines, 1))
        raise RecipeError(f"the study {study.name!r} lacks what it needs: {listed}")


def _paths(study: Study, trainings: Iterable[Training]) -> Iterator[str]:
    """All paths in the order in which they are needed, relative to the data folder."""
    for training in trainings:
        yield from (path for _, path in training.recipe.data_paths())
    if study.concadia is not None:
        yield from (study.concadia.path, f"{study.concadia.path}/wiki_split.json")
        yield f"{study.concadia.path}/resized"
    yield from (task.path for task in study.transfer)
    if study.human is not None:
        files = ("descriptions.csv", "blv_ratings.csv", "sighted_ratings.csv", "images")
        yield from (f"{study.human.path}/{file}" for file in files)
    if study.norms is not None:
        yield from (study.norms.concreteness, study.norms.imageability)


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        name: its name.
        done: seeds that are trained already.
        left: seeds that are not.
        steps: of one training; None where its data are missing.
        evaluations: on the way, that of the base included.
        seconds: of one training; None where nothing is known.
        known_from: where the seconds come from: trainings here, or another device.
        commands: for each seed left, the command that trains just it, on another machine, say.
    """

    name: str
    done: tuple[int, ...]
    left: tuple[int, ...]
    steps: int | None
    evaluations: int | None
    seconds: float | None
    known_from: str | None
    commands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a study will do.

    Attributes:
        study: its name.
        base: of every run.
        base_present: whether it is on this machine.
        data: the datasets.
        gigabytes: what each dataset takes, by path: as it lies here, or else as the study says.
        runs: what is trained.
    """

    study: str
    base: str
    base_present: bool
    data: tuple[Need, ...]
    gigabytes: dict[str, float | None]
    runs: tuple[PlannedRun, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return self.base_present and all(need.present for need in self.data)

    @property
    def training_seconds(self) -> float | None:
        """What is left to train; None if nothing is known of a run."""
        seconds = [len(run.left) * (run.seconds or math.nan) for run in self.runs if run.left]
        return None if math.isnan(total := math.fsum(seconds)) else total

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        totals = {"ready": self.ready, "training_seconds": self.training_seconds}
        return dataclasses.asdict(self) | totals


def make_plan(study: Study, path: Path, data: Path, out: Path) -> Plan:
    """Find out what is there, and estimate the rest from known and recorded times.

    Args:
        study: what is trained and measured.
        path: the study's file, from whose folder recipes' paths start.
        data: the folder that all other paths start from.
        out: the study's folder; nothing is written.

    Raises:
        RecipeError: a run's recipe is missing or malformed.
    """
    planned = trainings(study, path, out, data)
    # A rehearsal draws what is missing.
    needed = [] if study.rehearsal else needs(study, planned, data)
    recorded = read_timings(out)
    runs = []
    for run in study.runs:
        of_run = [training for training in planned if training.run.name == run.name]
        done = [training for training in of_run if training.choice() is not None]
        left = [training for training in of_run if training not in done]
        recipe = of_run[0].recipe
        steps = _steps(recipe, data)
        seconds, known_from = _seconds(recipe, steps, done, recorded)
        every = recipe.duration.evaluate_every
        runs.append(
            PlannedRun(
                name=run.name,
                done=tuple(training.seed for training in done),
                left=tuple(training.seed for training in left),
                steps=steps,
                evaluations=None if steps is None else 1 + math.ceil(steps / every),
                seconds=seconds,
                known_from=known_from,
                commands=tuple(shlex.join(["descscore", *one.command]) for one in left),
            )
        )
    return Plan(
        study=study.name,
        base=study.base,
        base_present=study.base == RANDOM_BASE or _is_here(study),
        data=tuple(needed),
        gigabytes={
            need.path: _bytes(data / need.path) / 1e9
            if need.present
            else need.source and need.source.gigabytes
            for need in needed
        },
        runs=tuple(runs),
    )


def read_timings(out: Path) -> dict[str, float]:
    """Seconds by step, as recorded in a study's folder; the results do not depend on them."""
    try:
        return json.loads((out / TIMINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


@contextmanager
def timed(out: Path, step: str) -> Iterator[None]:
    """Add what passes inside to a step's recorded seconds; nothing if it fails."""
    began = time.monotonic()
    yield
    seconds = read_timings(out)
    seconds[step] = round(seconds.get(step, 0.0) + time.monotonic() - began, 3)
    write_json(out / TIMINGS, seconds)


def _steps(recipe: FinetuneRecipe, data: Path) -> int | None:
    batch = recipe.sources[0].batch
    if recipe.duration.epoch_pairs:
        return recipe.duration.steps(recipe.duration.epoch_pairs, batch)
    try:
        pairs = load_pairs(recipe.sources, data).training[0]
        return recipe.duration.steps(len(pairs.captions), batch)
    except RecipeError:
        return None


def _seconds(
    recipe: FinetuneRecipe, steps: int | None, done: list[Training], recorded: dict[str, float]
) -> tuple[float | None, str | None]:
    """Of one training, and where that is known from."""
    here = [recorded[key] for one in done if (key := f"{one.name}: training") in recorded]
    if here:
        return mean(here), "trainings here"
    rates, device = _KNOWN.get(recipe.base, ({}, None))
    # Interchanges dominate the other objectives too.
    kind = "behavioral" if recipe.objective.kind == "behavioral" else "iit-das"
    if steps is None or kind not in rates:
        return None, None
    return steps * rates[kind], device


def _is_here(study: Study) -> bool:
    try:
        resolve_checkpoint(study.base, revision=study.base_revision, local_files_only=True)
    except CheckpointError:
        return False
    return True


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
