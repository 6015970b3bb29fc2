"""Commands run in the process of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from descscore.cli.app import app


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


def command_line(capsys: pytest.CaptureFixture[str], *first: str) -> Callable[..., Done]:
    """A function that runs a command with arguments, those in `first` before them."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as exit_:
            app([*first, *map(str, arguments)], prog_name="descscore")
        shown = capsys.readouterr()
        return Done(int(exit_.value.code or 0), shown.out, shown.err)

    return run
