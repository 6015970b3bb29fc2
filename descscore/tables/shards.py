"""Tables beyond one machine: a folder of shards that any number of workers fill, and their join.

Every worker reads the same plan, scores the shards of its share that have no part yet, and writes
each part whole. Rows are scored exactly once in the result whatever is killed when, since a shard
counts by its part alone; a shard that two workers happen to score gets the same bytes twice.
"""

from __future__ import annotations

import base64
import glob
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.errors import OptionError, TableError
from descscore.strict_json import dump
from descscore.tables.formats import known_table, open_table, writer_for
from descscore.tables.json_files import JsonlTable
from descscore.tables.parquet import ParquetTable, ParquetWriter, join_parquet
from descscore.tables.parts import MANIFEST, Parts, Plan, shards_of
from descscore.tables.record import checksum
from descscore.tables.scoring import (
    ROWS_IN_CHUNK,
    ScoreOptions,
    ShardWorker,
    score_settings,
)
from descscore.tables.summary import summary_of
from descscore.tables.table import Chunk, Row, Table
from descscore.writing import as_path, check_apart, is_remote, replacing, write_whole

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from descscore.metric import DescriptionScore
    from descscore.tables.parts import Shard
    from descscore.tables.summary import Summary
    from descscore.tables.table import Cells

CHUNKS_IN_SHARD = 16


Progress = Callable[[int, int], None]
Engine = Callable[["Callable[[], DescriptionScore]", Parts, "Progress | None"], None]
"""Scores the shards that have no part yet, as `descscore.integrations.ray.RayCluster` does."""


def run_shards(
    load_metric: Callable[[], DescriptionScore],
    pairs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    how: ScoreOptions | None = None,
    *,
    shard: str | None = None,
    join: str | os.PathLike[str] | None = None,
    join_only: bool = False,
    chunk: int = ROWS_IN_CHUNK,
    shard_rows: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Score tables in shards; called again, it scores what has no part yet.

    Args:
        load_metric: gives a `DescriptionScore` with `on_error="record"`.
        pairs: tables, or patterns such as "in/*.parquet" or "s3://bucket/in/*.parquet".
        out: the folder for the parts, which all workers can reach.
        how: what is scored, and under which names.
        shard: a worker's share, such as "3/16"; all by default.
        join: a file to write the rows into once all shards are scored.
        join_only: score nothing, only join.
        chunk: rows scored together.
        shard_rows: rows in a shard, a multiple of `chunk`; by default 16 chunks.
        engine: scores the shards elsewhere; by default this process does.
        progress: called with the rows done and their total.

    Returns:
        What was found of all rows, or of the share.

    Raises:
        TableError: a table cannot be read, the folder holds parts of other settings, or with
            `join` a part is missing.
        OptionError: the options do not suit the tables.
    """
    if join_only and join is not None:
        return join_shards(out, join)
    metric, parts = open_shards(
        load_metric, pairs, out, how or ScoreOptions(), chunk=chunk, shard_rows=shard_rows
    )
    shards = None if shard is None else share(parts.plan.shards, shard)
    if engine is None:
        worker = shard_worker(metric, parts)
        states = parts.fill(worker, shards=shards, progress=progress)
        if not parts.missing():
            write_manifest(parts)
        summary = summary_of(states, metric.signature)
    else:
        del metric  # the workers load their own
        engine(load_metric, parts, progress)
        summary = write_manifest(parts)
    return summary if join is None else join_shards(out, join)


def find_tables(names: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The paths that some names and patterns such as "in/*.parquet" stand for, in order.

    Raises:
        TableError: a pattern matches nothing.
    """
    found: list[Path] = []
    for name in names:
        path: Any = as_path(name)
        if not any(mark in str(name) for mark in "*?[") or (not is_remote(path) and path.exists()):
            found.append(path)
            continue
        if is_remote(path):
            root = str(name).partition("://")[0]
            matched = sorted(f"{root}://{match}" for match in path.fs.glob(path.path))
        else:
            matched = sorted(glob.glob(str(name), recursive=True))
        if not matched:
            raise TableError(f"no file matches {str(name)!r}; check the pattern")
        found += map(as_path, matched)
    return found


def open_shards(
    load_metric: Callable[[], DescriptionScore],
    pairs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    how: ScoreOptions,
    *,
    chunk: int = ROWS_IN_CHUNK,
    shard_rows: int | None = None,
) -> tuple[DescriptionScore, Parts]:
    """Plan the shards of some tables in a folder, or find the plan that is there.

    Args:
        load_metric: gives a `DescriptionScore` with `on_error="record"`; called once everything
            else is checked.
        pairs: tables, or patterns that match them.
        out: the folder, which all workers can reach.
        how: what is scored, and under which names.
        chunk: rows scored together.
        shard_rows: rows in a shard, a multiple of `chunk`; by default 16 chunks.

    Raises:
        TableError: a table cannot be read, or the folder holds parts of other settings.
        OptionError: the options do not suit the tables.
    """
    paths, folder = find_tables(pairs), as_path(out)
    if folder.suffix.lower() in {".csv", ".tsv", ".jsonl", ".parquet"} and not folder.is_dir():
        raise OptionError(
            f"{folder} is named like a file, and shards go to a folder; name one, and "
            "`join` FILE for one file"
        )
    rows = shard_rows or CHUNKS_IN_SHARD * chunk
    if rows % chunk:
        raise OptionError(f"shards have {rows:,} rows, which is not a multiple of {chunk:,}")
    check_apart([folder], paths)
    if (earlier := Plan.read(folder)) is None:
        tables = [open_table(path) for path in paths]
    else:
        known = {facts["path"]: facts for facts in earlier.tables}
        tables = [
            known_table(known[str(path)]) if str(path) in known else open_table(path)
            for path in paths
        ]
    selection = how.select(tables[0])
    metric = load_metric()
    readouts = how.readouts(metric)
    for table in tables[1:]:
        how.added(table, readouts)
    added = how.added(tables[0], readouts)
    suffix = ".jsonl" if any(table.schema() is None for table in tables) else ".parquet"
    writer = writer_for(folder / f"part{suffix}", tables, added)
    schema = None
    if isinstance(writer, ParquetWriter):
        schema = base64.b64encode(writer.schema.serialize()).decode()
    settings = score_settings(
        metric.signature, [table.fingerprint() for table in tables], selection, added
    )
    if how.images is None:
        settings["images"] = None  # each table's own folder
    options = asdict(how) | {"images": None if how.images is None else str(how.images)}
    plan = Plan(
        settings=settings | {"tables": [str(path) for path in paths]},
        suffix=suffix,
        chunk=chunk,
        shards=shards_of([table.n_rows for table in tables], rows),
        tables=[table.facts() for table in tables],
        more={
            "columns": list(dict.fromkeys(name for table in tables for name in table.written)),
            "holds_bytes": list(tables[0].holds_bytes),
            "schema": schema,
            "readouts": readouts,
            "options": options,
        },
    )
    return metric, Parts(folder, plan)


def shard_worker(
    metric: DescriptionScore, parts: Parts
) -> Callable[[Shard, Path, Callable[[int], None]], dict[str, Any]]:
    """What scores a shard of a plan, for `Parts.fill`."""
    plan = parts.plan
    how = ScoreOptions(**plan.more["options"])

    @lru_cache(maxsize=4)
    def of_table(number: int) -> ShardWorker:
        table = known_table(plan.tables[number])
        if table.fingerprint() != plan.settings["table_sha256"][number]:
            raise TableError(
                f"{table.path} was changed since its shards were planned; restore it, or start "
                "in another folder"
            )
        # A part needs no rows but its own: its writer looks at one table.
        writer = writer_for(
            parts.folder / f"part{plan.suffix}", [table], plan.settings["added_columns"]
        )
        selection = how.select(table)
        return ShardWorker(metric, selection, plan.more["readouts"], writer, plan.chunk)

    return lambda shard, out, report: of_table(shard.table)(shard, out, report)


def share(shards: Sequence[Shard], shard: str) -> list[Shard]:
    """The shards of one of several workers.

    Args:
        shards: all.
        shard: the worker, counted from 0 or from 1, and their number, as "3/16".

    Raises:
        OptionError: there is no such worker.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", shard)
    if found is None:
        raise OptionError(f"shard is {shard!r:.40}; give a worker and their number, such as 3/16")
    worker, workers = map(int, found.groups())
    if workers < 1 or not 0 <= worker <= workers:
        raise OptionError(
            f"shard {worker}/{workers} is not one of {workers}; count from 0 to n - 1 or from 1 "
            "to n"
        )
    return [shard for shard in shards if shard.number % workers == worker % workers]


def write_manifest(parts: Parts) -> Summary:
    """List the parts of a finished run; the summary of all rows.

    Raises:
        TableError: a part is missing.
    """
    entries = [parts.entry(shard) for shard in parts.plan.shards]
    if any(entry is None for entry in entries):
        _refuse_missing(parts)
    whole = [entry for entry in entries if entry is not None]
    states = [entry["state"] for entry in whole]
    summary = summary_of(states, parts.plan.settings["signature"])
    listed = [
        {"part": parts.path(shard).name, "rows": entry["rows"], "bytes": entry["bytes"]}
        for shard, entry in zip(parts.plan.shards, whole, strict=True)
    ]
    content = {"settings": parts.plan.settings, "summary": asdict(summary), "parts": listed}
    write_whole(parts.folder / MANIFEST, dump(content))
    return summary


def join_shards(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> Summary:
    """Write the rows of a folder of shards into one file, as scoring their table at once does.

    Args:
        folder: of the shards, all of which have parts.
        out: a csv, tsv, jsonl or parquet file; one that exists is replaced.

    Returns:
        What was found of all rows.

    Raises:
        TableError: the folder holds no plan, a part is missing or damaged, or the format cannot
            keep the columns.
    """
    source, path = as_path(folder), as_path(out)
    if (plan := Plan.read(source)) is None:
        raise TableError(f"{source} has no shards; score into it first")
    parts = Parts(source, plan)
    check_apart([path], parts.paths())
    for shard in plan.shards:
        entry = parts.entry(shard)
        if entry is None:
            _refuse_missing(parts)
        elif checksum(parts.path(shard))["crc32"] != entry["crc32"]:
            raise TableError(
                f"{parts.path(shard)} is damaged; remove it, and score its shard again"
            )
    suffix = path.suffix.lower()
    with replacing(path) as unfinished:
        if suffix == plan.suffix == ".parquet":
            import pyarrow as pa

            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(plan.more["schema"])))
            join_parquet(parts.paths(), unfinished, schema)
            return write_manifest(parts)
        table = _Joined(
            path=source,
            columns=tuple(plan.more["columns"]),
            n_rows=plan.rows,
            holds_bytes=tuple(plan.more["holds_bytes"]),
            parts=parts,
        )
        writer = writer_for(path, [table], plan.settings["added_columns"])
        if suffix == plan.suffix:
            writer.join(parts.paths(), unfinished)
        else:
            writer.write(table.scored(), unfinished, whole=True)
    return write_manifest(parts)


@dataclass(frozen=True, kw_only=True)
class _Joined(Table):
    """The rows of all parts, without what was added.

    Attributes:
        parts: the parts.
    """

    parts: Parts = field(repr=False)

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows from the given one on."""
        rows = (row for chunk, _ in self.scored() for row in chunk.rows)
        return itertools.islice(rows, start, None)

    def scored(self) -> Iterator[tuple[Chunk, list[Cells]]]:
        """The rows, and what was added to them, in the chunks in which they were scored."""
        plan = self.parts.plan
        added = plan.settings["added_columns"]
        kind = ParquetTable if plan.suffix == ".parquet" else JsonlTable
        columns = (*self.columns, *added)
        for shard in plan.shards:
            part = kind(path=self.parts.path(shard), columns=columns, n_rows=shard.rows)
            for chunk in part.chunks(plan.chunk):
                given = [dict(row.values) for row in chunk.rows]
                cells = [tuple(_cell(row.pop(name)) for name in added) for row in given]
                yield Chunk(list(map(Row, given))), cells


def _cell(value: Any) -> float | bool | str | None:
    """A value with the digits that float32 has and no more."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _refuse_missing(parts: Parts) -> None:
    missing = parts.missing()
    raise TableError(
        f"{len(missing):,} of {len(parts.plan.shards):,} shards in {parts.folder} have no part "
        f"yet, the first is {missing[0].number}; score them first"
    )
