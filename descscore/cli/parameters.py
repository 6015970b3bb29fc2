"""How commands declare their parameters: arguments, options with a value, and flags.

A parameter is declared as its default. Those that several commands share are in
`descscore.cli.options`.
"""

from __future__ import annotations

from typing import Any

import typer


def argument(default: Any, metavar: str, help: str, **how: Any) -> Any:
    """An argument, whose default is not shown unless asked for; `how` is as in `typer.Argument`."""
    how = {"show_default": False} | how
    return typer.Argument(default, metavar=metavar, help=help, **how)


def option(default: Any, form: str, help: str, panel: str | None = None, **how: Any) -> Any:
    """An option with a value.

    Args:
        default: its value where it is not given; `...` if it must be.
        form: how it is given, as in "-o --output FILE"; "FILE" alone if it is named after its
            parameter.
        help: what it does, in a phrase.
        panel: the group in the help.
        how: as in `typer.Option`.
    """
    names = [word for word in form.split() if word.startswith("-")]
    metavar = form.removeprefix(" ".join(names)).strip()
    return typer.Option(default, *names, metavar=metavar, help=help, rich_help_panel=panel, **how)


def flag(form: str, help: str, panel: str | None = None, **how: Any) -> Any:
    """An option without a value, and without an opposite."""
    return option(False, form, help, panel, **how)
