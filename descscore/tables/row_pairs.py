"""A row -> its image and its text, for whatever goes through a table pair by pair."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.printable import near_name
from descscore.tables.table import lacks_column

if TYPE_CHECKING:
    from descscore.tables.locate import Locate
    from descscore.tables.table import Row, Table

_NOT_THERE = re.compile(r"^image \('(.*)'\) does not exist; ", re.DOTALL)
_PLACE_IN_CALL = re.compile(r"^(image|text) \d+ ")


def check_columns(table: Table, needed: Sequence[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        TableError: it does; the message lists those that it has.
    """
    for column in needed:
        if column not in table.columns:
            advice = "name the right ones with --image-column and --text-column"
            raise lacks_column(table.path, column, table.columns, advice)


def row_text(row: Row, text_column: str) -> str:
    """The text of a row.

    Raises:
        TableError: the row could not be read, or holds none.
    """
    if row.problem is not None:
        raise TableError(row.problem)
    text = row.values.get(text_column)
    if not isinstance(text, str):
        raise TableError(f"column {text_column!r} holds no text ({text!r:.60})")
    return text


def row_pair(row: Row, locate: Locate, text_column: str) -> tuple[str | bytes, str]:
    """The image and the text of a row.

    Raises:
        TableError: the row could not be read, or lacks one of them.
    """
    text = row_text(row, text_column)
    return locate(row.values), text


def without_place(error: str) -> str:
    """An error without the item's place in a call, which says nothing about its row."""
    return _PLACE_IN_CALL.sub(r"\1 ", error)


def with_folder(error: str, folder: Path) -> str:
    """An error; of an image that is not there, with the folder in which it was looked for."""
    found = _NOT_THERE.match(error)
    named = "differs in" in error
    if found is None or named or Path(found[1]).is_absolute():
        return error
    return (
        f"{found[0]}images are looked for in the folder {folder.resolve()}: name another with "
        "--images"
    )


def with_near_name(error: str, image: str | bytes) -> str:
    """An error; of an image that is not there, with a file beside it whose name differs in form."""
    if isinstance(image, bytes) or _NOT_THERE.match(error) is None:
        return error
    path = Path(image)
    near = near_name(path.name, _names(path.parent))
    return f"{error} ({near})" if near else error


@lru_cache(maxsize=16)
def _names(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(os.listdir(folder))
    except OSError:
        return ()
