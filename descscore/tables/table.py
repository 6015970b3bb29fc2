"""A table of pairs, whatever its format: its columns, its rows as a stream, its writer."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from descscore.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

Mark = tuple[int, int]

Cells = tuple[float | bool | str | None, ...]
"""What is added to one row: its score, readouts, whether it was truncated, and its error."""

MOST_COLUMNS = 10_000
MARK_EVERY = 1024
"""Rows between two places from which a table can be read without what comes before them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        values: column -> value as read; csv and tsv give strings only.
        problem: why the row, or a value of it, could not be read.
    """

    values: dict[str, object]
    problem: str | None = None


class Chunk(NamedTuple):
    """Successive rows.

    Attributes:
        rows: with the columns that were asked for.
        batch: all columns as Arrow keeps them, where the table is parquet.
    """

    rows: list[Row]
    batch: pa.RecordBatch | None = None


@dataclass(frozen=True, kw_only=True)
class Table(ABC):
    """A table that was read through once, so that its faults are known before anything is scored.

    Attributes:
        path: the file.
        columns: every column of any row, in the order they first come.
        n_rows: number of rows.
        marks: where every 1,024th row begins, in the terms of the format; empty if it needs none.
        image_column: where this format keeps images unless the user names another column.
        text_column: the same for texts.
        images_by_id: images are named by an id, not by a path.
        decimal_comma: numbers may be written as in 3,5.
        holds_bytes: columns of raw bytes, which only parquet can keep.
        left_out: columns that are read and not written, such as the images of an archive.
    """

    path: Path
    columns: tuple[str, ...]
    n_rows: int
    marks: tuple[Mark, ...] = ()
    image_column: str = "image"
    text_column: str = "text"
    images_by_id: bool = False
    decimal_comma: bool = False
    holds_bytes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.n_rows:
            raise TableError(f"{self.path} has no rows; there is nothing to score")

    @property
    def written(self) -> tuple[str, ...]:
        """The columns that an output keeps."""
        return tuple(column for column in self.columns if column not in self.left_out)

    @abstractmethod
    def rows(self, start: int = 0) -> Iterator[Row]:
        """A new stream of the rows from the given one on, counted from 0."""

    def chunks(
        self, size: int, start: int = 0, stop: int | None = None, columns: Sequence[str] = ()
    ) -> Iterator[Chunk]:
        """Some rows at a time.

        Args:
            size: rows in a chunk; the last may have fewer.
            start: the first row.
            stop: the row after the last; by default all are read.
            columns: the only ones whose values are needed; all by default.
        """
        count = (self.n_rows if stop is None else stop) - start
        rows = itertools.islice(self.rows(start), count)
        while found := list(itertools.islice(rows, size)):
            yield Chunk(found)

    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def schema(self) -> pa.Schema | None:
        """The types of its columns, where the format has any; Arrow's strings for csv and tsv."""
        return None

    def fingerprint(self) -> str:
        """SHA-256 of the file's size, its first and its last MiB: quick for files of any size."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            content = file.read(2**20)
            file.seek(max(0, size - 2**20))
            content += file.read(2**20)
        return hashlib.sha256(content + str(size).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """What `open_table` need not find out again, as plain values."""
        return asdict(self) | {"path": str(self.path)}

    def check_columns(self, needed: Iterable[str], advice: str = "name the right one") -> None:
        """Refuse a table that lacks a column.

        Args:
            needed: the columns.
            advice: what to do.

        Raises:
            TableError: it lacks one; the message lists those that it has.
        """
        for column in needed:
            if column not in self.columns:
                raise lacks_column(self.path, column, self.columns, advice)


@dataclass(frozen=True, kw_only=True)
class MarkedTable(Table):
    """A table whose file is read in order, from `marks`: byte offsets and what the format adds."""

    @abstractmethod
    def rows_from(self, mark: Mark) -> Iterator[Row]:
        """The rows from a mark on."""

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows from the given one on."""
        place = min(start // MARK_EVERY, len(self.marks) - 1)
        return itertools.islice(self.rows_from(self.marks[place]), start - place * MARK_EVERY, None)


def lacks_column(place: object, column: str, columns: Collection[str], advice: str) -> TableError:
    """What to say of a table without a column: those that it has, and which of them may be meant.

    Args:
        place: the table.
        column: what it lacks.
        columns: what it has.
        advice: what to do.
    """
    alike = {name.strip().casefold(): name for name in columns}
    near = get_close_matches(column.strip().casefold(), alike, n=1, cutoff=0.8)
    meant = f" (did you mean {alike[near[0]]!r}?)" if near else ""
    has = ", ".join(map(repr, itertools.islice(columns, 50)))  # in quotes: a stray space is seen
    more = f" and {len(columns) - 50:,} more" if len(columns) > 50 else ""
    return TableError(f"{place} has no column {column!r}; it has {has}{more}{meant}: {advice}")


def check_names(columns: Iterable[str], path: Path) -> None:
    """Refuse a table in which one name stands for two columns, or that has too many of them.

    Raises:
        TableError: a name comes twice, or there are more than 10,000.
    """
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise TableError(f"{path} has two columns named {column!r:.200}; rename one of them")
        seen.add(column)
    _check_number(seen, path)


def _check_number(columns: Collection[str], path: Path) -> None:
    if len(columns) > MOST_COLUMNS:
        raise TableError(
            f"{path} has {len(columns):,} columns; the limit is {MOST_COLUMNS:,}: keep values, not "
            "names, in rows"
        )


def scan(rows: Iterable[tuple[Row, Mark]], path: Path) -> dict[str, Any]:
    """Columns, number and marks of rows that name their own columns, each with its place.

    Raises:
        TableError: there are rows, but none of them can be read, or they have too many columns.
    """
    columns: dict[str, None] = {}
    marks: list[Mark] = []
    n_rows = 0
    first_problem: str | None = None
    for row, place in rows:
        if n_rows % MARK_EVERY == 0:
            marks.append(place)
        n_rows += 1
        columns.update(dict.fromkeys(row.values))
        _check_number(columns, path)
        first_problem = first_problem or row.problem
    if not columns and first_problem is not None:
        raise TableError(f"{path} has no row that can be read: {first_problem}")
    return {"columns": tuple(columns), "n_rows": n_rows, "marks": tuple(marks)}


class Writer:
    """Rows and what is added to them, as parts in one format and as the file that joins them.

    Attributes:
        added: names of the added columns.
        keeps_batches: writes the rows of a parquet table from Arrow's form of them.
    """

    added: tuple[str, ...]
    keeps_batches = False

    def header(self) -> bytes:
        """What comes before the first row."""
        return b""

    def encode(self, chunk: Chunk, results: Sequence[Cells]) -> bytes:
        """Some rows, in a format that is written piece by piece."""
        raise NotImplementedError

    def write(
        self, chunks: Iterable[tuple[Chunk, Sequence[Cells]]], out: Path, *, whole: bool = False
    ) -> None:
        """Write one part; with `whole`, a file by itself."""
        with out.open("wb") as file:
            if whole:
                file.write(self.header())
            for chunk, results in chunks:
                file.write(self.encode(chunk, results))

    def join(self, parts: Iterable[Path], out: Path) -> None:
        """Write the file that holds some parts."""
        with out.open("wb") as file:
            file.write(self.header())
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file, 2**20)
