"""What a study will train and measure, on what data, and how long that takes here."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError, DescscoreError
from descscore_training.export import exported_choice
from descscore_training.study.fingerprint import size
from descscore_training.study.measuring_time import MeasuringTime, time_measuring
from descscore_training.study.needs import needs
from descscore_training.study.study import trainings
from descscore_training.study.training_time import TrainingTime, time_training

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore_training.study.needs import Need
    from descscore_training.study.study import Study, Training


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        name: its name.
        done: seeds that are trained already.
        left: seeds that are not.
        own_images: whether its vision tower is trained.
        time: of one training; None where it could not be timed.
        untimed: why not.
        commands: for each seed left, the command that trains just it, for another machine, say.
    """

    name: str
    done: tuple[int, ...]
    left: tuple[int, ...]
    own_images: bool
    time: TrainingTime | None
    untimed: str | None
    commands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a study will do.

    Attributes:
        study: its name.
        base: of every run.
        base_present: whether it is on this machine.
        data: the data sets.
        gigabytes: what each data set takes, by path: as it lies here, or else as the study says.
        runs: what is trained.
        measuring: of one checkpoint; None where it could not be timed.
        unmeasured: why not.
    """

    study: str
    base: str
    base_present: bool
    data: tuple[Need, ...]
    gigabytes: dict[str, float | None]
    runs: tuple[PlannedRun, ...]
    measuring: MeasuringTime | None
    unmeasured: str | None

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return self.base_present and all(need.present for need in self.data)

    @property
    def training_seconds(self) -> float | None:
        """What is left to train; None if a run could not be timed."""
        total = 0.0
        for run in self.runs:
            if run.left and run.time is None:
                return None
            total += 0.0 if run.time is None else len(run.left) * run.time.seconds
        return total

    @property
    def measuring_seconds(self) -> float | None:
        """Of the base and every checkpoint of the study, those that are measured included."""
        if self.measuring is None:
            return None
        of_base = self.measuring.seconds(own_images=True)
        return of_base + sum(
            (len(run.done) + len(run.left)) * self.measuring.seconds(own_images=run.own_images)
            for run in self.runs
        )

    @property
    def output_gigabytes(self) -> float | None:
        """What the trainings that are left will write; None if a run could not be timed."""
        times = [(len(run.left), run.time) for run in self.runs if run.left]
        if any(time is None for _, time in times):
            return None
        known = [(left, time) for left, time in times if time is not None]
        pixels = max((time.pixel_gigabytes for _, time in known), default=0.0)
        return pixels + sum(left * time.gigabytes for left, time in known)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self) | {
            "ready": self.ready,
            "training_seconds": self.training_seconds,
            "measuring_seconds": self.measuring_seconds,
            "output_gigabytes": self.output_gigabytes,
        }


def make_plan(
    study: Study,
    path: Path,
    data: Path,
    out: Path,
    *,
    device: str = "auto",
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Find out what is there, and time a few steps of each run; nothing is written.

    Args:
        study: what is trained and measured.
        path: the study's file, from whose folder recipes' paths start.
        data: the folder that all other paths start from.
        out: the study's folder.
        device: "auto" or "cpu".
        say: called with a line about each thing that is timed.

    Raises:
        RecipeError: a run's recipe is missing or malformed.
    """
    say = say or (lambda _: None)
    planned = trainings(study, path, out, data)
    needed = needs(study, planned, data)
    base_present = _is_here(study)
    runs = []
    for run in study.runs:
        of_run = [training for training in planned if training.run.name == run.name]
        done = [training for training in of_run if _is_done(training)]
        left = [training for training in of_run if training not in done]
        found, why = None, "the base is not on this machine yet"
        if left and base_present:
            say(f"timing {run.name}")
            found, why = _tried(lambda first=left[0]: time_training(first.recipe, data, device))
        runs.append(
            PlannedRun(
                name=run.name,
                done=tuple(training.seed for training in done),
                left=tuple(training.seed for training in left),
                own_images=of_run[0].recipe.images_keep != "embeddings",
                time=found,
                untimed=why if left else None,
                commands=tuple(shlex.join(["descscore", *one.command]) for one in left),
            )
        )
    measuring, unmeasured = None, "the base is not on this machine yet"
    if base_present:
        say("timing the evaluations")
        measuring, unmeasured = _tried(lambda: time_measuring(study, data, device))
    return Plan(
        study=study.name,
        base=study.base,
        base_present=base_present,
        data=tuple(needed),
        gigabytes={need.path: _gigabytes(need, data) for need in needed},
        runs=tuple(runs),
        measuring=measuring,
        unmeasured=unmeasured,
    )


def count_done(study: Study, path: Path, data: Path, out: Path) -> tuple[int, int]:
    """How many trainings of a study are done, and how many there are."""
    planned = trainings(study, path, out, data)
    return sum(_is_done(training) for training in planned), len(planned)


def _is_done(training: Training) -> bool:
    return exported_choice(training.recipe, training.folder, training.checkpoint) is not None


def _tried(work: Callable[[], Any]) -> tuple[Any, str | None]:
    """What it gives, or why it gives nothing."""
    try:
        return work(), None
    except DescscoreError as error:
        return None, str(error)


def _is_here(study: Study) -> bool:
    try:
        resolve_checkpoint(study.base, revision=study.base_revision, local_files_only=True)
    except CheckpointError:
        return False
    return True


def _gigabytes(need: Need, data: Path) -> float | None:
    if need.present:
        return size(data / need.path) / 1e9
    return None if need.source is None else need.source.gigabytes
