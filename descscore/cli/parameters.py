"""How commands declare their parameters: arguments, options with a value, and flags."""

from __future__ import annotations

from typing import Any

import typer


def argument(metavar: str, help: str, **how: Any) -> Any:
    """An argument, whose default is not shown unless asked for; `how` is as in `typer.Argument`."""
    how = {"show_default": False} | how
    return typer.Argument(metavar=metavar, help=help, **how)


def option(metavar: str, help: str, *names: str, panel: str | None = None, **how: Any) -> Any:
    """An option with a value, named after its parameter unless it has names of its own.

    Args:
        metavar: what stands for the value.
        help: what it does, in a phrase.
        names: such as "-o" and "--output".
        panel: the group in the help.
        how: as in `typer.Option`.
    """
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, **how)


def flag(help: str, *names: str, panel: str | None = None, **how: Any) -> Any:
    """An option without a value, and without an opposite."""
    return option("", help, *names, panel=panel, **how)
