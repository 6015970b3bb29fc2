"""csv and tsv: UTF-8, a header line, double quotes around fields with delimiters or line breaks.

A csv may hold what spreadsheets write: a first line `sep=;`, semicolons, tabs or bars instead of
commas, lone carriage returns as line ends, and empty columns without a name at the end.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from descscore.errors import TableError
from descscore.printable import valid_unicode
from descscore.tables.strict_json import cell, is_utf16
from descscore.tables.table import Row, Table, check_columns

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.tables.columns import Cells

LONGEST_FIELD = 2**24
"""Characters of a field at most: a quote left open makes the rest of the file one field."""

_SEP_LINE = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=(.)"?\s*', re.IGNORECASE)
_AFTER_LONE_CR = re.compile(rb"(?<=\r)(?=[^\n])")


def open_delimited(path: Path, delimiter: str) -> Table:
    """Read a csv or tsv table through once.

    Raises:
        TableError: no header, a column name twice, a row with another number of fields than the
            header, quotes that don't match, or bytes that aren't UTF-8.
    """
    if delimiter == ",":
        delimiter = _delimiter(path)
    columns = next(_records(path, delimiter), None)
    if columns is None:
        raise TableError(f"{path} is empty; it needs a header line that names its columns")
    check_columns(columns, path)
    return Table(
        path=path,
        columns=tuple(columns),
        n_rows=sum(1 for _ in _rows(path, delimiter)),
        decimal_comma=delimiter == ";",
        read=lambda: _rows(path, delimiter),
    )


class DelimitedWriter:
    """Rows and their results as csv or tsv."""

    def __init__(self, columns: Sequence[str], added: Sequence[str], delimiter: str) -> None:
        self.columns = tuple(columns)
        self.added = tuple(added)
        self.delimiter = delimiter

    def header(self) -> bytes:
        """The line that names the columns."""
        return self._encode([[*self.columns, *self.added]])

    def encode(self, rows: Sequence[Row], results: Sequence[Cells]) -> bytes:
        """One record a row, a missing score as an empty field."""
        return self._encode(
            [
                [cell(row.values.get(column)) for column in self.columns]
                + [cell(value) for value in result]
                for row, result in zip(rows, results, strict=True)
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


def _rows(path: Path, delimiter: str) -> Iterator[Row]:
    records = _records(path, delimiter)
    columns = next(records)
    for record in records:
        yield Row(dict(zip(columns, record, strict=True)))


def _records(path: Path, delimiter: str) -> Iterator[list[str]]:
    """The header and the rows, each with as many fields as the header; blank lines are left out."""
    csv.field_size_limit(LONGEST_FIELD)
    width, named, header = 0, 0, ""
    with path.open("rb") as file:
        reader = csv.reader(_decoded(file, path), delimiter=delimiter, strict=True)
        try:
            for record in reader:
                if not record or (named < width and not any(record)):
                    continue
                if not width:
                    if reader.line_num == 1 and _SEP_LINE.fullmatch(
                        delimiter.join(record).encode()
                    ):
                        continue
                    width, header = len(record), ", ".join(record)
                    named = max((i for i, name in enumerate(record, 1) if name.strip()), default=1)
                if len(record) != width:
                    raise TableError(
                        f"line {reader.line_num} of {path} has {len(record)} fields, the header "
                        f"has {width} ({header:.200}); put fields that hold {delimiter!r} or line "
                        "breaks in double quotes"
                    )
                if any(record[named:]):
                    raise TableError(
                        f"line {reader.line_num} of {path} has a value in a column without a name; "
                        "name it in the header or remove it"
                    )
                yield record[:named]
        except csv.Error as error:
            raise TableError(
                f"line {reader.line_num} of {path}: {error}; put a field that holds a double quote "
                'in double quotes and double those inside it: "say ""so"""'
            ) from None


def _decoded(file: BinaryIO, path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(file, path), start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = f"byte 0x{line[error.start]:02x} in line {number:,}"
            raise TableError(f"{path} is not UTF-8 ({byte}); save it as UTF-8") from None


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
            raise TableError(f"{path} has a line of over {len(rest):,} bytes; it is no csv table")
    if rest:
        yield rest
