"""Human ratings of items, read from a table and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import OptionError, TableError
from descscore.tables.formats import open_table
from descscore.tables.numbers import read_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float

    from descscore.tables.table import Table


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """Ratings, one entry each.

    Attributes:
        items: the id of the item that was rated.
        groups: the group of the rater.
        questions: the question.
        values: the answer.
    """

    items: tuple[str, ...]
    groups: tuple[str, ...]
    questions: tuple[str, ...]
    values: Float[np.ndarray, " rating"]

    def __add__(self, other: Ratings) -> Ratings:
        return Ratings(
            items=self.items + other.items,
            groups=self.groups + other.groups,
            questions=self.questions + other.questions,
            values=np.concatenate([self.values, other.values]),
        )


def read_ratings(
    path: str | os.PathLike[str],
    *,
    id_column: str = "id",
    questions: str | Mapping[str, str] | Sequence[str] = ("rating",),
    group_column: str | None = None,
    group: str = "all",
    lowest: float = 1,
    highest: float = 5,
) -> Ratings:
    """Read ratings: one row per person and item, with one column per question.

    An empty field means no answer.

    Args:
        path: csv, tsv, jsonl or parquet.
        id_column: the column of item ids.
        questions: one or several columns of ratings, or a mapping of columns to question names.
        group_column: the column of rater groups.
        group: the name of the only group, without `group_column`.
        lowest: the lowest possible rating.
        highest: the highest possible rating.

    Raises:
        TableError: the file or a column is missing, there is no rating, or one is not a number
            between `lowest` and `highest`.
        OptionError: the lowest rating is not below the highest, or there are no questions.
    """
    if not lowest < highest:
        raise OptionError(
            f"ratings range from {lowest:g} to {highest:g}; the first must be the lower one"
        )
    listed = [questions] if isinstance(questions, str) else questions
    named = listed if isinstance(listed, Mapping) else {name: name for name in listed}
    if not named:
        raise OptionError("there are no questions; name at least one column with ratings")
    table = open_table(path)
    table.check_columns([id_column, *named, *([group_column] if group_column else [])])
    rows: list[tuple[str, str, str, float]] = []
    for number, values in numbered_rows(table):
        item = text_of(table, number, id_column, values)
        who = text_of(table, number, group_column, values) if group_column else group
        for column, question in named.items():
            rating = number_of(table, f"row {number}", column, values.get(column))
            if rating is None:
                continue
            if not lowest <= rating <= highest:
                raise TableError(
                    f"row {number} of {table.path} has {rating:g} in {column!r}, but ratings range "
                    f"from {lowest:g} to {highest:g}; correct it, or name the scale with lowest "
                    "and highest"
                )
            rows.append((item, who, question, rating))
    if not rows:
        raise TableError(f"{table.path} has no rating in {', '.join(named)}; fill in at least one")
    items, groups, asked_of, ratings = zip(*rows, strict=True)
    return Ratings(items=items, groups=groups, questions=asked_of, values=np.array(ratings))


def read_by_id(
    table: Table, id_column: str, columns: Sequence[str]
) -> dict[str, tuple[object, ...]]:
    """Some columns of a table, by an id that no two rows share.

    Raises:
        TableError: a column is missing, or an id repeats or is empty.
    """
    table.check_columns([id_column, *columns])
    found: dict[str, tuple[object, ...]] = {}
    first_row: dict[str, int] = {}
    for number, values in numbered_rows(table):
        item = text_of(table, number, id_column, values)
        if item in found:
            raise TableError(
                f"{table.path} has {id_column} {item!r} twice, in rows {first_row[item]} and "
                f"{number}; an id stands for one item"
            )
        found[item] = tuple(values.get(column) for column in columns)
        first_row[item] = number
    return found


def read_scores(
    path: str | os.PathLike[str], *, id_column: str = "id", score_column: str = "score"
) -> dict[str, float]:
    """Scores by the id of their item.

    Raises:
        TableError: the file or a column is missing, an id repeats, or a score is not a number.
    """
    table = open_table(path)
    scores: dict[str, float] = {}
    for item, (value,) in read_by_id(table, id_column, [score_column]).items():
        score = number_of(table, f"item {item!r}", score_column, value)
        if score is None:
            raise TableError(f"item {item!r} of {table.path} has no score; give one, or omit it")
        scores[item] = score
    return scores


def numbered_rows(table: Table) -> Iterator[tuple[int, dict[str, object]]]:
    """The rows with their numbers, the first 1.

    Raises:
        TableError: a row cannot be read.
    """
    for number, row in enumerate(table.rows(), 1):
        if row.problem is not None:
            raise TableError(f"row {number} of {table.path}: {row.problem}")
        yield number, row.values


def text_of(table: Table, number: int, column: str, values: Mapping[str, object]) -> str:
    """A field that must not be empty, as text.

    Raises:
        TableError: it is.
    """
    value = values.get(column)
    if value is None or str(value).strip() == "":
        raise TableError(f"row {number} of {table.path} has nothing in {column!r}; fill it in")
    return str(value)


def number_of(table: Table, place: str, column: str, value: object) -> float | None:
    """A field as a number, or None where it is empty.

    Raises:
        TableError: it is neither; `place` says where.
    """
    if value is None or str(value).strip() == "":
        return None
    number = read_number(value, decimal_comma=table.decimal_comma)
    if number is None:
        raise TableError(
            f"{place} of {table.path} has {value!r:.60} in {column!r}, which is not a number; "
            "correct it, leave it empty, or name another column"
        )
    return number
