"""`descscore reproduce`: train and measure all runs of a study, and report them beside the paper."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from descscore.cli.console import (
    INTERRUPTED,
    SOME_FAILED,
    print_json,
    say_error,
    say_note,
    warnings_as_notes,
)
from descscore.cli.options import DataOption, OutOption, SetOption, TrainingDeviceOption
from descscore.extras import imports_of

if TYPE_CHECKING:
    from descscore_training.reproduction.layout import Table


def reproduce(
    recipe: Annotated[
        str, typer.Argument(help="A TOML file, or a shipped study: paper or miniature.")
    ],
    data: DataOption,
    out: OutOption,
    overrides: SetOption = None,
    device: TrainingDeviceOption = "auto",
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            metavar="",
            help="Only say what would be run, on what data, and time a few steps.",
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print the results as JSON on stdout.")
    ] = False,
) -> None:
    r"""Train and measure all runs of a study; called again, it goes on where it was interrupted.

    Needs `pip install "descscore\[reproduce]"`. Writes report.html, report.md, results.json and
    figures, with the paper's numbers beside each row.
    """
    with imports_of("reproduce"):
        from descscore_training.reproduction.layout import layout
        from descscore_training.reproduction.plan import make_plan
        from descscore_training.reproduction.reproduce import reproduce as run
        from descscore_training.reproduction.study import find_study, load_study

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
            done = run(
                study, path, data, out, device=device, say=_say, command=command
            )
        except KeyboardInterrupt:
            say_error("interrupted; what is done is kept, repeat the command to go on")
            raise typer.Exit(INTERRUPTED) from None
    if json:
        print_json(done.results)
    else:
        for table in layout(done.results)[:-1]:
            _print_table(table)
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


def _print_table(table: Table) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Shown

    shown = Shown(box=None, padding=(0, 2, 0, 0), header_style="bold", title_justify="left")
    shown.title = escape(table.title)
    for head in table.heads:
        shown.add_column(escape(head), overflow="fold")
    for column in table.columns:
        shown.add_column(escape(column), justify="right", overflow="fold")
    for line in table.lines:
        shown.add_row(*map(escape, line.heads + line.cells), style="dim" if line.paper else None)
    Console(stderr=True, highlight=False).print(shown)
