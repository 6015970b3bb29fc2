"""jsonl: one JSON object per line, UTF-8; blank lines are left out."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.strict_json import dump, parse
from descscore.tables.columns import Writer
from descscore.tables.table import Mark, MarkedTable, Row, scan

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.tables.columns import Cells
    from descscore.tables.table import Chunk


@dataclass(frozen=True, kw_only=True)
class JsonlTable(MarkedTable):
    """A jsonl table; `marks` are byte offsets and numbers of lines before them."""

    marks: tuple[Mark, ...] = ((0, 0),)

    def rows_from(self, mark: Mark) -> Iterator[Row]:
        """The rows from a mark on."""
        return (row for row, _ in _rows(self.path, mark))


def open_jsonl(path: Path) -> JsonlTable:
    """Read a jsonl table through once; a line that is no JSON object becomes a row with a problem.

    Raises:
        TableError: no line can be read.
    """
    return JsonlTable(path=path, **scan(_rows(path, (0, 0)), path))


class JsonlWriter(Writer):
    """Rows and their results as JSON objects; each row keeps its own keys.

    Args:
        added: names of the added columns.
        left_out: columns that are read and not written.
    """

    def __init__(self, added: Sequence[str], left_out: Sequence[str] = ()) -> None:
        self.added = tuple(added)
        self._left_out = frozenset(left_out)

    def encode(self, chunk: Chunk, results: Sequence[Cells]) -> bytes:
        """One line per row, a missing score as null."""
        lines = []
        for row, result in zip(chunk.rows, results, strict=True):
            kept = {name: v for name, v in row.values.items() if name not in self._left_out}
            lines.append(dump(kept | dict(zip(self.added, result, strict=True))).encode())
        return b"".join(line + b"\n" for line in lines)


def _rows(path: Path, mark: Mark) -> Iterator[tuple[Row, Mark]]:
    """Each row from a place on, and its place."""
    offset, number = mark
    # Lines of bytes: text files also end lines at characters that JSON strings may hold.
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            content = (line if offset else line.removeprefix(codecs.BOM_UTF8)).strip()
            if content:
                yield _row(content, number + 1), (offset, number)
            offset, number = offset + len(line), number + 1


def _row(line: bytes, number: int) -> Row:
    try:
        value = parse(line)
    except ValueError as error:
        return Row({}, f"line {number} is {error}")
    if not isinstance(value, dict):
        return Row({}, f"line {number} is not a JSON object")
    return Row(value)
