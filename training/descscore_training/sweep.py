"""Train a recipe with many settings, and compare the results.

Optuna draws the settings and keeps the trials, in `sweep.db`. A killed sweep finds the finished
trials there and the settings of the interrupted one, which resumes in its folder.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.errors import RecipeError, WriteError
from descscore.extras import imports_of
from descscore.writing import write_json
from descscore_training.choice import Choice
from descscore_training.config import plain
from descscore_training.run_folder import lock_run
from descscore_training.sweep_recipe import Range, Scalar, SweepRecipe, with_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import optuna

    from descscore_training.config import Part, Recipe

_SECONDS_TO_WAIT = 10.0
"""For another process that uses the database."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a sweep.

    Attributes:
        number: counts from 0.
        settings: what the sweep set, by key.
        choice: the step that was kept; None if the training failed.
        error: why it failed, or None.
        same_as: an earlier trial with the same recipe, whose outcome this is; it was not run again.
    """

    number: int
    settings: dict[str, Scalar]
    choice: Choice | None = None
    error: str | None = None
    same_as: int | None = None

    @property
    def folder(self) -> str:
        """Where in the sweep's folder the training's files are."""
        return f"trial-{self.number if self.same_as is None else self.same_as:04d}"


def sweep(
    plan: SweepRecipe,
    base: Recipe,
    out: Path,
    *,
    train: Callable[[Recipe, Path], Choice],
    trials: int | None = None,
    report: Callable[[int, int, dict[str, Scalar]], None] | None = None,
) -> list[Trial]:
    """Run a sweep, or the rest of it.

    Called again with the same folder, it resumes and repeats no finished trial; with more trials,
    it continues with new ones. A failed trial is kept with its message, and the sweep continues.

    Args:
        plan: the sweep: what varies, and how.
        base: the recipe that varies.
        out: the folder for `sweep.db`, `sweep.json` and a folder per trial.
        train: trains a recipe in a folder, or resumes there, and chooses a step.
        trials: total number of trials, instead of the plan's.
        report: called before each training with its number, the total number of trials, and its
            settings.

    Returns:
        The trials, from the best to the worst, as `ranked` orders them.

    Raises:
        RecipeError: `out` contains another sweep, or nothing says how many trials to run.
        OptionError: another process runs a sweep in `out`.
        WriteError: the disk is full, or another program keeps `sweep.db` locked.
        MissingExtraError: Optuna is not installed.
    """
    total = _total(plan, trials)
    with lock_run(out), _opened(out) as study:
        definition = _definition(plan, base)
        held = study.user_attrs.get("definition", definition)
        if held != definition:
            differing = [key for key in sorted(definition) if held.get(key) != definition[key]]
            raise RecipeError(
                f"{out} contains another sweep (its {', '.join(differing)} differs); choose "
                "another folder or remove it"
            )
        study.set_user_attr("definition", definition)
        done = [_trial(kept) for kept in study.get_trials() if kept.state.is_finished()]
        write_json(out / "sweep.json", as_json(plan, base, done))
        for number in range(len(done), total):
            running = _ask(study, plan, number)
            trial = _same(Trial(number=number, settings=running.params), done)
            if trial.same_as is None:
                if report is not None:
                    report(number, total, trial.settings)
                trial = _run(base, trial, out, train)
            _tell(study, running, trial)
            done.append(trial)
            write_json(out / "sweep.json", as_json(plan, base, done))
    return ranked(done)


def ranked(trials: list[Trial]) -> list[Trial]:
    """From the highest trade-off to the lowest.

    Behind them come those whose every step lost too much relevance, then the failed ones.
    """

    def key(trial: Trial) -> tuple[bool, bool, float, int]:
        choice = trial.choice
        if choice is None:
            return True, True, 0.0, trial.number
        return False, choice.below_floor, -choice.trade_off, trial.number

    return sorted(trials, key=key)


def as_json(plan: SweepRecipe, base: Part, trials: list[Trial]) -> dict[str, Any]:
    """A sweep and its trials, from the best to the worst, as plain values."""
    return {
        "sweep": _definition(plan, base),
        "trials": [{"folder": trial.folder, **asdict(trial)} for trial in ranked(trials)],
    }


def _total(plan: SweepRecipe, trials: int | None) -> int:
    wanted = plan.trials if trials is None else trials
    if plan.sampler == "grid":
        return sum(1 for _ in islice(plan.grid(), wanted))
    if wanted is None:
        raise RecipeError(
            f"a {plan.sampler} sweep has no end of its own; say how many trials to run"
        )
    return wanted


def _run(base: Recipe, trial: Trial, out: Path, train: Callable[[Recipe, Path], Choice]) -> Trial:
    try:
        choice = train(with_settings(base, trial.settings), out / trial.folder)
    except RecipeError as failure:
        return replace(trial, error=str(failure))
    except Exception as failure:
        # What asks for more memory than there is would stop the sweep at this trial for ever.
        if not isinstance(failure, MemoryError) and type(failure).__name__ != "OutOfMemoryError":
            raise
        return replace(trial, error="out of memory")
    return replace(trial, choice=choice)


def _same(trial: Trial, done: list[Trial]) -> Trial:
    """The trial with the outcome of an earlier one of the same settings, if there is one."""
    first = next((one for one in done if one.settings == trial.settings), None)
    if first is None:
        return trial
    same = first.number if first.same_as is None else first.same_as
    return replace(first, number=trial.number, same_as=same)


def _definition(plan: SweepRecipe, base: Part) -> dict[str, Any]:
    """What makes two sweeps one: all but the number of trials, which may grow."""
    return {
        "recipe": plain(base),
        "sampler": plan.sampler,
        "seed": plan.seed,
        "space": plan.space,
    }


@contextmanager
def _opened(out: Path) -> Iterator[optuna.Study]:
    with imports_of("sweep"):
        import optuna
        from sqlalchemy import URL
        from sqlalchemy.exc import DatabaseError

    path = out / "sweep.db"
    url = URL.create("sqlite", database=str(path.resolve())).render_as_string()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        waiting = {"connect_args": {"timeout": _SECONDS_TO_WAIT}}
        storage = optuna.storages.RDBStorage(url, engine_kwargs=waiting)
        yield optuna.create_study(
            storage=storage, study_name="sweep", direction="maximize", load_if_exists=True
        )
    except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
        said = f"{error} {error.__cause__}"  # Optuna wraps what SQLite says
        if "database is locked" in said:
            raise WriteError(
                f"another process uses {path}, which was locked for {_SECONDS_TO_WAIT:g} seconds; "
                "try again when it has ended"
            ) from error
        if "disk is full" in said or "disk I/O error" in said:
            raise WriteError(
                f"{path} cannot be written (no space left); free some space and repeat the command"
            ) from error
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"{path} cannot be used ({reason}); choose another folder") from error
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def _ask(study: optuna.Study, plan: SweepRecipe, number: int) -> optuna.Trial:
    """The unfinished trial that is there, or a new one, with all its settings."""
    import optuna

    unfinished = [kept for kept in study.get_trials() if not kept.state.is_finished()]
    if plan.sampler == "grid" and not unfinished:
        study.enqueue_trial(next(islice(plan.grid(), number, None)))
    running = [kept for kept in unfinished if kept.state == optuna.trial.TrialState.RUNNING]
    study.sampler = optuna.samplers.RandomSampler()
    trial = optuna.Trial(study, running[0]._trial_id) if running else study.ask()
    for place, (key, axis) in enumerate(plan.axes().items()):
        # A generator for each draw: then none depends on interruptions.
        seed = int(np.random.SeedSequence([plan.seed, number, place]).generate_state(1)[0])
        kind = "TPESampler" if plan.sampler == "tpe" else "RandomSampler"
        study.sampler = getattr(optuna.samplers, kind)(seed=seed)
        if not isinstance(axis, Range):
            trial.suggest_categorical(key, axis)
        elif isinstance(axis.low, int) and isinstance(axis.high, int):
            trial.suggest_int(key, axis.low, axis.high, log=axis.log)
        else:
            trial.suggest_float(key, axis.low, axis.high, log=axis.log)
    return trial


def _tell(study: optuna.Study, running: optuna.Trial, trial: Trial) -> None:
    from optuna.trial import TrialState

    running.set_user_attr("trial", asdict(trial))
    if trial.choice is None:
        study.tell(running, state=TrialState.FAIL)
    else:
        # One less makes it worse than any that kept its relevance: both parts are about in [0, 1].
        study.tell(running, trial.choice.trade_off - trial.choice.below_floor)


def _trial(kept: optuna.trial.FrozenTrial) -> Trial:
    values = kept.user_attrs["trial"]
    choice = values["choice"]
    return Trial(**values | {"choice": None if choice is None else Choice(**choice)})
