"""`descscore evaluate`: what a checkpoint's scores are worth."""

from __future__ import annotations

import typer

from descscore.cli.benchmark import benchmark
from descscore.cli.human import human

evaluate_app = typer.Typer(
    help="Measure what a checkpoint's scores are worth.", no_args_is_help=True
)
evaluate_app.command("human")(human)
evaluate_app.command("benchmark")(benchmark)
