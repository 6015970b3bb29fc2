"""A table of pairs, whatever its format: its columns, their number, and the rows as a stream."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from descscore.errors import TableError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        values: column -> value as read; csv and tsv give strings only.
        problem: why the row could not be read; its values are empty then.
    """

    values: dict[str, object]
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that was read through once, so that its faults are known before anything is scored.

    Attributes:
        path: the file.
        columns: every column of any row, in the order they first come.
        n_rows: number of rows.
        image_column: where this format keeps images unless the user names another column.
        text_column: the same for texts.
        images_by_id: images are named by an id, not by a path.
        decimal_comma: numbers may be written as in 3,5.
        holds_bytes: columns of raw bytes, which only parquet can keep.
        read: starts a new stream over all rows.
    """

    path: Path
    columns: tuple[str, ...]
    n_rows: int
    image_column: str = "image"
    text_column: str = "text"
    images_by_id: bool = False
    decimal_comma: bool = False
    holds_bytes: tuple[str, ...] = ()
    read: Callable[[], Iterator[Row]] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.n_rows:
            raise TableError(f"{self.path} holds no rows; there is nothing to score")

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows from the given one on, counted from 0."""
        return itertools.islice(self.read(), start, None)

    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


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
    has = ", ".join(map(repr, columns))  # in quotes, so that a stray space is seen
    return TableError(f"{place} has no column {column!r}; it has {has}{meant}: {advice}")


MOST_COLUMNS = 10_000


def check_columns(columns: Iterable[str], path: Path) -> None:
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


def scan(rows: Iterable[Row], path: Path) -> tuple[tuple[str, ...], int]:
    """Columns and number of the rows of a format whose rows name their own columns.

    Raises:
        TableError: there are rows, but none of them can be read, or they have too many columns.
    """
    columns: dict[str, None] = {}
    n_rows = 0
    first_problem: str | None = None
    for row in rows:
        n_rows += 1
        columns.update(dict.fromkeys(row.values))
        _check_number(columns, path)
        first_problem = first_problem or row.problem
    if not columns and first_problem is not None:
        raise TableError(f"{path} has no row that can be read: {first_problem}")
    return tuple(columns), n_rows
