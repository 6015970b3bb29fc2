"""`descscore`: the commands and what they share."""

from __future__ import annotations

from typing import Annotated

import typer

from descscore.cli.audit import audit
from descscore.cli.calibrate import calibrate
from descscore.cli.compare import compare
from descscore.cli.console import WRONG, CommandGroup
from descscore.cli.evaluate import evaluate_app
from descscore.cli.explain import explain
from descscore.cli.info import info
from descscore.cli.parameters import flag
from descscore.cli.prepare import prepare
from descscore.cli.pretrain import pretrain
from descscore.cli.push import push
from descscore.cli.reproduce import reproduce
from descscore.cli.score import score
from descscore.cli.sweep import sweep
from descscore.cli.train import train

app = typer.Typer(
    cls=CommandGroup,
    help="Score how well texts describe images, with CLIP.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score")(score)
app.command("explain")(explain)
app.command("audit")(audit)
app.command("info")(info)
app.add_typer(evaluate_app, name="evaluate")
app.command("compare")(compare)
app.command("calibrate")(calibrate)
app.command("train")(train)
app.command("sweep")(sweep)
app.command("prepare")(prepare)
app.command("reproduce")(reproduce)
app.command("push")(push)
app.command("pretrain")(pretrain)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"descscore {version('descscore')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        flag("Show the version and exit.", "--version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Score how well texts describe images, with CLIP."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(WRONG)


def main() -> None:
    """Run the command line and exit."""
    app(prog_name="descscore")
