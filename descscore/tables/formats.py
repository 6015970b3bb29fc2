"""A file's name -> its format: how its pairs are read, how scored rows are written."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from descscore.errors import TableError
from descscore.tables.archives import TarTable, is_dataset, open_dataset, open_tar
from descscore.tables.delimited import DelimitedTable, DelimitedWriter, open_delimited
from descscore.tables.json_files import JsonlTable, JsonlWriter, JsonTable, open_json, open_jsonl
from descscore.tables.parquet import ParquetTable, ParquetWriter, open_parquet
from descscore.writing import as_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from descscore.tables.table import Table, Writer

STDIN = "-"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
_FORMATS: dict[str, tuple[type[Table], Callable[[Path], Table]]] = {
    **{
        suffix: (DelimitedTable, partial(open_delimited, delimiter=mark))
        for suffix, mark in DELIMITERS.items()
    },
    ".jsonl": (JsonlTable, open_jsonl),
    ".parquet": (ParquetTable, open_parquet),
    ".json": (JsonTable, open_json),
    ".tar": (TarTable, open_tar),
}
READ = tuple(_FORMATS)
"""How the names of tables end."""


def open_table(path: str | os.PathLike[str]) -> Table:
    """Open a table of pairs, its format told by its name: csv, tsv, jsonl, parquet, json or tar.

    Raises:
        TableError: there is no such file, or it isn't a table of that format with at least one row.
    """
    path = as_path(path)
    if str(path) == STDIN:
        raise TableError(
            "a table cannot be read from stdin, since it is read more than once; save it to a file"
        )
    if is_dataset(path):
        return open_dataset(path)
    if path.is_dir():
        raise TableError(
            f"{path} is a folder; give a table, such as a .csv file with the columns image and text"
        )
    try:
        if (found := _FORMATS.get(path.suffix.lower())) is not None:
            return found[1](path)
    except FileNotFoundError:
        raise TableError(f"there is no file {path}; check the path") from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}") from error
    raise TableError(
        f"{path} has an unsupported file extension; rename it to .csv, .tsv, .jsonl, .parquet, "
        ".tar (WebDataset), or .json (COCO results or CLIPScore candidates)"
    )


def known_table(facts: dict[str, Any]) -> Table:
    """A table whose facts are known, without reading it through again."""
    path = as_path(facts["path"])
    suffix = path.suffix.lower()
    if suffix == ".json" or suffix not in _FORMATS:  # read whole, or a folder
        return open_table(path)
    kind: Any = _FORMATS[suffix][0]
    # JSON has lists for tuples.
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}
    return kind(**values | {"path": path})


def writer_for(out: Path, tables: Sequence[Table], added: Sequence[str]) -> Writer:
    """What turns scored rows into the format that the name of `out` tells.

    Raises:
        TableError: the name tells none, or the format cannot keep the tables' columns.
    """
    suffix = out.suffix.lower()
    if suffix == ".parquet":
        return ParquetWriter(tables, added)
    if suffix != ".jsonl" and suffix not in DELIMITERS:
        raise TableError(
            f"{out} has an unsupported file extension; use .csv, .tsv, .jsonl or .parquet"
        )
    for table in tables:
        if table.holds_bytes:
            raise TableError(
                f"column {table.holds_bytes[0]!r} of {table.path} contains raw bytes, which only "
                f"parquet can keep; name the output {out.stem}.parquet"
            )
    if suffix == ".jsonl":
        return JsonlWriter(added, tables[0].left_out)
    columns = dict.fromkeys(name for table in tables for name in table.written)
    return DelimitedWriter(tuple(columns), added, DELIMITERS[suffix])
