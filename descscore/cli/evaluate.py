"""`descscore evaluate`: what a checkpoint can do, measured."""

from __future__ import annotations

import typer

from descscore.cli.benchmark import benchmark
from descscore.cli.console import WRONG, CommandGroup
from descscore.cli.human import human
from descscore.cli.norms import norms
from descscore.cli.preference import preference
from descscore.cli.transfer import transfer

evaluate_app = typer.Typer(
    cls=CommandGroup,
    help="Measure what a checkpoint can do.",
    invoke_without_command=True,
    rich_markup_mode="rich",
)
evaluate_app.command("preference")(preference)
evaluate_app.command("transfer")(transfer)
evaluate_app.command("human")(human)
evaluate_app.command("benchmark")(benchmark)
evaluate_app.command("norms")(norms)


@evaluate_app.callback()
def options(context: typer.Context) -> None:
    """Measure what a checkpoint can do."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(WRONG)
