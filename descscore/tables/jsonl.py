"""jsonl: one JSON object a line, UTF-8; blank lines are left out."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from descscore.tables.strict_json import dump, parse
from descscore.tables.table import Row, Table, scan

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.tables.columns import Cells


def open_jsonl(path: Path) -> Table:
    """Read a jsonl table through once; a line that is no JSON object becomes a row with a problem.

    Raises:
        TableError: no line can be read.
    """
    columns, n_rows = scan(_rows(path), path)
    return Table(path=path, columns=columns, n_rows=n_rows, read=lambda: _rows(path))


class JsonlWriter:
    """Rows and their results as JSON objects; each row keeps its own keys."""

    def __init__(self, added: Sequence[str]) -> None:
        self.added = tuple(added)

    def header(self) -> bytes:
        """Nothing: each line names its columns."""
        return b""

    def encode(self, rows: Sequence[Row], results: Sequence[Cells]) -> bytes:
        """One line a row, a missing score as null."""
        return b"".join(
            dump(row.values | dict(zip(self.added, result, strict=True))).encode() + b"\n"
            for row, result in zip(rows, results, strict=True)
        )


def _rows(path: Path) -> Iterator[Row]:
    # Lines of bytes: text files also end lines at characters that JSON strings may hold.
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip()
            if content:
                yield _row(content, number)


def _row(line: bytes, number: int) -> Row:
    try:
        value = parse(line)
    except ValueError as error:
        return Row({}, f"line {number} is {error}")
    if not isinstance(value, dict):
        return Row({}, f"line {number} is not a JSON object")
    return Row(value)
