"""parquet, through pyarrow (`pip install "descscore[parquet]"`)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.errors import TableError
from descscore.tables.strict_json import dump, parse
from descscore.tables.table import Row, Table, check_columns

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from descscore.tables.columns import Cells

ROWS_AT_ONCE = 1024
"""Rows held in memory while reading, and rows in a row group of what is written."""


def open_parquet(path: Path) -> Table:
    """Open a parquet table.

    Raises:
        TableError: pyarrow is absent, the file isn't parquet, or a column name comes twice.
    """
    with _open(path) as file:
        schema = file.schema_arrow
        n_rows = file.metadata.num_rows
    check_columns(schema.names, path)
    return Table(
        path=path,
        columns=tuple(schema.names),
        n_rows=n_rows,
        holds_bytes=tuple(field.name for field in schema if _holds_bytes(field.type)),
        read=lambda: _rows(path),
    )


class ParquetWriter:
    """Results only, as jsonl: parquet ends with an index, so a file that is cut off cannot be read.

    `finish` joins them to the table's rows once all are there.
    """

    def __init__(self, table: Table, added: Sequence[str]) -> None:
        self.table = table
        self.added = tuple(added)
        self.schema = _schema(table)

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def encode(self, rows: Sequence[Row], results: Sequence[Cells]) -> bytes:
        """The results, one JSON list a line."""
        return b"".join(dump(result).encode() + b"\n" for result in results)

    def finish(self, results: Path, out: Path) -> None:
        """Write the table's rows with their results; `out` appears only once it is whole.

        Raises:
            TableError: a value does not fit its column's type, as when the table was changed.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        numbers = [pa.float32()] * (len(self.added) - 2)
        types = [*numbers, pa.bool_(), pa.string()]
        schema = self.schema
        for name, type_ in zip(self.added, types, strict=True):
            schema = schema.append(pa.field(name, type_))
        unfinished = out.with_name(f"{out.name}.tmp")
        try:
            with results.open("rb") as lines, pq.ParquetWriter(unfinished, schema) as writer:
                for batch in self._batches():
                    columns = list(batch.columns)
                    values = zip(*(parse(next(lines)) for _ in range(batch.num_rows)), strict=True)
                    columns += [pa.array(v, type_) for v, type_ in zip(values, types, strict=True)]
                    writer.write_batch(pa.record_batch(columns, schema=schema))
            os.replace(unfinished, out)
        except pa.ArrowException as error:
            raise TableError(
                f"the rows of {self.table.path} do not fit into {out} ({error}); the results stay "
                f"in {results}: undo what was changed in the table, or write jsonl or csv instead"
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self.table.path.suffix.lower() == ".parquet":
            with _open(self.table.path) as file:
                yield from file.iter_batches(batch_size=ROWS_AT_ONCE)
        else:
            for rows in _in_batches(self.table):
                yield _record_batch(rows, self.schema)


def _schema(table: Table) -> pa.Schema:
    """Types of the table's columns, all of which parquet can keep."""
    pa = _pyarrow()
    import pyarrow.parquet as pq

    if table.path.suffix.lower() == ".parquet":
        with _open(table.path) as file:
            schema = file.schema_arrow
    else:
        schema = _inferred(table)
    for field in schema:
        file = io.BytesIO()
        try:
            pq.ParquetWriter(file, pa.schema([field])).close()
            pq.read_schema(file)  # some nesting can be written, but not read
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"column {field.name!r} of {table.path} has a type that parquet cannot keep, "
                f"{field.type!s:.100} ({str(error).rstrip('.'):.200}); write jsonl or csv instead"
            ) from None
    return schema


def _inferred(table: Table) -> pa.Schema:
    """For a format without types, those that hold all values."""
    import pyarrow as pa

    schema = pa.schema([pa.field(column, pa.null()) for column in table.columns])
    types: dict[str, set[pa.DataType]] = {column: {pa.null()} for column in table.columns}
    for rows in _in_batches(table):
        arrays = [_array(table, rows, column) for column in table.columns]
        batch = pa.record_batch(arrays, names=list(table.columns))
        for field in batch.schema:
            types[field.name].add(field.type)
        try:
            schema = pa.unify_schemas([schema, batch.schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            clash = next(
                field.name
                for field, other in zip(schema, batch.schema, strict=True)
                if field.type != other.type
            )
            raise _mixed_types(table, clash) from None
    # A type that came with later rows need not hold the earlier ones: floats, integers from 2^53.
    widened = [field for field in schema if types[field.name] - {pa.null(), field.type}]
    if widened:
        for rows in _in_batches(table):
            for field in widened:
                _array(table, rows, field.name, field.type)
    return schema


def _array(
    table: Table, rows: list[dict[str, Any]], column: str, type_: pa.DataType | None = None
) -> pa.Array:
    """A column of some rows, by default in the type that pyarrow infers."""
    import pyarrow as pa

    try:
        return pa.array([row.get(column) for row in rows], type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        raise _mixed_types(table, column) from None


def _mixed_types(table: Table, column: str) -> TableError:
    return TableError(
        f"column {column!r} of {table.path} holds values of different types, or integers too large "
        "for one type, which a parquet column cannot; write jsonl or csv instead"
    )


def _record_batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _in_batches(table: Table) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for row in table.rows():
        rows.append(row.values)
        if len(rows) == ROWS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def _rows(path: Path) -> Iterator[Row]:
    done = 0
    with _open(path) as file:
        try:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                yield from _python_rows(batch)
                done += batch.num_rows
        except OSError as error:
            raise TableError(f"{path} is damaged after row {done:,}: {error}") from None


def _python_rows(batch: pa.RecordBatch) -> Iterator[Row]:
    """The rows of a batch; one with a value that Python has no form for fails alone."""
    columns, problems = [], {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (ValueError, OverflowError, LookupError):
            columns.append(_each(name, column, problems))
    for number, values in enumerate(zip(*columns, strict=True)):
        yield Row(dict(zip(batch.schema.names, values, strict=True)), problems.get(number))


def _each(name: str, column: pa.Array, problems: dict[int, str]) -> list[object]:
    values: list[object] = []
    for number, value in enumerate(column):
        try:
            values.append(value.as_py())
        except (ValueError, OverflowError, LookupError) as error:
            values.append(None)
            reason = "not UTF-8" if isinstance(error, UnicodeError) else str(error)
            problems.setdefault(
                number, f"column {name!r} holds a value that cannot be read: {reason}"
            )
    return values


def _open(path: Path) -> pq.ParquetFile:
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise TableError(f"{path} is not a whole parquet file: {error}") from None


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise TableError(
            'parquet needs pyarrow, which is not installed; run: pip install "descscore[parquet]" '
            "(or use csv or jsonl)"
        ) from None
    return pyarrow


def _holds_bytes(type_: pa.DataType) -> bool:
    import pyarrow.types

    if pyarrow.types.is_binary(type_) or pyarrow.types.is_large_binary(type_):
        return True
    if pyarrow.types.is_fixed_size_binary(type_) or pyarrow.types.is_binary_view(type_):
        return True
    return any(_holds_bytes(type_.field(i).type) for i in range(type_.num_fields))
