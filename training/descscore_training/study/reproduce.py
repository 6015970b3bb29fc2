"""Trains, measures and reports a study; what is done already is not done again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import DescscoreError, MissingExtraError, RecipeError, WriteError
from descscore_training.export import export_checkpoint, exported_choice
from descscore_training.selection import read_log
from descscore_training.study.evaluations import Evaluator
from descscore_training.study.needs import check_needs
from descscore_training.study.report import check_extra, write_report
from descscore_training.study.results import Outcome, results
from descscore_training.study.study import trainings
from descscore_training.study.timings import Timings
from descscore_training.trainer import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from descscore_training.selection import Choice
    from descscore_training.study.study import Study, Training


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of a study.

    Attributes:
        results: all numbers, as in `results.json`.
        report: the page to read.
        failed: why each training failed that did, by its name.
    """

    results: dict[str, Any]
    report: Path
    failed: dict[str, str]


def reproduce(
    study: Study,
    path: Path,
    data: Path,
    out: Path,
    *,
    device: str = "auto",
    progress: bool = True,
    say: Callable[[str], None] | None = None,
    command: str = "",
) -> Reproduction:
    """Train every run of a study with every seed, measure the chosen steps, and write the report.

    Called again with the same folder it goes on where it was interrupted, and ends with the results
    that it would have ended with. A training that fails is told in the report, and the others go
    on; called again it is tried again.

    Args:
        study: what is trained and measured.
        path: the study's file, from whose folder recipes' paths start.
        data: the folder that all other paths start from.
        out: where `report.html`, `report.md`, `results.json`, `figures/` and `runs/` go.
        device: "auto" or "cpu".
        progress: whether to show a live line on stderr while training.
        say: called with a line about each thing that is begun.
        command: that repeats the study, for the report.

    Raises:
        RecipeError: something that the study needs is missing; the message names all of it.
        DescscoreError: the base cannot be measured.
        MissingExtraError: what the report is written with is not installed.
    """
    check_extra()
    planned = trainings(study, path, out, data)
    check_needs(study, planned, data)
    out.mkdir(parents=True, exist_ok=True)
    work = _Work(
        data=data,
        pixels=out / "pixels.npy",
        device=device,
        progress=progress,
        say=say or (lambda _: None),
        timings=Timings(out / "timings.json"),
        evaluator=Evaluator(study=study, data=data, device=device),
    )
    base = work.evaluator.evaluate(
        study.base, out / "base", revision=study.base_revision, making=work.making("base")
    )
    outcomes = []
    for number, training in enumerate(planned, 1):
        name = f"{training.name} ({number} of {len(planned)})"
        outcomes.append(work.outcome(training, name))
    identity = resolve_checkpoint(study.base, revision=study.base_revision).identity
    found = results(study, identity, base, outcomes)
    page = write_report(found, out, command)
    failed = {one.training.name: one.error for one in outcomes if one.error is not None}
    return Reproduction(results=found, report=page, failed=failed)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What trains and measures, and what is told of it."""

    data: Path
    pixels: Path
    device: str
    progress: bool
    say: Callable[[str], None]
    timings: Timings
    evaluator: Evaluator

    def making(self, name: str) -> Callable[[str], AbstractContextManager[None]]:
        """Say and time what is made inside."""

        @contextmanager
        def around(part: str) -> Iterator[None]:
            self.say(f"{name}: {part}")
            with self.timings.of(f"{name.partition(' (')[0]}: {part}"):
                yield

        return around

    def outcome(self, training: Training, name: str) -> Outcome:
        """Train and measure, unless that is done; a failure is part of the outcome."""
        making = self.making(name)
        try:
            choice = self._trained(training, making)
            evaluations = self.evaluator.evaluate(
                training.checkpoint,
                training.folder / "evaluation",
                own_images=training.recipe.images_keep != "embeddings",
                making=making,
            )
        except (MissingExtraError, WriteError):  # no run after this one would do better
            raise
        except (DescscoreError, MemoryError) as error:
            return self._failed(training, str(error) or "out of memory")
        except Exception as error:
            if type(error).__name__ != "OutOfMemoryError":  # PyTorch's
                raise
            return self._failed(training, "out of memory on the device")
        log = read_log(training.folder / "metrics.jsonl")
        return Outcome(
            training=training, choice=choice, evaluations=evaluations, log=log, error=None
        )

    def _trained(
        self, training: Training, making: Callable[[str], AbstractContextManager[None]]
    ) -> Choice:
        recipe, folder, checkpoint = training.recipe, training.folder, training.checkpoint
        choice = exported_choice(recipe, folder, checkpoint)
        if choice is None:
            with making("training"):
                choice = train(
                    recipe,
                    self.data,
                    folder,
                    device=self.device,
                    progress=self.progress,
                    pixels=self.pixels,
                )
                export_checkpoint(
                    folder, checkpoint, name=folder.name, data=self.data, device=self.device
                )
        return choice

    def _failed(self, training: Training, error: str) -> Outcome:
        self.say(f"{training.name} failed: {error}")
        try:
            log = read_log(training.folder / "metrics.jsonl")
        except RecipeError:
            log = []
        return Outcome(training=training, choice=None, evaluations={}, log=log, error=error)
