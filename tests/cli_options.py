"""The options of each command as a table in Markdown, made from the commands themselves.

`python -m tests.cli_options` brings `docs/cli.md` up to date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from descscore.cli.app import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

_TABLE = re.compile(r"(<!-- options of ([\w ]+) -->).*?(<!-- end -->)", re.DOTALL)


def commands() -> dict[str, Any]:
    """Every command by its name, those of a group with the group's name before."""
    return dict(_commands(typer.main.get_command(app)))


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def with_tables(page: str) -> str:
    """A page with its tables as the commands now are."""
    return _TABLE.sub(lambda found: found[1] + _table(commands()[found[2]]) + found[3], page)


def _table(command: Any) -> str:
    rows = sorted(_rows(command), key=lambda row: not row.endswith("required |"))
    return "\n".join(["", "", "| option | does | default |", "| --- | --- | --- |", *rows, "", ""])


def _rows(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if parameter.param_type_name != "option" or parameter.name == "help":
            continue
        names = ", ".join(f"`{name}`" for name in sorted(parameter.opts, key=len))
        metavar = (parameter.metavar or "").replace("|", "\\|")  # a bar would end the cell
        value = f" `{metavar}`" if metavar else ""
        does = parameter.help + (f" Or set `{parameter.envvar}`." if parameter.envvar else "")
        given = parameter.default if parameter.default and not parameter.is_flag else None
        default = "required" if parameter.required else f"`{given}`" if given else ""
        yield f"| {names}{value} | {does} | {default} |"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
