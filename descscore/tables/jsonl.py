"""jsonl: one JSON object per line, UTF-8; blank lines are left out."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.strict_json import dump, parse
from descscore.tables.columns import Writer
from descscore.tables.table import MARK_EVERY, Row, Table, scan, start_mark

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.tables.columns import Cells
    from descscore.tables.table import Chunk


@dataclass(frozen=True, kw_only=True)
class JsonlTable(Table):
    """A jsonl table; `marks` are byte offsets and line numbers."""

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows from the given one on."""
        mark, skipped = start_mark(self.marks, start)
        rows = _rows(self.path, mark or (0, 0))
        return (row for row, _ in itertools.islice(rows, skipped, None))


def open_jsonl(path: Path) -> JsonlTable:
    """Read a jsonl table through once; a line that is no JSON object becomes a row with a problem.

    Raises:
        TableError: no line can be read.
    """
    marks = [(0, 0)]

    def marked() -> Iterator[Row]:
        for number, (row, place) in enumerate(_rows(path, (0, 0)), start=1):
            if number % MARK_EVERY == 0:
                marks.append(place)
            yield row

    columns, n_rows = scan(marked(), path)
    return JsonlTable(path=path, columns=columns, n_rows=n_rows, marks=tuple(marks))


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


def _rows(path: Path, place: tuple[int, int]) -> Iterator[tuple[Row, tuple[int, int]]]:
    """Each row from a place on, and the place behind it."""
    offset, number = place
    # Lines of bytes: text files also end lines at characters that JSON strings may hold.
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            offset, number = offset + len(line), number + 1
            content = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip()
            if content:
                yield _row(content, number), (offset, number)


def _row(line: bytes, number: int) -> Row:
    try:
        value = parse(line)
    except ValueError as error:
        return Row({}, f"line {number} is {error}")
    if not isinstance(value, dict):
        return Row({}, f"line {number} is not a JSON object")
    return Row(value)
