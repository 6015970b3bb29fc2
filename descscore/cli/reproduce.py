"""`descscore reproduce`: train and measure all runs of a study, and report them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from descscore.cli import options
from descscore.cli.console import (
    INTERRUPTED,
    SOME_FAILED,
    print_json,
    say_error,
    say_note,
    warnings_as_notes,
)
from descscore.cli.tables import new_table, show_table
from descscore.extras import imports_of

if TYPE_CHECKING:
    from descscore_training.study.layout import Table
    from descscore_training.study.plan import Plan, PlannedRun


def reproduce(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="A TOML file, or a shipped study: paper or miniature."
        ),
    ],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="The data folder of the study.")
    ],
    out: options.Out,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a value of the study, as in seeds=[0]; may be repeated.",
        ),
    ] = None,
    device: options.TrainingDevice = "auto",
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            metavar="",
            help="Only say what would be run, on what data, and time a few steps.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    r"""Train and measure all runs of a study; called again, it goes on where it was interrupted.

    Needs `pip install "descscore\[reproduce]"`. Writes report.html, report.md, results.json and
    figures, with the paper's numbers beside each row.
    """
    with imports_of("reproduce"):
        from descscore_training.study.layout import layout
        from descscore_training.study.plan import count_done, make_plan
        from descscore_training.study.reproduce import reproduce as run
        from descscore_training.study.study import find_study, load_study

    path = find_study(recipe)
    study = load_study(path, overrides or ())
    command = _command(recipe, data, out, overrides or (), device)
    with warnings_as_notes(shown=True):
        if plan:
            planned = make_plan(study, path, data, out, device=device, say=_say)
            if json:
                print_json(planned.as_dict())
            else:
                _print_plan(planned)
            return
        try:
            done = run(study, path, data, out, device=device, say=_say, command=command)
        except KeyboardInterrupt:
            done, total = count_done(study, path, data, out)
            say_error(
                f"interrupted; {done} of {total} trainings are done; repeat the command to go on"
            )
            raise typer.Exit(INTERRUPTED) from None
    if json:
        print_json(done.results)
    else:
        for results in layout(done.results)[:-1]:
            _print_table(results)
        typer.echo(done.report)
    if done.failed:
        for name, error in done.failed.items():
            say_note(f"{name} failed: {error}")
        raise typer.Exit(SOME_FAILED)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _command(recipe: str, data: Path, out: Path, overrides: Any, device: str) -> str:
    """The command as it would be typed again."""
    words = ["descscore", "reproduce", recipe, "--data", str(data), "-o", str(out)]
    words += [word for override in overrides for word in ("--set", override)]
    words += ["--device", device] if device != "auto" else []
    return shlex.join(words)


def _print_plan(plan: Plan) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(plan.study, style="bold", markup=False)
    state = "here" if plan.base_present else "to be downloaded"
    console.print(f"\nBase: {plan.base} ({state})\n\nData", markup=False)
    for need in plan.data:
        size = plan.gigabytes[need.path]
        about = "" if size is None else f", {size:,.2f} GB"
        if need.present:
            console.print(f"  present  {need.path}{about}", markup=False)
            continue
        console.print(f"  MISSING  {need.path}{about}", style="red", markup=False)
        if need.source is not None:
            console.print(f"           from {need.source.address}", markup=False)
            if need.source.about:
                console.print(f"           {need.source.about}", markup=False)
    console.print("\nRuns", markup=False)
    for run in plan.runs:
        console.print(f"  {_planned(run)}", markup=False)
    console.print("\nTo train one by itself, on another machine say:", markup=False)
    command = next((run.commands[0] for run in plan.runs if run.commands), None)
    console.print(f"  {command or 'nothing is left to train'}", markup=False)
    console.print("\nEstimates, from a few timed steps on this machine", markup=False)
    for what, seconds in (
        ("training what is left", plan.training_seconds),
        ("all evaluations", plan.measuring_seconds),
    ):
        console.print(f"  {what}: {_duration(seconds)}", markup=False)
    if plan.unmeasured is not None:
        console.print(f"  evaluations were not timed: {plan.unmeasured}", markup=False)
    room = plan.output_gigabytes
    console.print(
        f"  disk for what is left: {'unknown' if room is None else f'{room:,.2f} GB'}", markup=False
    )


def _planned(run: PlannedRun) -> str:
    text = f"{run.name}: {len(run.done)} seeds done, {len(run.left)} left"
    if run.time is not None:
        time = run.time
        text += (
            f"; at most {time.steps:,} steps of {time.seconds_per_step:.3g} s and "
            f"{time.evaluations:,} evaluations of {time.seconds_per_evaluation:.3g} s each: "
            f"{_duration(time.seconds)} a seed"
        )
    elif run.untimed is not None:
        text += f"; not timed: {run.untimed}"
    return text


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _print_table(of: Table) -> None:
    from rich.markup import escape

    shown = new_table()
    for head in of.heads:
        shown.add_column(escape(head), overflow="fold")
    for column in of.columns:
        shown.add_column(escape(column), justify="right", overflow="fold")
    for line in of.lines:
        shown.add_row(*map(escape, line.heads + line.cells), style="dim" if line.paper else None)
    typer.secho(of.title, italic=True, err=True)
    show_table(shown, stderr=True)
