"""`descscore`: the commands and what they share."""

from __future__ import annotations

import typer

from descscore.cli.audit import audit
from descscore.cli.benchmark import benchmark
from descscore.cli.calibrate import calibrate
from descscore.cli.compare import compare
from descscore.cli.console import CommandGroup
from descscore.cli.explain import explain
from descscore.cli.human import human
from descscore.cli.info import info
from descscore.cli.norms import norms
from descscore.cli.parameters import flag
from descscore.cli.preference import preference
from descscore.cli.prepare import prepare
from descscore.cli.pretrain import pretrain
from descscore.cli.push import push
from descscore.cli.reproduce import reproduce
from descscore.cli.score import score
from descscore.cli.sweep import sweep
from descscore.cli.train import train
from descscore.cli.transfer import transfer

app = typer.Typer(
    cls=CommandGroup,
    help="Score how well texts describe images, with CLIP.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
evaluate = typer.Typer(
    cls=CommandGroup,
    help="Measure what a checkpoint can do.",
    invoke_without_command=True,
    rich_markup_mode="rich",
)
for command in (score, explain, audit, info):
    app.command(command.__name__)(command)
app.add_typer(evaluate, name="evaluate")
for command in (preference, transfer, human, benchmark, norms):
    evaluate.command(command.__name__)(command)
for command in (compare, calibrate, train, sweep, prepare, reproduce, push, pretrain):
    app.command(command.__name__)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"descscore {version('descscore')}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = flag(
        "--version", "Show the version and exit.", callback=_print_version, is_eager=True
    ),
) -> None:
    """Score how well texts describe images, with CLIP."""


def main() -> None:
    """Run the command line and exit."""
    app(prog_name="descscore")
