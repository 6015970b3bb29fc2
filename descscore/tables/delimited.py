"""csv and tsv: UTF-8, a header line, double quotes around fields with delimiters or line breaks.

A csv whose header holds semicolons and no comma, as spreadsheets write it where numbers have a
decimal comma, is read with semicolons between its fields.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.tables.strict_json import UTF16, cell
from descscore.tables.table import Row, Table, check_unique

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.tables.columns import Cells

LONGEST_FIELD = 2**24
"""Characters of a field at most: a quote left open makes the rest of the file one field."""


def open_delimited(path: Path, delimiter: str) -> Table:
    """Read a csv or tsv table through once.

    Raises:
        TableError: no header, a column name twice, a row with another number of fields than the
            header, quotes that don't match, or bytes that aren't UTF-8.
    """
    if delimiter == "," and _has_semicolons(path):
        delimiter = ";"
    columns = next(_records(path, delimiter), None)
    if columns is None:
        raise TableError(f"{path} is empty; it needs a header line that names its columns")
    check_unique(columns, path)
    return Table(
        path=path,
        columns=tuple(columns),
        n_rows=sum(1 for _ in _rows(path, delimiter)),
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
        return text.getvalue().encode()


def _has_semicolons(path: Path) -> bool:
    """Whether the header has semicolons and no comma, but for those in double quotes."""
    with path.open("rb") as lines:
        header = next((line for line in lines if line.strip()), b"")
    bare = re.sub(rb'"[^"]*"', b"", header)
    return b";" in bare and b"," not in bare


def _rows(path: Path, delimiter: str) -> Iterator[Row]:
    records = _records(path, delimiter)
    columns = next(records)
    for record in records:
        yield Row(dict(zip(columns, record, strict=True)))


def _records(path: Path, delimiter: str) -> Iterator[list[str]]:
    """The header and the rows, each with as many fields as the header; blank lines are left out."""
    csv.field_size_limit(LONGEST_FIELD)
    width = 0
    header = ""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for record in reader:
                if not record:
                    continue
                if not width:
                    width, header = len(record), ", ".join(record)
                if len(record) != width:
                    raise TableError(
                        f"line {reader.line_num} of {path} has {len(record)} fields, the header "
                        f"has {width} ({header}); put fields that hold {delimiter!r} or line "
                        "breaks in double quotes"
                    )
                yield record
        except csv.Error as error:
            raise TableError(
                f"line {reader.line_num} of {path}: {error}; put a field that holds a double quote "
                'in double quotes and double those inside it: "say ""so"""'
            ) from None
        except UnicodeDecodeError:
            raise _not_utf8(path) from None


def _not_utf8(path: Path) -> TableError:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1 and line.startswith(UTF16):
                return TableError(f"{path} is UTF-16; save it as UTF-8")
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} in line {number:,}"
                return TableError(f"{path} is not UTF-8 ({byte}); save it as UTF-8")
    return TableError(f"{path} is not UTF-8; save it as UTF-8")
