"""A table of pairs in, a folder with their explanations and a page that shows them out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.errors import OptionError, TableError
from descscore.explain.explanation import ExplainOptions, Explanation
from descscore.explain.stored import (
    INDEX,
    LINES,
    ORDERS,
    SUFFIXES,
    Order,
    to_line,
    write_pages,
)
from descscore.option_checks import check_choice
from descscore.tables.formats import open_table
from descscore.tables.json_files import JsonlWriter
from descscore.tables.parts import Output, Plan, shards_of
from descscore.tables.selection import call_with, select, without_place
from descscore.writing import check_apart

if TYPE_CHECKING:
    from descscore.metric import DescriptionScore
    from descscore.tables.parts import Shard
    from descscore.tables.selection import Item, Selection

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
        image_column: the column of images; by default "image", or "image_id" in json.
        text_column: the column of texts; by default "text", or "caption" in json.
        image_pattern: image names made from columns, as in "COCO_val2014_{image_id:012d}.jpg".
        order: of the pairs on the page, not of the lines: the "table"'s; or by "score", the lowest
            first (for the target "purpose", the lowest P(description)) and rows that failed last.
        resume: continue a run that was interrupted; begin if there was none.
        overwrite: replace explanations that are there.
        chunk: rows explained together.
        progress: called after each chunk with the rows done and their total.

    Raises:
        TableError: the table cannot be read, or the folder cannot be written to or resumed.
        OptionError: options that exclude each other or do not suit the table.
    """
    how = how or ExplainOptions()
    check_choice("order", order, ORDERS)
    table = open_table(pairs)
    image_column = image_column or table.image_column
    needs_image = how.target == "score" or image_pattern or image_column in table.columns
    selection = select(
        table,
        image=image_column if needs_image else None,
        texts=[text_column or table.text_column],
        images=images,
        pattern=image_pattern,
    )
    folder = Path(out)
    _check_folder(folder)
    check_apart([folder / INDEX], [table.path])
    with Output(
        folder / LINES, [table.path], resume=resume, overwrite=overwrite, make_folder=True
    ) as output:
        metric = load_metric()
        settings = {
            "signature": metric.signature,
            "table_sha256": table.digest(),
            **selection.settings,
            **asdict(how),
        }
        shards = shards_of([table.n_rows], chunk)
        plan = Plan(settings=settings, suffix=".jsonl", chunk=chunk, shards=shards)
        if (finished := output.begin(plan)) is not None:
            write_pages(folder, order=order)
            return ExplainSummary(**finished)
        write = partial(_write, metric, selection, how)
        states = output.parts.fill(write, progress=progress)
        errors = [of["largest_error"] for of in states if of["largest_error"] is not None]
        failed = sum(of["failed"] for of in states)
        summary = ExplainSummary(
            n=table.n_rows,
            explained=table.n_rows - failed,
            failed=failed,
            first_error=next((of["first_error"] for of in states if of["failed"]), None),
            largest_error=max(errors, default=None),
            signature=metric.signature,
            page=str(folder / INDEX),
        )
        output.finish(JsonlWriter(()).join, asdict(summary))
        write_pages(folder, order=order)
    return summary


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise TableError(f"{folder} is a file; name a folder for the explanations")
    if folder.suffix.lower() in _SUFFIXES_OF_FILES and not folder.is_dir():
        raise OptionError(
            f"{folder} is named like a file, and a table's explanations go to a folder: name "
            f"one, such as {folder.with_suffix('')}"
        )


def _write(
    metric: DescriptionScore,
    selection: Selection,
    how: ExplainOptions,
    shard: Shard,
    out: Path,
    _report: Callable[[int], None],
) -> dict[str, Any]:
    """Write the explanations of a shard; what is known of them."""
    rows = [
        row
        for chunk in selection.table.chunks(shard.rows, shard.start, shard.stop)
        for row in chunk.rows
    ]
    items = selection.fetch(map(selection.item, rows))
    if how.target == "purpose":
        # A purpose is read from the text alone; the image would only be shown beside it.
        without = replace(selection, images=None)
        items = [item if item.problem is None else without.item(item.row) for item in items]

    def explain(items: list[Item]) -> list[Explanation]:
        images: Any = None if selection.images is None else [item.image for item in items]
        return metric.explain(images, [item.text for item in items], **asdict(how))

    made = call_with(items, explain, lambda item: _failed(metric, item, selection, how))
    named = [
        replace(
            explanation,
            image_name=selection.images and selection.images.name(row.values),
            error=explanation.error and without_place(explanation.error),
        )
        for explanation, row in zip(made, rows, strict=True)
    ]
    lines = starmap(to_line, enumerate(named, start=shard.start + 1))
    out.write_bytes(b"".join(lines))
    return _state(named)


def _failed(
    metric: DescriptionScore, item: Item, selection: Selection, how: ExplainOptions
) -> Explanation:
    text = item.row.values.get(selection.texts[0])
    return Explanation(
        **asdict(how),
        text=text if isinstance(text, str) else "",
        signature=f"{metric.signature}|{how.signature}",
        error=item.problem or "",
    )


def _state(made: Sequence[Explanation]) -> dict[str, Any]:
    errors = [explanation.error for explanation in made if explanation.error is not None]
    shares = [explanation.relative_error for explanation in made]
    numbers = [share for share in shares if share is not None and not math.isnan(share)]
    return {
        "failed": len(errors),
        "first_error": next(iter(errors), None),
        "largest_error": max(numbers, default=None),
    }
