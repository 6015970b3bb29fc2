"""parquet, through pyarrow (`pip install "descscore[parquet]"`)."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.errors import TableError
from descscore.extras import imports_of
from descscore.printable import is_valid_unicode
from descscore.tables.table import Chunk, Row, Table, Writer, check_names

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from descscore.tables.table import Cells

ROWS_AT_ONCE = 1024
"""Rows held in memory while reading, and rows in a row group of what is written."""


@dataclass(frozen=True, kw_only=True)
class ArrowTable(Table):
    """A table that Arrow reads in batches."""

    @abstractmethod
    def batches(self, size: int, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Rows from `start` to before `stop` in batches of `size`; the last may have fewer."""

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows from the given one on."""
        for chunk in self.chunks(ROWS_AT_ONCE, start):
            yield from chunk.rows

    def chunks(
        self, size: int, start: int = 0, stop: int | None = None, columns: Sequence[str] = ()
    ) -> Iterator[Chunk]:
        """Some rows at a time; columns that are not asked for stay as Arrow keeps them."""
        for batch in self.batches(size, start, self.n_rows if stop is None else stop):
            yield Chunk(list(_python_rows(batch, columns or self.columns)), batch)


class ParquetTable(ArrowTable):
    """A parquet table; row groups are its marks."""

    def schema(self) -> pa.Schema:
        """As the file has it."""
        with _open(self.path) as file:
            return file.schema_arrow

    def batches(self, size: int, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Batches of `size` rows, whatever the row groups are."""
        import pyarrow as pa

        done = start
        with _open(self.path) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            group = 0
            while group < len(sizes) - 1 and sizes[group] <= start:
                start -= sizes[group]  # from here on, counted in the row groups that are read
                group += 1
            groups = list(range(group, len(sizes)))
            kept: list[pa.RecordBatch] = []
            held = 0
            try:
                for batch in file.iter_batches(batch_size=size, row_groups=groups):
                    rest = batch.slice(min(start, len(batch)))
                    start -= len(batch) - len(rest)
                    rest = rest.slice(0, max(0, stop - done - held))
                    while len(rest):
                        kept.append(rest.slice(0, size - held))
                        rest = rest.slice(size - held)
                        held += len(kept[-1])
                        if held == size:
                            yield one_batch(kept)
                            done, held, kept = done + size, 0, []
                    if done + held >= stop:
                        break
            except (OSError, pa.ArrowException) as error:
                raise TableError(f"{self.path} is damaged after row {done:,}: {error}") from None
            if kept:
                yield one_batch(kept)


def one_batch(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Several batches as one."""
    import pyarrow as pa

    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def open_parquet(path: Path) -> ParquetTable:
    """Open a parquet table.

    Raises:
        MissingExtraError: pyarrow is not installed.
        TableError: the file isn't parquet, or a column name comes twice.
    """
    with _open(path) as file:
        schema = file.schema_arrow
        n_rows = file.metadata.num_rows
    check_names(schema.names, path)
    return ParquetTable(
        path=path,
        columns=tuple(schema.names),
        n_rows=n_rows,
        holds_bytes=tuple(field.name for field in schema if _holds_bytes(field.type)),
    )


class ParquetWriter(Writer):
    """Rows and their results as parquet; a column keeps its type, or has one that fits all rows.

    Args:
        tables: whose rows come.
        added: names of the added columns: numbers, then whether a text was cut, then errors.

    Raises:
        TableError: a column has no type that parquet can keep, or the tables have different ones.
    """

    keeps_batches = True

    def __init__(self, tables: Sequence[Table], added: Sequence[str]) -> None:
        self.added = tuple(added)
        self._columns = _schema(tables[0])
        for other in tables[1:]:
            if not (schema := _schema(other)).equals(self._columns):
                raise TableError(
                    f"{other.path} has columns of other types than {tables[0].path}; score them "
                    f"apart ({schema.to_string():.200})"
                )

    @property
    def schema(self) -> pa.Schema:
        """Of what is written."""
        import pyarrow as pa

        types = [*[pa.float32()] * (len(self.added) - 2), pa.bool_(), pa.string()]
        schema = self._columns
        for name, type_ in zip(self.added, types, strict=True):
            schema = schema.append(pa.field(name, type_))
        return schema

    def write(
        self, chunks: Iterable[tuple[Chunk, Sequence[Cells]]], out: Path, *, whole: bool = False
    ) -> None:
        """Write one part, with row groups of at most 1,024 rows.

        Raises:
            TableError: a value does not fit its column's type, as when the table was changed.
        """
        import pyarrow.parquet as pq

        schema = self.schema
        with out.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
            for chunk, results in chunks:
                batch = self._batch(chunk, results, schema)
                for start in range(0, len(batch), ROWS_AT_ONCE):
                    writer.write_batch(batch.slice(start, ROWS_AT_ONCE))

    def _batch(self, chunk: Chunk, results: Sequence[Cells], schema: pa.Schema) -> pa.RecordBatch:
        import pyarrow as pa

        given = len(self._columns)
        try:
            batch = chunk.batch
            if batch is None:
                values = [row.values for row in chunk.rows]
                batch = pa.RecordBatch.from_pylist(values, schema=self._columns)
            columns = zip(zip(*results, strict=True), list(schema)[given:], strict=True)
            added = [pa.array(column, field.type) for column, field in columns]
            return pa.record_batch([*batch.columns[:given], *added], schema=schema)
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise TableError(
                f"rows do not fit the types of their columns ({error}); undo what was changed in "
                "the table, or write jsonl or csv instead"
            ) from error

    def join(self, parts: Iterable[Path], out: Path) -> None:
        """The parts' row groups in one file."""
        join_parquet(parts, out, self.schema)


def join_parquet(parts: Iterable[Path], out: Path, schema: pa.Schema) -> None:
    """Write the row groups of some files into one file.

    Args:
        parts: the files.
        out: the one file.
        schema: of all; what is read back of a file may call the items of lists differently.
    """
    import pyarrow.parquet as pq

    with out.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
        for part in parts:
            with _open(part) as source:
                for group in range(source.num_row_groups):
                    for batch in source.read_row_group(group).cast(schema).to_batches():
                        writer.write_batch(batch)


def _schema(table: Table) -> pa.Schema:
    """Types of the table's columns, all of which parquet can keep."""
    with imports_of("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    schema = table.schema() or _inferred(table)
    for field in schema:
        file = io.BytesIO()
        try:
            pq.ParquetWriter(file, pa.schema([field])).close()
            pq.read_schema(file)  # some nesting can be written, but not read
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"column {field.name!r} of {table.path} has a type that parquet cannot keep, "
                f"{field.type!s:.100}{_where(table, field)} ({str(error).rstrip('.'):.200}); "
                "write jsonl or csv instead"
            ) from None
    return schema


def _where(table: Table, field: pa.Field) -> str:
    """The first row that needs the type of a column, where the table has no types of its own."""
    rows = enumerate(table.rows() if table.schema() is None else (), start=1)
    needs = (n for n, row in rows if _array(table, [row.values], field.name).type == field.type)
    return next((f", in row {number:,}" for number in needs), "")


def _inferred(table: Table) -> pa.Schema:
    """For a format without types, those that hold all values."""
    import pyarrow as pa

    schema = pa.schema([pa.field(column, pa.null()) for column in table.written])
    types: dict[str, set[pa.DataType]] = {column: {pa.null()} for column in table.written}
    for rows in _in_batches(table):
        arrays = [_array(table, rows, column) for column in table.written]
        batch = pa.record_batch(arrays, names=list(table.written))
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
        f"column {column!r} of {table.path} contains values of different types, or integers too "
        "large for one type, which a parquet column cannot; write jsonl or csv instead"
    )


def _in_batches(table: Table) -> Iterator[list[dict[str, Any]]]:
    for chunk in table.chunks(ROWS_AT_ONCE):
        yield [row.values for row in chunk.rows]


def _python_rows(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[Row]:
    """The rows of a batch; one with a value that Python has no form for fails alone."""
    columns, problems = [], {}
    for name in names:
        column = batch.column(name)
        try:
            columns.append(column.to_pylist())
        except (ValueError, OverflowError, LookupError):
            columns.append(_each(name, column, problems))
    for number, values in enumerate(zip(*columns, strict=True)):
        yield Row(dict(zip(names, values, strict=True)), problems.get(number))


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
    with imports_of("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    try:
        if not isinstance(path, Path):
            return pq.ParquetFile(path.open("rb"))
        if is_valid_unicode(str(path)):
            return pq.ParquetFile(path)
        return pq.ParquetFile(pa.OSFile(os.fsencode(path)))  # takes bytes, unlike ParquetFile
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise TableError(f"{path} is not a complete parquet file: {error}") from None


def _holds_bytes(type_: pa.DataType) -> bool:
    import pyarrow.types

    if pyarrow.types.is_binary(type_) or pyarrow.types.is_large_binary(type_):
        return True
    if pyarrow.types.is_fixed_size_binary(type_) or pyarrow.types.is_binary_view(type_):
        return True
    return any(_holds_bytes(type_.field(i).type) for i in range(type_.num_fields))
