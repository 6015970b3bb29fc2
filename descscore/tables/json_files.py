"""JSON: jsonl, with one object per line; and files that are loaded whole.

jsonl is UTF-8; blank lines are left out. COCO results and annotations and CLIPScore candidates are
loaded whole, at about 0.5 kB of memory per row; the largest set of COCO images that captions are
evaluated on has 40,775 (test2014). A longer list is streamed if it is written as jsonl.
"""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.strict_json import dump, parse
from descscore.tables.table import Mark, MarkedTable, Row, Table, Writer, scan

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.tables.table import Cells, Chunk


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


@dataclass(frozen=True, kw_only=True)
class JsonTable(Table):
    """Rows from a JSON file.

    Attributes:
        items: the rows.
    """

    items: list[Row] = field(repr=False)
    image_column: str = "image_id"
    text_column: str = "caption"
    images_by_id: bool = True

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows from the given one on."""
        return itertools.islice(self.items, start, None)

    def facts(self) -> dict[str, object]:
        """Nothing: the file is read again."""
        return {"path": str(self.path)}


def open_json(path: Path) -> JsonTable:
    """Read COCO results, COCO annotations or CLIPScore candidates.

    An item of a list that is no object becomes a row with a problem.

    Raises:
        TableError: the file is something else, or no item is an object.
    """
    content = read_json(path, "a file with one JSON object a line is named .jsonl")
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        # COCO annotations are captions too, with an id of their own.
        content = content["annotations"] or content
    if isinstance(content, list):
        items = [
            Row(item)
            if isinstance(item, dict)
            else Row({}, f"item {number} is not an object with image_id and caption")
            for number, item in enumerate(content, start=1)
        ]
    elif isinstance(content, dict):
        _check_candidates(path, content)
        items = [Row({"image_id": name, "caption": text}) for name, text in content.items()]
    else:
        raise TableError(
            f'{path} is neither COCO results ([{{"image_id": 42, "caption": "…"}}]) nor '
            'CLIPScore candidates ({"42": "…"})'
        )
    return JsonTable(path=path, items=items, **scan(((item, (0, 0)) for item in items), path))


def read_json(path: Path, advice: str) -> object:
    """The value in a JSON file.

    Raises:
        TableError: it is not JSON.
    """
    try:
        return parse(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise TableError(f"{path} is {error}; {advice}") from None


def _check_candidates(path: Path, captions: dict[str, object]) -> None:
    for image_id, caption in captions.items():
        if not isinstance(caption, str):
            raise TableError(
                f"{path} gives {image_id!r} a {type(caption).__name__}, not a caption; candidates "
                'are an object of strings, {"42": "…"}, COCO results a list, '
                '[{"image_id": 42, "caption": "…"}]'
            )
