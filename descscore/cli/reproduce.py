"""`descscore reproduce`: train and measure all runs of a study, and report them."""

from __future__ import annotations

import shlex
from functools import partial
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
    warnings_as_notes,
)
from descscore.cli.parameters import argument, flag, option
from descscore.cli.tables import print_table
from descscore.extras import imports_of
from descscore.writing import check_utf8

if TYPE_CHECKING:
    from descscore_training.study.plan import Plan


def reproduce(
    recipe: str = argument(
        ..., "RECIPE", "TOML file or shipped study: paper, paper-smoke, miniature."
    ),
    data: Path = option(..., "--data DIR", "Data folder of the study."),
    out: Path | None = option(
        None, "-o --output DIR", "Output folder, by default named after RECIPE."
    ),
    overrides: list[str] | None = option(
        None, "--set KEY=VALUE", "Change a value of the study, as in seeds=[0]; repeatable."
    ),
    device: Literal["auto", "cpu"] = options.TRAINING_DEVICE,
    jobs: int = option(1, "--jobs N", "Train N runs in parallel.", min=1),
    plan: bool = flag("--plan", "Print runs, missing data and training time; run nothing."),
    json: bool = options.JSON,
) -> None:
    r"""Train and measure all runs of a study; resumes if interrupted.

    Needs `pip install "descscore\[reproduce]"`. Writes report.html, report.md, results.json and
    figures, and compares the results with the paper's.
    """
    with imports_of("reproduce"):
        from descscore_training.config import find_recipe, load_recipe
        from descscore_training.study.plan import make_plan
        from descscore_training.study.report import layout
        from descscore_training.study.reproduce import reproduce as run
        from descscore_training.study.study import Study

    path = find_recipe(recipe, "reproduce")
    out = Path(path.stem) if out is None else out
    check_utf8(out)
    study = load_recipe(Study, path, overrides or ())
    command = _command(recipe, data, out, overrides or (), device)
    with warnings_as_notes(shown=True):
        if plan:
            planned = make_plan(study, path, data, out)
            if json:
                print_json(planned.as_dict())
            else:
                _print_plan(planned)
            return

        say = partial(print_line, stderr=True)
        with interruption_reported("; repeat the command to resume"):
            done = run(study, path, data, out, device=device, jobs=jobs, say=say, command=command)
    if json:
        print_json(done.results)
    else:
        for results in layout(done.results)[:-1]:
            print_table(
                results.title,
                [*results.heads, *results.columns],
                [line.heads + line.cells for line in results.lines],
                left=len(results.heads),
                stderr=True,
            )
        print_line(str(done.report))
    if done.failed:
        for name, error in done.failed.items():
            print_note(f"{name} failed: {error}")
        raise typer.Exit(SOME_FAILED)


def _command(recipe: str, data: Path, out: Path, overrides: Any, device: str) -> str:
    """The command as it would be typed again."""
    words = ["descscore", "reproduce", recipe, "--data", str(data), "-o", str(out)]
    words += [word for override in overrides for word in ("--set", override)]
    words += ["--device", device] if device != "auto" else []
    return shlex.join(words)


def _print_plan(plan: Plan) -> None:
    show = partial(print_line, stderr=True)
    show(plan.study, bold=True)
    state = "here" if plan.base_present else "to be downloaded"
    show(f"\nBase: {plan.base} ({state})\n\nData")
    for need in plan.data:
        size = plan.gigabytes[need.path]
        about = "" if size is None else f", {size:,.2f} GB"
        if need.present:
            show(f"  present  {need.path}{about}")
            continue
        show(f"  MISSING  {need.path}{about}", fg="red")
        if need.source is not None:
            show(f"           from {need.source.address}")
            if need.source.about:
                show(f"           {need.source.about}")
    show("\nRuns")
    for run in plan.runs:
        text = f"  {run.name}: {len(run.done)} seeds done, {len(run.left)} left"
        if run.steps is not None:
            text += f"; {run.steps:,} steps and {run.evaluations:,} evaluations per seed"
        if run.seconds is not None:
            text += f", about {_duration(run.seconds)} ({run.known_from})"
        show(text)
    show("\nTo train one by itself, on another machine say:")
    command = next((run.commands[0] for run in plan.runs if run.commands), None)
    show(f"  {command or 'nothing is left to train'}")
    show(f"\nTraining what is left takes about {_duration(plan.training_seconds)}.")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
