"""A row -> its image, its text and what comes with them, for whatever goes through a table."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.errors import TableError
from descscore.results import Problem
from descscore.tables.locate import ImagesOf, images_of
from descscore.writing import is_remote

if TYPE_CHECKING:
    from descscore.tables.references import References
    from descscore.tables.table import Row, Table

_NOT_THERE = re.compile(r"(image \('(.*)'\) does not exist; )check the path", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Item:
    """What was asked for of one row.

    Attributes:
        row: the row.
        image: its image; None where none was asked for.
        texts: its texts, one for each column that was asked for.
        references: its reference texts.
        context: the text that its image stands beside.
        id: what names it.
        problem: why something is missing; the other attributes may be empty then.
    """

    row: Row
    image: str | bytes | None = None
    texts: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    context: str | None = None
    id: object = None
    problem: str | None = None

    @property
    def text(self) -> str:
        """The first text."""
        return self.texts[0]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which columns of a table hold what; made by `select`.

    Attributes:
        table: the table.
        images: finds images; None if none are read.
        texts: the columns with texts.
        references: finds reference texts.
        context: the column with contexts.
        id: the column with ids.
        settings: what the selection is, as plain values.
    """

    table: Table
    images: ImagesOf | None
    texts: tuple[str, ...]
    references: References | None
    context: str | None
    id: str | None
    settings: dict[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        named = [*self.texts, self.context, self.id]
        for finds in (self.images, self.references):
            named += () if finds is None else finds.columns
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def item(self, row: Row) -> Item:
        """What is asked for of a row."""
        try:
            if row.problem is not None:
                raise TableError(row.problem)
            values = row.values
            return Item(
                row=row,
                texts=tuple(_text(values, column) for column in self.texts),
                image=None if self.images is None else self.images(values),
                references=() if self.references is None else self.references.of(values),
                context=None if self.context is None else _text(values, self.context),
                id=None if self.id is None else values.get(self.id),
            )
        except TableError as error:
            return Item(row=row, problem=str(error))

    def apart_from(self, out: Path) -> Selection:
        """The same, which refuses an image that is the file to be written.

        Args:
            out: a file that is there, and is to be replaced.
        """
        if self.images is None or is_remote(out):
            return self
        return replace(self, images=replace(self.images, apart=out))

    def items(self) -> Iterator[Item]:
        """All rows of the table."""
        return map(self.item, self.table.rows())

    def fetch(self, items: Iterable[Item]) -> list[Item]:
        """Items with the bytes of their images, where these are on another file system."""
        listed = list(items)
        if self.images is None or not is_remote(self.images.folder):
            return listed
        folder: Any = self.images.folder
        paths = {item.image for item in listed if isinstance(item.image, str)}
        content = folder.fs.cat(list(paths), on_error="return") if paths else {}
        fetched = []
        for item in listed:
            if isinstance(item.image, str):
                found = content.get(folder.fs._strip_protocol(item.image))
                if not isinstance(found, bytes):
                    gone = found is None or isinstance(found, FileNotFoundError)
                    reason = "does not exist" if gone else f"cannot be read ({found})"
                    item = replace(item, problem=f"image ({item.image!r}) {reason}; check the path")
                else:
                    item = replace(item, image=found)
            fetched.append(item)
        return fetched


def select(
    table: Table,
    *,
    image: str | None = None,
    texts: Sequence[str] = (),
    images: str | os.PathLike[str] | None = None,
    pattern: str | None = None,
    references: References | None = None,
    context: str | None = None,
    id: str | None = None,
    advice: str = "name the right ones with `image_column` and `text_column`",
) -> Selection:
    """Say which columns of a table hold what.

    Args:
        table: the table.
        image: the column with images.
        texts: the columns with texts.
        images: the folder that image paths are relative to; by default the table's.
        pattern: image names made from columns, in place of `image`.
        references: where reference texts are.
        context: the column with contexts.
        id: the column with ids.
        advice: what to do about a column that is not there.

    Raises:
        TableError: the table lacks a column.
        OptionError: there is no folder `images`, or the pattern does not suit the table.
    """
    image = None if pattern is not None else image
    named = [image, *texts, context, id, *(references.columns if references else ())]
    table.check_columns([name for name in named if name is not None], advice)
    found = None
    if image is not None or pattern is not None:
        found = images_of(table, image or "", images, pattern)
    settings: dict[str, Any] = {
        "images": _resolved(table.path.parent if images is None else images),
        "image_column": image,
        "image_pattern": pattern,
        "text_column": texts[0] if len(texts) == 1 else list(texts),
    }
    if references is not None:
        settings["references"] = references.settings
    if context is not None:
        settings["context_column"] = context
    return Selection(
        table=table,
        images=found,
        texts=tuple(texts),
        references=references,
        context=context,
        id=id,
        settings=settings,
    )


def call_with(
    items: Iterable[Item], call: Callable[[list[Item]], Iterable[Any]], fail: Callable[[Item], Any]
) -> list[Any]:
    """Something for each item, in order: from one call for all that are whole, or else `fail`."""
    listed = list(items)
    whole = [item for item in listed if item.problem is None]
    made = iter(call(whole) if whole else ())
    return [next(made) if item.problem is None else fail(item) for item in listed]


def without_place(error: str) -> str:
    """An error without the item's place in a call, which says nothing about its row."""
    return error.unplaced if isinstance(error, Problem) else error


def with_folder(error: str, folder: Path) -> str:
    """An error; of an image that is not there, with the folder in which it was looked for."""
    found = _NOT_THERE.fullmatch(error)
    if found is None or Path(found[2]).is_absolute():
        return error
    return (
        f"{found[1]}images are looked for in the folder {folder.resolve()}: name another with "
        "`images`"
    )


def _text(values: dict[str, Any], column: str) -> str:
    text = values.get(column)
    if not isinstance(text, str):
        raise TableError(f"column {column!r} contains {text!r:.60}, not text")
    return text


def _resolved(folder: str | os.PathLike[str]) -> str:
    return str(folder) if "://" in str(folder) else str(Path(folder).resolve())
