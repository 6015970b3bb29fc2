"""Two files of scored rows, or a table and two checkpoints -> the two scores of each item."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.datasets.failures import Failure
from descscore.errors import TableError
from descscore.tables.formats import open_table
from descscore.tables.locate import image_locator
from descscore.tables.row_pairs import check_columns
from descscore.tables.scoring import ROWS_IN_CHUNK, score_rows
from descscore.tables.table import lacks_column

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Float

    from descscore.metric import DescriptionScore
    from descscore.tables.columns import ScoredRow
    from descscore.tables.locate import Locate
    from descscore.tables.table import Row, Table


@dataclass(frozen=True, kw_only=True)
class ScoredPairs:
    """Items with a score from each of two files.

    Attributes:
        items: what each is called.
        texts: the text of each; None where the files have none.
        a: scores of the first file; NaN where there is none.
        b: scores of the second.
        missing: items of one file that the other lacks.
    """

    items: Sequence[str]
    texts: Sequence[str | None]
    a: Float[np.ndarray, " item"]
    b: Float[np.ndarray, " item"]
    missing: Sequence[Failure]


def scored_pairs(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    score_column: str = "score",
    image_column: str = "image",
    text_column: str = "text",
) -> ScoredPairs:
    """Match the rows of two scored files.

    Args:
        a: the first file (csv, tsv, jsonl, parquet).
        b: the second.
        id_column: match rows by this column; by their order without one, and then images and texts
            must be the same in both files where both have them.
        score_column: the column with scores.
        image_column: the column with images.
        text_column: the column with texts.

    Raises:
        TableError: a file cannot be read, a column is missing, the files do not hold the same rows,
            an id comes twice, or a score is no number.
    """
    tables = open_table(a), open_table(b)
    needed = [score_column, *([id_column] if id_column else [])]
    for table in tables:
        for column in needed:
            if column not in table.columns:
                advice = "name the right ones with --score-column and --id"
                raise lacks_column(table.path, column, table.columns, advice)
    rows = [_rows(table) for table in tables]
    if id_column is not None:
        return _by_id(tables, rows, id_column, score_column, text_column)
    if len(rows[0]) != len(rows[1]):
        raise TableError(
            f"{tables[0].path} has {len(rows[0]):,} rows and {tables[1].path} {len(rows[1]):,}; "
            "compare files of the same table, or match rows with --id COLUMN"
        )
    for column in (image_column, text_column):
        if all(column in table.columns for table in tables):
            _check_same(tables, rows, column)
    named = image_column if image_column in tables[0].columns else None
    items = []
    for number, row in enumerate(rows[0], start=1):
        image = row.get(named) if named else None
        items.append(f"row {number}" + (f" ({image})" if isinstance(image, str) else ""))
    return ScoredPairs(
        items=items,
        texts=[_text(row, text_column) for row in rows[0]],
        a=_scores(tables[0], rows[0], score_column),
        b=_scores(tables[1], rows[1], score_column),
        missing=(),
    )


def score_twice(
    load_metrics: Sequence[Callable[[], DescriptionScore]],
    pairs: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
    text_column: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScoredPairs:
    """Score a table with one checkpoint, then with another.

    Args:
        load_metrics: give the two metrics, with `on_error="record"`; the second is called once the
            first is done and let go, so that memory holds one at a time.
        pairs: the table (csv, tsv, jsonl, parquet, COCO results, CLIPScore candidates).
        images: the folder that image paths are relative to; by default the table's.
        image_column: the column with images; by default the format's.
        text_column: the column with texts; by default the format's.
        progress: told after each part how many rows are done, and of how many, both checkpoints
            together.

    Raises:
        TableError: the table cannot be read.
        OptionError: there is no folder `images`.
    """
    table = open_table(pairs)
    image_column = image_column or table.image_column
    text_column = text_column or table.text_column
    check_columns(table, [image_column, text_column])
    locate = image_locator(table, image_column, images, None)
    scores = []
    failed: dict[int, str] = {}
    done = 0
    for load_metric in load_metrics:
        of_metric: list[float] = []
        # No name here holds the metric, so that the next one loads once this one is gone.
        for part in _scored_parts(load_metric(), table, locate, text_column):
            for result, _ in part:
                if result.error is not None:
                    failed.setdefault(len(of_metric), result.error)
                of_metric.append(math.nan if result.score is None else result.score)
            done += len(part)
            if progress is not None:
                progress(done, len(load_metrics) * table.n_rows)
        scores.append(np.array(of_metric))
    items, texts = [], []
    for number, row in enumerate(table.rows(), start=1):
        image = row.values.get(image_column)
        items.append(f"row {number}" + (f" ({image})" if isinstance(image, str | int) else ""))
        texts.append(_text(row.values, text_column))
    kept = [row for row in range(len(items)) if row not in failed]
    return ScoredPairs(
        items=[items[row] for row in kept],
        texts=[texts[row] for row in kept],
        a=scores[0][kept],
        b=scores[1][kept],
        missing=[Failure(item=items[row], error=failed[row]) for row in sorted(failed)],
    )


def _scored_parts(
    metric: DescriptionScore, table: Table, locate: Locate, text_column: str
) -> Iterator[list[ScoredRow]]:
    rows = table.rows()
    while part := list(itertools.islice(rows, ROWS_IN_CHUNK)):
        yield score_rows(metric, part, locate, text_column, ())


def _by_id(
    tables: tuple[Table, Table],
    rows: Sequence[list[dict[str, Any]]],
    id_column: str,
    score_column: str,
    text_column: str,
) -> ScoredPairs:
    by_id: list[dict[str, dict[str, Any]]] = []
    for table, of_table in zip(tables, rows, strict=True):
        found: dict[str, dict[str, Any]] = {}
        for number, row in enumerate(of_table, start=1):
            key = row.get(id_column)
            if key is None or key == "":
                raise TableError(f"row {number} of {table.path} has no {id_column!r}; give it one")
            if str(key) in found:
                raise TableError(
                    f"{id_column!r} {str(key)!r} comes twice in {table.path}; ids must be unique: "
                    "match by another column"
                )
            found[str(key)] = row
        by_id.append(found)
    items = [key for key in by_id[0] if key in by_id[1]]
    if not items:
        raise TableError(
            f"{tables[0].path} and {tables[1].path} have no {id_column!r} in common; compare files "
            "of the same items"
        )
    missing = [
        Failure(item=key, error=f"is not in {tables[1 - side].path}")
        for side in (0, 1)
        for key in by_id[side]
        if key not in by_id[1 - side]
    ]
    picked = [[of_file[key] for key in items] for of_file in by_id]
    return ScoredPairs(
        items=items,
        texts=[_text(row, text_column) for row in picked[0]],
        a=_scores(tables[0], picked[0], score_column),
        b=_scores(tables[1], picked[1], score_column),
        missing=missing,
    )


def _rows(table: Table) -> list[dict[str, Any]]:
    return [_values(table, number, row) for number, row in enumerate(table.rows(), start=1)]


def _values(table: Table, number: int, row: Row) -> dict[str, Any]:
    if row.problem is not None:
        raise TableError(f"row {number} of {table.path} cannot be read: {row.problem}")
    return row.values


def _check_same(
    tables: tuple[Table, Table], rows: Sequence[list[dict[str, Any]]], column: str
) -> None:
    for number, (first, second) in enumerate(zip(*rows, strict=True), start=1):
        if first.get(column) != second.get(column):
            raise TableError(
                f"row {number} differs: column {column!r} is {first.get(column)!r:.60} in "
                f"{tables[0].path} and {second.get(column)!r:.60} in {tables[1].path}; compare "
                "files of the same table, or match rows with --id COLUMN"
            )


def _scores(
    table: Table, rows: Sequence[dict[str, Any]], column: str
) -> Float[np.ndarray, " item"]:
    scores = np.full(len(rows), np.nan)
    for place, row in enumerate(rows):
        value = row.get(column)
        if value is None or value == "":
            continue
        try:
            number = math.inf if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.inf
        if math.isinf(number):
            raise TableError(
                f"column {column!r} of {table.path} holds {value!r:.60}, which is no score; name "
                "the right one with --score-column, or leave a missing score empty"
            )
        scores[place] = number
    return scores


def _text(row: dict[str, Any], column: str) -> str | None:
    value = row.get(column)
    return value if isinstance(value, str) else None
