"""A file's name -> its format: how its pairs are read, how scored rows are written."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.tables.candidates import clipscore_candidates
from descscore.tables.coco import coco_results
from descscore.tables.delimited import DelimitedWriter, open_delimited
from descscore.tables.jsonl import JsonlWriter, open_jsonl
from descscore.tables.parquet import ParquetWriter, open_parquet
from descscore.tables.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from descscore.tables.columns import Writer
    from descscore.tables.table import Table

STDIN = "-"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
READ = (*DELIMITERS, ".jsonl", ".parquet", ".json")
"""How the names of tables end."""


def open_table(path: str | os.PathLike[str]) -> Table:
    """Open a table of pairs, its format told by its name: csv, tsv, jsonl, parquet or json.

    Raises:
        TableError: there is no such file, or it isn't a table of that format with at least one row.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if str(path) == STDIN:
        raise TableError(
            "a table cannot be read from stdin, since it is read more than once; save it to a file"
        )
    if path.is_dir():
        raise TableError(
            f"{path} is a folder; give a table, such as a .csv file with the columns image and text"
        )
    try:
        if suffix in DELIMITERS:
            return open_delimited(path, DELIMITERS[suffix])
        if suffix == ".jsonl":
            return open_jsonl(path)
        if suffix == ".parquet":
            return open_parquet(path)
        if suffix == ".json":
            return _open_json(path)
    except FileNotFoundError:
        raise TableError(f"there is no file {path}; check the path") from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}") from error
    raise TableError(
        f"{path} has a name that tells no format that is read; rename it to .csv, .tsv, .jsonl, "
        ".parquet, or .json (COCO results or CLIPScore candidates)"
    )


def writer_for(out: Path, table: Table, added: Sequence[str]) -> Writer:
    """What turns scored rows into the format that the name of `out` tells.

    Raises:
        TableError: the name tells none, or the format cannot keep the table's columns.
    """
    suffix = out.suffix.lower()
    if suffix == ".parquet":
        return ParquetWriter(table, added)
    if suffix != ".jsonl" and suffix not in DELIMITERS:
        raise TableError(
            f"{out} has a name that tells no format that is written; use .csv, .tsv, .jsonl or "
            ".parquet"
        )
    if table.holds_bytes:
        raise TableError(
            f"column {table.holds_bytes[0]!r} of {table.path} holds raw bytes, which only parquet "
            f"can keep; name the output {out.stem}.parquet"
        )
    if suffix == ".jsonl":
        return JsonlWriter(added)
    return DelimitedWriter(table.columns, added, DELIMITERS[suffix])


def _open_json(path: Path) -> Table:
    try:
        content = parse(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise TableError(
            f"{path} is {error}; a file with one JSON object a line is named .jsonl"
        ) from None
    if isinstance(content, list):
        return coco_results(path, content)
    if isinstance(content, dict):
        return clipscore_candidates(path, content)
    raise TableError(
        f'{path} is neither COCO results ([{{"image_id": 42, "caption": "…"}}]) nor '
        'CLIPScore candidates ({"42": "…"})'
    )
