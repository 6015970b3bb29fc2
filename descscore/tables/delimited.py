"""csv and tsv: UTF-8, a header line, double quotes around fields with delimiters or line breaks.

A csv may hold what spreadsheets write: a first line `sep=;`, semicolons, tabs or bars instead of
commas, lone carriage returns as line ends, and empty columns without a name at the end.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from descscore.errors import TableError
from descscore.printable import valid_unicode
from descscore.strict_json import cell, is_utf16
from descscore.tables.table import MARK_EVERY, Mark, MarkedTable, Row, Writer, check_names

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from descscore.tables.table import Cells, Chunk

LONGEST_FIELD = 2**24
"""Characters of a field at most: a quote left open makes the rest of the file one field."""

_SEP_LINE = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=(.)"?\s*', re.IGNORECASE)
_AFTER_LONE_CR = re.compile(rb"(?<=\r)(?=[^\n])")


@dataclass(frozen=True, kw_only=True)
class DelimitedTable(MarkedTable):
    """A csv or tsv table; `marks` are byte offsets and numbers of lines before them.

    Attributes:
        delimiter: what stands between fields.
        width: fields in a record, those without a name included.
    """

    delimiter: str
    width: int

    def schema(self) -> pa.Schema:
        """Strings."""
        import pyarrow as pa

        return pa.schema([pa.field(column, pa.string()) for column in self.columns])

    def rows_from(self, mark: Mark) -> Iterator[Row]:
        """The rows from a mark on."""
        records = _Records(self.path, self.delimiter, mark, self.width, self.columns)
        return (Row(dict(zip(self.columns, record, strict=True))) for record in records)


def open_delimited(path: Path, delimiter: str) -> DelimitedTable:
    """Read a csv or tsv table through once.

    Raises:
        TableError: no header, a column name twice, a row with another number of fields than the
            header, quotes that don't match, or bytes that aren't UTF-8.
    """
    if delimiter == ",":
        delimiter = _delimiter(path)
    records = _Records(path, delimiter)
    stream = iter(records)
    if next(stream, None) is None:
        raise TableError(f"{path} is empty; it needs a header line that names its columns")
    check_names(records.columns, path)
    marks, n_rows = [records.place], 0
    for n_rows, _ in enumerate(stream, start=1):
        if n_rows % MARK_EVERY == 0:
            marks.append(records.place)
    return DelimitedTable(
        path=path,
        columns=records.columns,
        n_rows=n_rows,
        marks=tuple(marks),
        decimal_comma=delimiter == ";",
        delimiter=delimiter,
        width=records.width,
    )


class DelimitedWriter(Writer):
    """Rows and their results as csv or tsv."""

    def __init__(self, columns: Sequence[str], added: Sequence[str], delimiter: str) -> None:
        self.columns = tuple(columns)
        self.added = tuple(added)
        self.delimiter = delimiter

    def header(self) -> bytes:
        """The line that names the columns."""
        return self._encode([[*self.columns, *self.added]])

    def encode(self, chunk: Chunk, results: Sequence[Cells]) -> bytes:
        """One record per row, a missing score as an empty field."""
        return self._encode(
            [
                [cell(row.values.get(column)) for column in self.columns]
                + [cell(value) for value in result]
                for row, result in zip(chunk.rows, results, strict=True)
            ]
        )

    def _encode(self, records: list[list[str]]) -> bytes:
        text = io.StringIO(newline="")
        plain, quoting = (
            csv.writer(text, delimiter=self.delimiter, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        for record in records:
            # A lone carriage return ends a line for readers, but goes unquoted by itself.
            (quoting if any("\r" in field for field in record) else plain).writerow(record)
        return valid_unicode(text.getvalue()).encode()


def _delimiter(path: Path) -> str:
    """What stands between the fields of a csv: a comma, unless its first lines say otherwise."""
    with path.open("rb") as file:
        first = next((line for line in _lines(file, path) if line.strip()), b"")
    if named := _SEP_LINE.fullmatch(first):
        return named[1].decode("latin-1")
    bare = re.sub(rb'"[^"]*"', b"", first)
    return next((mark for mark in ",;\t|" if mark.encode() in bare), ",")


class _Records:
    """The header and the rows, each with as many fields as the header; blank lines are left out.

    Args:
        path: the file.
        delimiter: between fields.
        place: where to begin, behind the header; at the header by default.
        width: fields in a record, and
        columns: those that have a name; the header tells both.

    Attributes:
        place: byte offset and line number of what comes next.
    """

    def __init__(
        self,
        path: Path,
        delimiter: str,
        place: Mark = (0, 0),
        width: int = 0,
        columns: tuple[str, ...] = (),
    ) -> None:
        self.path, self.delimiter = path, delimiter
        self.place = place
        self.width, self.columns = width, columns

    def __iter__(self) -> Iterator[list[str]]:
        csv.field_size_limit(LONGEST_FIELD)
        with self.path.open("rb") as file:
            file.seek(self.place[0])
            reader = csv.reader(self._decoded(file), delimiter=self.delimiter, strict=True)
            try:
                yield from self._checked(reader)
            except csv.Error as error:
                raise TableError(
                    f"line {self.place[1]} of {self.path}: {error}; put a field that contains a "
                    'double quote in double quotes and double those inside it: "say ""so"""'
                ) from None

    def _checked(self, reader: Iterable[list[str]]) -> Iterator[list[str]]:
        for record in reader:
            named = len(self.columns)
            if not record or (named < self.width and not any(record)):
                continue
            line = f"line {self.place[1]} of {self.path}"
            if not self.width:
                if _SEP_LINE.fullmatch(self.delimiter.join(record).encode()):
                    continue
                self.width = len(record)
                named = max((i for i, name in enumerate(record, 1) if name.strip()), default=1)
                self.columns = tuple(record[:named])
            elif len(record) != self.width:
                raise TableError(
                    f"{line} has {len(record)} fields, the header has {self.width} "
                    f"({', '.join(self.columns):.200}); put fields that contain {self.delimiter!r} "
                    "or line breaks in double quotes"
                )
            elif any(record[named:]):
                raise TableError(
                    f"{line} has a value in a column without a name; name it in the header or "
                    "remove it"
                )
            yield record[:named]

    def _decoded(self, file: BinaryIO) -> Iterator[str]:
        for line in _lines(file, self.path):
            offset, number = self.place
            self.place = offset + len(line), number + 1
            try:
                yield line.decode("utf-8" if offset else "utf-8-sig")
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} in line {number + 1:,}"
                raise TableError(f"{self.path} is not UTF-8 ({byte}); save it as UTF-8") from None


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Lines that end at a line feed or at a lone carriage return."""
    rest = b""
    while piece := file.readline(2**20):
        if not rest and is_utf16(piece):
            raise TableError(f"{path} is UTF-16; save it as UTF-8")
        rest += piece
        if b"\r" in rest:
            *whole, rest = _AFTER_LONE_CR.split(rest)
            yield from whole
        if rest.endswith(b"\n"):
            yield rest
            rest = b""
        elif len(rest) > 8 * LONGEST_FIELD:
            raise TableError(
                f"{path} has a line of over {len(rest):,} bytes; it is not a csv table"
            )
    if rest:
        yield rest
