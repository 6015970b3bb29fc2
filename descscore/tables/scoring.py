"""Tables of pairs in, their rows with scores out, chunk by chunk, so that memory stays the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from descscore.errors import TableError
from descscore.printable import valid_unicode
from descscore.tables.formats import open_table, writer_for
from descscore.tables.parts import Output, Plan, shards_of
from descscore.tables.references import references_in
from descscore.tables.selection import call_with, select
from descscore.tables.summary import ScoredRow, Summary, merged, state_of, summary_of
from descscore.writing import as_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from descscore.metric import DescriptionScore
    from descscore.tables.parts import Shard
    from descscore.tables.selection import Item, Selection
    from descscore.tables.table import Cells, Chunk, Row, Table, Writer

ROWS_IN_CHUNK = 1024


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What is scored, and under which names.

    Attributes:
        images: the folder that image paths are relative to; by default the table's.
        image_column: the column of images; by default "image", or "image_id" in json.
        text_column: the column of texts; by default "text", or "caption" in json.
        image_pattern: image names made from columns, as in "COCO_val2014_{image_id:012d}.jpg".
        references: columns with reference texts, or one file of COCO annotations; they add the
            column `ref_score`, the RefCLIPScore.
        context: the column with the text that the image appears in; it adds the column
            `context_score`, the contextual CLIPScore.
        column_prefix: put before the names of the added columns.
    """

    images: str | os.PathLike[str] | None = None
    image_column: str | None = None
    text_column: str | None = None
    image_pattern: str | None = None
    references: Sequence[str] = ()
    context: str | None = None
    column_prefix: str = ""

    def select(self, table: Table) -> Selection:
        """The columns of a table that hold the pairs.

        Raises:
            TableError: it lacks a column.
            OptionError: the options do not suit it.
        """
        image = self.image_column or table.image_column
        of_image = "image_id" if "image_id" in table.columns else image
        return select(
            table,
            image=image,
            texts=[self.text_column or table.text_column],
            images=self.images,
            pattern=self.image_pattern,
            references=references_in(self.references, of_image) if self.references else None,
            context=self.context,
        )

    def added(self, table: Table, readouts: Sequence[str] = ()) -> tuple[str, ...]:
        """The names of the columns that are added to a table.

        Raises:
            TableError: the table has one of them.
        """
        prefix = self.column_prefix
        added = tuple(prefix + name for name in ("score", *readouts, "truncated", "error"))
        for name in added:
            if name in table.columns:
                other = f"{prefix}descscore_"
                raise TableError(
                    f"{table.path} already has a column {name!r}; give the added columns other "
                    f"names with `column_prefix` {other} ({other}score and so on)"
                )
        return added

    def readouts(self, metric: DescriptionScore) -> list[str]:
        """What is added beside the score."""
        found = ["ref_score"] if self.references else []
        found += [] if self.context is None else ["context_score"]
        return found + [n for n in ("purpose", "purpose_effect") if n in metric.readouts]


def score_table(
    load_metric: Callable[[], DescriptionScore],
    pairs: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    chunk: int = ROWS_IN_CHUNK,
    how: ScoreOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Score the pairs of a file; write its rows with `score`, `truncated` and `error` added.

    With a checkpoint that has a purpose subspace, the metric's readouts `purpose` and
    `purpose_effect` are added too. If not a single row can be scored, no output is left. Until all
    rows are scored they are kept in a folder beside the output, from which a run is resumed.

    Args:
        load_metric: gives a `DescriptionScore` with `on_error="record"`; called once everything
            else is checked, since loading a checkpoint takes seconds.
        pairs: csv, tsv, jsonl, parquet, COCO results or CLIPScore candidates.
        out: a csv, tsv, jsonl or parquet file.
        how: which columns hold what, and the names of the added ones.
        resume: continue an output that was interrupted; begin if there is none.
        overwrite: replace an output that exists.
        chunk: rows scored together.
        progress: called after each chunk with the rows done and their total.

    Raises:
        TableError: the table cannot be read, or the output cannot be written or resumed.
        OptionError: options that exclude each other or do not suit the table.
    """
    how = how or ScoreOptions()
    table = open_table(pairs)
    selection = how.select(table)
    added = how.added(table)
    path = as_path(out)
    output = Output(path, [table.path], resume=resume, overwrite=overwrite)
    if overwrite and path.exists():
        selection = selection.apart_from(path)
    writer = writer_for(path, [table], added)
    with output:
        metric = load_metric()
        readouts = how.readouts(metric)
        writer.added = how.added(table, readouts)
        plan = Plan(
            settings=score_settings(metric.signature, table.digest(), selection, writer.added),
            suffix=path.suffix.lower(),
            chunk=chunk,
            shards=shards_of([table.n_rows], chunk),
        )
        if (finished := output.begin(plan)) is not None:
            return Summary(**finished)
        worker = ShardWorker(metric, selection, readouts, writer, output.parts.plan.chunk)
        states = output.parts.fill(worker, progress=progress)
        summary = summary_of(states, metric.signature)
        if summary.scored:
            output.finish(writer.join, asdict(summary))
        else:
            output.discard()
    return summary


def score_settings(
    signature: str, digest: object, selection: Selection, added: Sequence[str]
) -> dict[str, Any]:
    """All that scored rows depend on."""
    return {
        "signature": signature,
        "table_sha256": digest,
        **selection.settings,
        "purpose_effect": any(name.endswith("purpose_effect") for name in added),
        "added_columns": list(added),
    }


@dataclass(frozen=True)
class ShardWorker:
    """Scores the rows of shards and writes their parts.

    Attributes:
        metric: with `on_error="record"`.
        selection: of the table.
        readouts: what is added beside the score.
        writer: of the parts' format.
        chunk: rows scored together.
    """

    metric: DescriptionScore
    selection: Selection
    readouts: Sequence[str]
    writer: Writer
    chunk: int

    def __call__(
        self, shard: Shard, out: Path, report: Callable[[int], None] = lambda rows: None
    ) -> dict[str, Any]:
        """Write a part; its summary as plain values.

        Args:
            shard: whose part it is.
            out: the part's file.
            report: called with the rows written so far, before each chunk but the first.
        """
        states: list[dict[str, Any]] = []

        def scored() -> Iterator[tuple[Chunk, list[Cells]]]:
            # Only parquet keeps columns that are not read.
            columns = self.selection.columns if self.writer.keeps_batches else ()
            table = self.selection.table
            for number, chunk in enumerate(
                table.chunks(self.chunk, shard.start, shard.stop, columns)
            ):
                if number:
                    report(number * self.chunk)
                rows = score_rows(self.metric, chunk.rows, self.selection, self.readouts)
                states.append(state_of(rows))
                yield chunk, [row.cells(self.readouts) for row in rows]

        self.writer.write(scored(), out)
        return merged(states)


def score_rows(
    metric: DescriptionScore,
    rows: Iterable[Row],
    selection: Selection,
    readouts: Sequence[str] = (),
) -> list[ScoredRow]:
    """What is found for some rows: the score, or the reason why there is none.

    Args:
        metric: with `on_error="record"`.
        rows: of a table.
        selection: says where their images and texts are.
        readouts: what to add beside the score.
    """
    return call_with(
        selection.fetch(map(selection.item, rows)),
        lambda items: _call(metric, items, selection, readouts),
        lambda item: _failed(item.problem or ""),
    )


def _call(
    metric: DescriptionScore, items: list[Item], selection: Selection, readouts: Sequence[str]
) -> Iterator[ScoredRow]:
    images: Any = [item.image for item in items]
    texts = [item.text for item in items]
    given: dict[str, Any] = {}
    if selection.references is not None:
        given["references"] = [item.references for item in items]
    if selection.context is not None:
        given["context"] = [item.context for item in items]
    scores = metric(images, texts, **given)
    columns: dict[str, Any] = {"score": scores.scores, "context_score": scores.context_scores}
    if selection.references is not None:
        columns |= {"score": scores.image_scores, "ref_score": scores.scores}
    columns |= {name: getattr(scores, name) for name in readouts if name not in columns}
    columns = {name: column for name, column in columns.items() if column is not None}
    for row, (truncated, error) in enumerate(zip(scores.truncated, scores.errors, strict=True)):
        if error is not None:
            yield _failed(error.unplaced, truncated=bool(truncated))
            continue
        # By way of text, for the digits that float32 has and no more.
        values = {name: float(str(column[row])) for name, column in columns.items()}
        yield ScoredRow(values.pop("score"), bool(truncated), None, values)


def _failed(error: str, *, truncated: bool = False) -> ScoredRow:
    return ScoredRow(None, truncated, valid_unicode(error))
