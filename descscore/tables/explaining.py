"""A table of pairs in, a folder with their explanations and a page that shows them out.

Explanations are appended as they are made, with a note in the record beside them, so that an
interrupted run goes on after its last whole chunk.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.errors import OptionError, TableError
from descscore.explain.files import SUFFIXES
from descscore.explain.options import ExplainOptions
from descscore.explain.stored import (
    INDEX,
    LINES,
    ORDERS,
    Order,
    failed_explanation,
    to_line,
    write_pages,
)
from descscore.options import check_choice
from descscore.tables import journal
from descscore.tables.formats import open_table
from descscore.tables.locate import image_locator, image_name
from descscore.tables.output import check_new_folder, lock_path
from descscore.tables.row_pairs import check_columns, row_pair, row_text, without_place
from descscore.writing import check_apart, run_lock

if TYPE_CHECKING:
    from descscore.explain.explanation import Explanation
    from descscore.inputs.pairs import ImageInput
    from descscore.metric import DescriptionScore
    from descscore.tables.locate import Locate
    from descscore.tables.table import Row

ROWS_IN_CHUNK = 16

_SUFFIXES_OF_FILES = (*SUFFIXES, ".htm", ".jsonl", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class ExplainSummary:
    """What is said of a table of explanations.

    Attributes:
        n: rows.
        explained: rows with an explanation.
        failed: rows without.
        first_error: why the first of them failed.
        largest_error: the largest completeness error, as a share of the change that was explained.
        signature: one line that names everything the scores depend on.
        page: the file to look at.
    """

    n: int
    explained: int
    failed: int
    first_error: str | None
    largest_error: float | None
    signature: str
    page: str


def explain_table(
    load_metric: Callable[[], DescriptionScore],
    pairs: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    how: ExplainOptions | None = None,
    images: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
    text_column: str | None = None,
    image_pattern: str | None = None,
    order: Order = "table",
    resume: bool = False,
    overwrite: bool = False,
    chunk: int = ROWS_IN_CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> ExplainSummary:
    """Explain the pairs of a file; write `explanations.jsonl` and `index.html` into a folder.

    A row that fails is written with its error, and does not stop the others.

    Args:
        load_metric: gives a `DescriptionScore` with `on_error="record"`; called once everything
            else is checked.
        pairs: csv, tsv, jsonl, parquet, COCO results or CLIPScore candidates. For the target
            "purpose" it need not have images.
        out: the folder; it is made if it is not there.
        how: what is explained and how; by default the score, with the metric's defaults.
        images: the folder that image paths are relative to; by default the table's.
        image_column: the column with images; by default "image", or "image_id" in json.
        text_column: the column with texts; by default "text", or "caption" in json.
        image_pattern: image names made from columns, as in "COCO_val2014_{image_id:012d}.jpg".
        order: of the pairs on the page, not of the lines: the "table"'s; or by "score", the lowest
            first (for the target "purpose", the lowest P(description)) and rows that failed last.
        resume: go on with a run that was interrupted; begin if there was none.
        overwrite: replace explanations that are there.
        chunk: rows explained and appended together.
        progress: told after each chunk how many rows are done, and of how many.

    Raises:
        TableError: the table cannot be read, or the folder cannot be written to or resumed.
        OptionError: options that exclude each other or do not suit the table.
    """
    how = how or ExplainOptions()
    check_choice("order", order, ORDERS)
    table = open_table(pairs)
    image_column = image_column or table.image_column
    text_column = text_column or table.text_column
    check_columns(table, [text_column])
    locate = None
    if how.target == "score" or image_pattern or image_column in table.columns:
        check_columns(table, [] if image_pattern else [image_column])
        locate = image_locator(table, image_column, images, image_pattern)
    folder = Path(out)
    _check_place(folder, resume=resume, overwrite=overwrite)
    lines = folder / LINES
    check_apart([lines, journal.record_path(lines), folder / INDEX], [table.path])
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(lock_path(lines), f"another process explains into {folder}; wait for it"):
        _check_place(folder, resume=resume, overwrite=overwrite)
        metric = load_metric()
        settings = {
            "signature": metric.signature,
            "table_sha256": table.digest(),
            "images": str(Path(table.path.parent if images is None else images).resolve()),
            "image_column": None if image_pattern else image_column,
            "image_pattern": image_pattern,
            "text_column": text_column,
            **asdict(how),
        }
        earlier = journal.resume(lines, lines, settings) if resume else None
        output = earlier or journal.start(lines, lines, settings, b"")
        state = output.state or {"failed": 0, "first_error": None, "largest_error": None}
        rows = table.rows(output.rows)
        while True:
            if progress is not None:
                progress(output.rows, table.n_rows)
            part = list(islice(rows, chunk))
            if not part:
                break
            names = [image_name(row.values, image_column, image_pattern) for row in part]
            found = zip(_explain(metric, part, locate, text_column, how), names, strict=True)
            made = [replace(explanation, image_name=name) for explanation, name in found]
            state = _counted(state, made)
            numbered = enumerate(made, start=output.rows + 1)
            output.append(b"".join(starmap(to_line, numbered)), rows=len(made), state=state)
        page = write_pages(folder, order=order)[0]
        summary = ExplainSummary(
            n=output.rows,
            explained=output.rows - state["failed"],
            signature=metric.signature,
            page=str(page),
            **state,
        )
        if output.summary is None:
            output.finish(asdict(summary))
        return summary


def _check_place(folder: Path, *, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise OptionError("--resume keeps what is there and --overwrite replaces it; choose one")
    if folder.exists() and not folder.is_dir():
        raise TableError(f"{folder} is a file; name a folder for the explanations")
    if folder.suffix.lower() in _SUFFIXES_OF_FILES and not folder.is_dir():
        raise OptionError(
            f"{folder} is named like a file, and a table's explanations go to a folder; with "
            f"--pairs, -o is a folder, as in -o {folder.with_suffix('')}"
        )
    check_new_folder(folder)
    lines = folder / LINES
    left = [path for path in (lines, journal.record_path(lines)) if path.exists()]
    if left and not (resume or overwrite):
        raise TableError(
            f"{left[0]} is there already; go on with it (--resume), start over (--overwrite) or "
            "name another folder"
        )


def _explain(
    metric: DescriptionScore,
    rows: Sequence[Row],
    locate: Locate | None,
    text_column: str,
    how: ExplainOptions,
) -> list[Explanation]:
    """One explanation a row, of those that failed too."""
    results: list[Explanation | None] = []
    images: list[ImageInput] = []
    texts: list[str] = []
    for row in rows:
        try:
            if locate is None:
                texts.append(row_text(row, text_column))
            else:
                image, text = row_pair(row, locate, text_column)
                images.append(image)
                texts.append(text)
            results.append(None)
        except TableError as error:
            results.append(_failed(metric, row, text_column, how, str(error)))
    made = iter(
        metric.explain(None if locate is None else images, texts, **asdict(how)) if texts else ()
    )
    return [_without_place(next(made)) if result is None else result for result in results]


def _failed(
    metric: DescriptionScore, row: Row, text_column: str, how: ExplainOptions, error: str
) -> Explanation:
    text = row.values.get(text_column)
    return failed_explanation(
        text if isinstance(text, str) else "",
        error,
        target=how.target,
        baseline=how.baseline,
        n_steps=how.n_steps,
        method=how.method,
        signature=f"{metric.signature}|{how.signature}",
    )


def _without_place(explanation: Explanation) -> Explanation:
    if explanation.error is None:
        return explanation
    return replace(explanation, error=without_place(explanation.error))


def _counted(state: dict[str, Any], made: Sequence[Explanation]) -> dict[str, Any]:
    """What is known of all rows so far."""
    errors = [explanation.error for explanation in made if explanation.error is not None]
    shares = [state["largest_error"], *(explanation.relative_error for explanation in made)]
    numbers = [share for share in shares if share is not None and not math.isnan(share)]
    return {
        "failed": state["failed"] + len(errors),
        "first_error": state["first_error"] or next(iter(errors), None),
        "largest_error": max(numbers, default=None),
    }
