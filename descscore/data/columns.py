"""What is added to each row of a table, under which names, and how rows with it are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from descscore.data.table import Row, Table
from descscore.errors import TableError


class Result(NamedTuple):
    """What is added to one row.

    Attributes:
        score: None where the row could not be scored.
        truncated: whether the text was longer than the checkpoint's window.
        error: why the row could not be scored.
    """

    score: float | None
    truncated: bool
    error: str | None


class Writer(Protocol):
    """Rows and their results as the bytes of one format, to be appended to a file."""

    def header(self) -> bytes:
        """What comes before the first row."""
        ...

    def encode(self, rows: Sequence[Row], results: Sequence[Result]) -> bytes:
        """The given rows, whole."""
        ...


def result_columns(table: Table, column_prefix: str) -> tuple[str, ...]:
    """Names of the added columns.

    Raises:
        TableError: the table has one of them already.
    """
    added = tuple(column_prefix + name for name in Result._fields)
    for name in added:
        if name in table.columns:
            other = f"{column_prefix}descscore_"
            raise TableError(
                f"{table.path} already has a column {name!r}; give the added columns other names "
                f"with --column-prefix {other} ({other}score and so on)"
            )
    return added
