"""Train a recipe with many settings, and compare the results.

Optuna draws the settings and keeps the finished trials, in `sweep.db`. Only finished ones: a trial
is written there in one transaction when its training has ended, so a killed sweep finds all trials
but the interrupted one, and goes on with that one's settings in that one's folder.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from descscore.errors import RecipeError, WriteError
from descscore.extras import imports_of
from descscore.writing import write_json
from descscore_training.config import plain
from descscore_training.run_folder import alone_in
from descscore_training.selection import Choice
from descscore_training.sweep_recipe import Axis, Scalar, SweepRecipe, with_settings

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
    choice: Choice | None
    error: str | None
    same_as: int | None

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
    with alone_in(out), _opened(out) as study:
        _claim(study, out, _definition(plan, base))
        done = [_trial(frozen) for frozen in study.get_trials()]
        seen = {_outcome_key(base, trial.settings): trial for trial in reversed(done)}
        write_json(out / "sweep.json", as_json(plan, base, done))
        for number in range(len(done), total):
            settings = _settings(study, plan, number)
            key = _outcome_key(base, settings)
            if key in seen:
                first = seen[key]
                same = first.number if first.same_as is None else first.same_as
                trial = dataclasses.replace(first, number=number, settings=settings, same_as=same)
            else:
                if report is not None:
                    report(number, total, settings)
                trial = _run(base, settings, number, out, train)
                seen[key] = trial
            _add(study, plan, trial)
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
        "trials": [
            {"number": trial.number, "folder": trial.folder, **dataclasses.asdict(trial)}
            for trial in ranked(trials)
        ],
    }


def _total(plan: SweepRecipe, trials: int | None) -> int:
    wanted = plan.trials if trials is None else trials
    if plan.sampler == "grid":
        points = sum(1 for _ in plan.grid())
        return points if wanted is None else min(wanted, points)
    if wanted is None:
        raise RecipeError(
            f"a {plan.sampler} sweep has no end of its own; say how many trials to run"
        )
    return wanted


def _run(
    base: Recipe,
    settings: dict[str, Scalar],
    number: int,
    out: Path,
    train: Callable[[Recipe, Path], Choice],
) -> Trial:
    choice, error = None, None
    trial = Trial(number=number, settings=settings, choice=None, error=None, same_as=None)
    try:
        choice = train(with_settings(base, settings), out / trial.folder)
    except RecipeError as failure:
        error = str(failure)
    except Exception as failure:
        # What asks for more memory than there is would stop the sweep at this trial for ever.
        if not isinstance(failure, MemoryError) and type(failure).__name__ != "OutOfMemoryError":
            raise
        error = "out of memory"
    return dataclasses.replace(trial, choice=choice, error=error)


def _definition(plan: SweepRecipe, base: Part) -> dict[str, Any]:
    """What makes two sweeps one: all but the number of trials, which may grow."""
    return {
        "recipe": plain(base),
        "sampler": plan.sampler,
        "seed": plan.seed,
        "space": [plain(axis) for axis in plan.axes()],
    }


def _outcome_key(base: Part, settings: dict[str, Scalar]) -> str:
    """Equal for settings that come to one recipe."""
    try:
        return json.dumps(plain(with_settings(base, settings)), sort_keys=True)
    except RecipeError:
        return json.dumps({"settings": settings}, sort_keys=True)


# The study.


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
        study = optuna.create_study(
            storage=storage, study_name="sweep", direction="maximize", load_if_exists=True
        )
        yield study
    except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
        raise _database_error(path, error) from error
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def _database_error(path: Path, error: Exception) -> Exception:
    # Optuna wraps what SQLite says.
    said = f"{error} {error.__cause__}"
    if "database is locked" in said:
        return WriteError(
            f"another process uses {path}, which was locked for {_SECONDS_TO_WAIT:g} seconds; try "
            "again when it has ended"
        )
    if "disk is full" in said or "disk I/O error" in said:
        return WriteError(
            f"{path} cannot be written (no space left); free some space and repeat the command"
        )
    reason = str(error).partition("\n")[0]
    return RecipeError(f"{path} cannot be used ({reason}); choose another folder")


def _claim(study: optuna.Study, out: Path, definition: dict[str, Any]) -> None:
    """Refuse a folder that contains another sweep."""
    held = study.user_attrs.get("definition")
    if held is None:
        study.set_user_attr("definition", definition)
    elif held != definition:
        differing = ", ".join(
            sorted(key for key in held.keys() | definition if held.get(key) != definition.get(key))
        )
        raise RecipeError(
            f"{out} contains another sweep (its {differing} differs); choose another folder or "
            "remove it"
        )


def _settings(study: optuna.Study, plan: SweepRecipe, number: int) -> dict[str, Scalar]:
    """What a trial is to be run with: drawn once, and kept for as long as it is unfinished."""
    kept = study.user_attrs.get("running")
    if kept is not None and kept["number"] == number:
        return kept["settings"]
    if plan.sampler == "grid":
        settings = next(itertools.islice(plan.grid(), number, None))
    else:
        settings = _draw(study, plan, number)
    study.set_user_attr("running", {"number": number, "settings": settings})
    return settings


def _draw(study: optuna.Study, plan: SweepRecipe, number: int) -> dict[str, Scalar]:
    """Draw from a generator of the trial's own: then no draw depends on interruptions."""
    import numpy as np
    import optuna

    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    if plan.sampler == "random":
        sampler = optuna.samplers.RandomSampler(seed=seed)
    else:
        # One key at a time: keys that matter only beside others have no joint distribution.
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=False)
    # A sampler asked for draws alone sees the trials that a study had at its first draw.
    known = optuna.create_study(direction="maximize")
    known.add_trials(study.get_trials())
    unborn = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    settings: dict[str, Scalar] = {}
    for axis in plan.axes():
        if axis.matters(settings):
            drawn = sampler.sample_independent(known, unborn, axis.key, _distribution(axis))
            settings[axis.key] = drawn
    return settings


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.low is None or axis.high is None:
        return CategoricalDistribution(axis.choices)
    if isinstance(axis.low, int) and isinstance(axis.high, int):
        return IntDistribution(axis.low, axis.high, log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _add(study: optuna.Study, plan: SweepRecipe, trial: Trial) -> None:
    from optuna.trial import TrialState, create_trial

    value = None
    if trial.choice is not None:
        # One less makes it worse than any that kept its relevance: both parts are about in [0, 1].
        value = trial.choice.trade_off - trial.choice.below_floor
    study.add_trial(
        create_trial(
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            value=value,
            params=trial.settings,
            distributions={
                axis.key: _distribution(axis) for axis in plan.axes() if axis.key in trial.settings
            },
            user_attrs={"trial": dataclasses.asdict(trial)},
        )
    )


def _trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    values = frozen.user_attrs["trial"]
    choice = values["choice"]
    return Trial(**values | {"choice": None if choice is None else Choice(**choice)})
