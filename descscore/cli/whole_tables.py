"""What the commands that work through a table have in common: how they begin, stop and end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from descscore.cli.console import SOME_FAILED, WRONG, interruption_reported, print_error

if TYPE_CHECKING:
    from descscore.cli.progress import TableProgress


@contextmanager
def report_interruption(
    progress: TableProgress, *, option: str = " with --resume"
) -> Iterator[None]:
    """When interrupted, say how far it came and how to go on, and exit.

    Args:
        progress: of the command.
        option: what it needs for that, if anything.
    """

    def stopped() -> str:
        progress.stop()
        if progress.total is None:
            return ""
        return (
            f" after {progress.done:,} of {progress.total:,} rows; repeat the command{option} "
            "to go on"
        )

    with interruption_reported(stopped):
        yield


def exit_if_failed(rows: int, failed: int, first_error: str | None, *, done: str) -> None:
    """Exit with the code that says that some rows failed, or that all did.

    Args:
        rows: of the table.
        failed: of them.
        first_error: why the first of them did.
        done: what was to be done with them, such as "scored".
    """
    if failed == rows:
        print_error(f"nothing was {done}: all {rows:,} rows failed, the first: {first_error}")
        raise typer.Exit(WRONG)
    if failed:
        raise typer.Exit(SOME_FAILED)
