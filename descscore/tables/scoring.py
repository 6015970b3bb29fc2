"""A table of pairs in, the table with scores out: chunk by chunk, so that memory stays the same.

Each chunk is scored by itself and appended with a note in the output's record, so an interrupted
run goes on after its last whole chunk and ends with the file that it would have written
uninterrupted.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from descscore.errors import InputError, TableError
from descscore.tables.columns import Result, ScoredRow, result_columns
from descscore.tables.formats import open_table
from descscore.tables.locate import image_locator
from descscore.tables.output import FileOutput, StreamOutput
from descscore.tables.row_pairs import check_columns, row_pair, with_near_name, without_place
from descscore.tables.summary import RunningSummary, Summary

if TYPE_CHECKING:
    from descscore.metric import DescriptionScore
    from descscore.tables.locate import Locate
    from descscore.tables.table import Row

ROWS_IN_CHUNK = 1024


def score_table(
    load_metric: Callable[[], DescriptionScore],
    pairs: str | os.PathLike[str],
    out: str | os.PathLike[str] | BinaryIO,
    *,
    images: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
    text_column: str | None = None,
    image_pattern: str | None = None,
    column_prefix: str = "",
    on_error: Literal["raise", "record"] = "record",
    resume: bool = False,
    overwrite: bool = False,
    chunk: int = ROWS_IN_CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Score the pairs of a file; write its rows with `score`, `truncated` and `error` added.

    With a checkpoint that has a purpose subspace, the metric's readouts `purpose` and
    `purpose_effect` are added too. If not a single row can be scored, no output is left.

    Args:
        load_metric: gives a `DescriptionScore` with `on_error="record"`; called once everything
            else is checked, since loading a checkpoint takes seconds.
        pairs: csv, tsv, jsonl, parquet, COCO results or CLIPScore candidates.
        out: a csv, tsv, jsonl or parquet file, or an open binary file that is given jsonl.
        images: the folder that image paths are relative to; by default the table's.
        image_column: the column with images; by default "image", or "image_id" in json.
        text_column: the column with texts; by default "text", or "caption" in json.
        image_pattern: image names made from columns, as in "COCO_val2014_{image_id:012d}.jpg".
        column_prefix: put before the names of the added columns.
        on_error: "record" failed rows in the column `error`, or "raise" at the first.
        resume: go on with an output that was interrupted; begin if there is none.
        overwrite: replace an output that exists.
        chunk: rows scored and appended together.
        progress: told after each chunk how many rows are done, and of how many.

    Raises:
        TableError: the table cannot be read, or the output cannot be written or resumed.
        InputError: with `on_error="raise"`, the first row that cannot be scored.
        OptionError: options that exclude each other or do not suit the table.
    """
    table = open_table(pairs)
    image_column = image_column or table.image_column
    text_column = text_column or table.text_column
    check_columns(table, [text_column] if image_pattern else [image_column, text_column])
    locate = image_locator(table, image_column, images, image_pattern)
    added = result_columns(table, column_prefix)
    output = (
        FileOutput(Path(out), table, added, resume=resume, overwrite=overwrite)
        if isinstance(out, str | os.PathLike)
        else StreamOutput(out, resume=resume)
    )
    with output.locked():
        metric = load_metric()
        readouts = _readouts(metric)
        added = result_columns(table, column_prefix, readouts)
        done, state = output.begin(
            {
                "signature": metric.signature,
                "table_sha256": table.digest(),
                "images": str(Path(table.path.parent if images is None else images).resolve()),
                "image_column": None if image_pattern else image_column,
                "image_pattern": image_pattern,
                "text_column": text_column,
                "purpose_effect": "purpose_effect" in readouts,
                "added_columns": list(added),
            },
            added,
        )
        running = RunningSummary.from_state(state)
        rows = table.rows(done)
        while True:
            if progress is not None:
                progress(running.n, table.n_rows)
            part = list(itertools.islice(rows, chunk))
            if not part:
                break
            scored = score_rows(metric, part, locate, text_column, readouts)
            if on_error == "raise" and (error := _first_error(scored, running.n + 1)):
                if not running.scored:
                    output.discard()
                raise error
            running.add(scored)
            output.append(part, [row.cells(readouts) for row in scored], running.state())
        summary = running.summary(metric.signature)
        if summary.scored:
            output.finish(asdict(summary))
        else:
            output.discard()
        return summary


def _readouts(metric: DescriptionScore) -> list[str]:
    """Those that a table has columns for and the metric has values for."""
    return [name for name in ("purpose", "purpose_effect") if name in metric.readouts]


def score_rows(
    metric: DescriptionScore,
    rows: Sequence[Row],
    locate: Locate,
    text_column: str,
    readouts: Sequence[str],
) -> list[ScoredRow]:
    """What is found for some rows: the score, or the reason why there is none.

    Args:
        metric: with `on_error="record"`.
        rows: of a table.
        locate: finds a row's image.
        text_column: the column with texts.
        readouts: columns of the purpose subspace.
    """
    results: list[ScoredRow | None] = []
    images: list[str | bytes] = []
    texts: list[str] = []
    for row in rows:
        try:
            image, text = row_pair(row, locate, text_column)
        except TableError as error:
            results.append(ScoredRow(Result(score=None, truncated=False, error=str(error))))
        else:
            images.append(image)
            texts.append(text)
            results.append(None)
    scored = iter(_call(metric, images, texts, readouts) if images else ())
    return [next(scored) if result is None else result for result in results]


def _call(
    metric: DescriptionScore,
    images: Sequence[str | bytes],
    texts: Sequence[str],
    readouts: Sequence[str],
) -> list[ScoredRow]:
    scores = metric(images, texts)
    columns = {name: getattr(scores, name) for name in ("scores", *readouts)}
    rows = []
    for row, (truncated, error) in enumerate(zip(scores.truncated, scores.errors, strict=True)):
        if error is None:
            # By way of text, for the digits that float32 has and no more.
            values = {name: float(str(column[row])) for name, column in columns.items()}
            result = Result(score=values.pop("scores"), truncated=bool(truncated), error=None)
            rows.append(ScoredRow(result, values))
        else:
            error = with_near_name(without_place(error), images[row])
            rows.append(ScoredRow(Result(score=None, truncated=bool(truncated), error=error)))
    return rows


def _first_error(rows: Sequence[ScoredRow], first_row: int) -> InputError | None:
    for number, row in enumerate(rows, start=first_row):
        if row.result.error is not None:
            return InputError(
                f"row {number:,}: {row.result.error} (--on-error record scores all other rows)"
            )
    return None
