"""Trains, measures and reports a study; finished parts are not repeated."""

from __future__ import annotations

from concurrent.futures import as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.files import PURPOSE, file_digest
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import DescscoreError, MissingExtraError, RecipeError, WriteError
from descscore.purpose.das_file import load_purpose
from descscore.purpose.subspace import random_basis
from descscore_training.choice import read_log
from descscore_training.export import export_checkpoint
from descscore_training.processes import worker_pool
from descscore_training.run_folder import lock_run
from descscore_training.study.evaluations import Evaluator
from descscore_training.study.plan import check_needs, timed
from descscore_training.study.rehearsal import rehearse
from descscore_training.study.report import check_extra, write_report
from descscore_training.study.results import Outcome, results
from descscore_training.study.study import trainings
from descscore_training.study.word_norms import Lens
from descscore_training.trainer import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from descscore_training.choice import Choice
    from descscore_training.study.study import Study, Training

PIXELS = "pixels.npy"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The results of a study.

    Attributes:
        results: all numbers, as in `results.json`.
        report: the HTML report.
        failed: the reasons of failed trainings, by name.
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
    jobs: int = 1,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
    command: str = "",
) -> Reproduction:
    """Train every run of a study with every seed, measure the chosen steps, and write the report.

    Called again with the same folder, an interrupted study resumes, with the results of an
    uninterrupted one. A failed training is named in the report, the others continue, and the next
    call retries it.

    Args:
        study: the study.
        path: the study's file; recipes' paths are relative to its folder.
        data: the folder that all other paths are relative to.
        out: the folder for `report.html`, `report.md`, `results.json`, `figures/` and `runs/`.
        device: "auto" or "cpu".
        jobs: number of parallel trainings, each in its own process, once the first has
            decoded the images.
        progress: whether to show a live line on stderr while training.
        say: called with a line at the start of each part.
        command: the command that repeats the study, for the report.

    Raises:
        RecipeError: something that the study needs is missing; the message names all of it.
        DescscoreError: the base cannot be measured.
        MissingExtraError: a package for the report is not installed.
        OptionError: another process works in `out`.
    """
    check_extra()
    if study.rehearsal:
        study, data = rehearse(study, data, out)
    planned = trainings(study, path, out, data)
    check_needs(study, planned, data)
    work = _Work(
        study=study,
        data=data,
        out=out,
        device=device,
        progress=progress,
        say=say or (lambda _: None),
        evaluator=Evaluator(study=study, data=data, pixels=out / PIXELS, device=device),
    )
    with lock_run(out):
        base = work.evaluations(None, "base")
        outcomes = []
        for number, training in enumerate(planned, 1):
            if number == 2 and jobs > 1:
                work.train_ahead(planned[1:], jobs)
            outcomes.append(work.outcome(training, f"{training.name} ({number} of {len(planned)})"))
        if study.norms is not None:
            base = work.evaluations(None, "base", lenses_for(None, outcomes))
            outcomes = [work.through_lenses(outcome, outcomes) for outcome in outcomes]
        identity = resolve_checkpoint(study.base, revision=study.base_revision).identity
        found = results(study, identity, base, outcomes)
        page = write_report(found, out, command)
    failed = {one.training.name: one.error for one in outcomes if one.error is not None}
    return Reproduction(results=found, report=page, failed=failed)


def lenses_for(training: Training | None, outcomes: Sequence[Outcome]) -> list[Lens]:
    """Subspaces to read a model without one through: a random one, and that of an iit-das run.

    The paper does not say which it took, so both are our choice.

    Args:
        training: the model's; None for the base.
        outcomes: of the study; without an iit-das run there are no lenses.
    """
    found = [
        outcome.training
        for outcome in outcomes
        if outcome.error is None and outcome.training.recipe.objective.kind == "iit-das"
    ]
    # LoRA's if there is one, as in the paper's table, and of the model's own seed.
    found.sort(
        key=lambda one: (
            one.recipe.tuning.kind != "lora",
            training is not None and one.seed != training.seed,
        )
    )
    if not found:
        return []
    path = found[0].checkpoint / PURPOSE
    purpose = load_purpose(path)
    width, dimension = purpose.basis.shape
    name = f"random basis of {dimension}"
    drawn = random_basis(width, dimension, seed=0)
    return [
        Lens(name=name, site=purpose.site, basis=drawn, identity=f"{name}, {purpose.site}"),
        Lens(
            name=f"basis of {found[0].run.name}",
            site=purpose.site,
            basis=purpose.basis,
            identity=file_digest(path),
        ),
    ]


def _train(training: Training, *, data: Path, out: Path, device: str, progress: bool) -> Choice:
    """Train one run with one seed, and write its checkpoint."""
    folder = training.folder
    choice = train(
        training.recipe,
        data,
        folder,
        device=device,
        progress=progress,
        pixels=out / PIXELS,
    )
    export_checkpoint(folder, training.checkpoint, name=folder.name, data=data, device=device)
    return choice


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What trains and measures, and reports what it does."""

    study: Study
    data: Path
    out: Path
    device: str
    progress: bool
    say: Callable[[str], None]
    evaluator: Evaluator

    @contextmanager
    def making(self, name: str, part: str) -> Iterator[None]:
        """Say and time what is made inside."""
        self.say(f"{name}: {part}")
        with timed(self.out, f"{name.partition(' (')[0]}: {part}"):
            yield

    def evaluations(
        self, training: Training | None, name: str, lenses: Sequence[Lens] = ()
    ) -> dict[str, Any]:
        """Of a training's checkpoint, or of the base."""
        making = partial(self.making, name)
        if training is None:
            return self.evaluator.evaluate(
                self.study.base,
                self.out / "base",
                revision=self.study.base_revision,
                tuned=False,
                lenses=lenses,
                making=making,
            )
        return self.evaluator.evaluate(
            training.checkpoint,
            training.folder / "evaluation",
            own_images=training.recipe.images_keep != "embeddings",
            lenses=lenses,
            making=making,
        )

    def through_lenses(self, outcome: Outcome, outcomes: Sequence[Outcome]) -> Outcome:
        """With the attributions of a model without a subspace read through those of others."""
        training = outcome.training
        if outcome.error is not None or training.recipe.objective.intervenes:
            return outcome
        lenses = lenses_for(training, outcomes)
        return replace(outcome, evaluations=self.evaluations(training, training.name, lenses))

    def outcome(self, training: Training, name: str) -> Outcome:
        """Train and measure, unless that is done; a failure is part of the outcome."""
        choice, evaluations, error = None, {}, None
        try:
            choice = training.choice()
            if choice is None:
                with self.making(name, "training"):
                    choice = _train(
                        training,
                        data=self.data,
                        out=self.out,
                        device=self.device,
                        progress=self.progress,
                    )
            evaluations = self.evaluations(training, name)
        except (MissingExtraError, WriteError):  # no run after this one would do better
            raise
        except (DescscoreError, MemoryError) as failure:
            error = str(failure) or "out of memory"
        except Exception as failure:
            if type(failure).__name__ != "OutOfMemoryError":  # PyTorch's
                raise
            error = "out of memory on the device"
        log = []
        if error is not None:
            choice = None
            self.say(f"{training.name} failed: {error}")
        with suppress(RecipeError):  # a run that failed early has none
            log = read_log(training.folder / "metrics.jsonl")
        return Outcome(
            training=training, choice=choice, evaluations=evaluations, log=log, error=error
        )

    def train_ahead(self, planned: Sequence[Training], jobs: int) -> None:
        """Train side by side what is left; what fails is tried again by itself later."""
        run = partial(_train, data=self.data, out=self.out, device=self.device, progress=False)
        with worker_pool(jobs) as pool:
            running = {pool.submit(run, one): one for one in planned if one.choice() is None}
            for done in as_completed(running):
                error = done.exception()
                why = "trained" if error is None else f"failed beside others ({error})"
                self.say(f"{running[done].name}: {why}")
