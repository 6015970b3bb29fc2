"""Rated items: texts and their images, by id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from descscore.datasets.ratings import read_by_id
from descscore.errors import OptionError, TableError
from descscore.strings import is_blank
from descscore.tables.formats import open_table
from descscore.tables.locate import in_folder


@dataclass(frozen=True, kw_only=True)
class Items:
    """Texts and images.

    Attributes:
        texts: texts by id.
        images: image paths by id.
        image_names: the images' names in the table, by id.
        contexts: the text around each image, by id; None if the table has none.
    """

    texts: dict[str, str]
    images: dict[str, str]
    image_names: dict[str, str]
    contexts: dict[str, str] | None = None


def read_items(
    path: str | os.PathLike[str],
    *,
    id_column: str = "id",
    image_column: str = "image",
    text_column: str = "text",
    context_column: str | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Items:
    """Read a table with one row per item.

    Args:
        path: csv, tsv, jsonl or parquet.
        id_column: the column of ids.
        image_column: the column of image paths.
        text_column: the column of texts.
        context_column: the column of the texts that the images appear in.
        images: the folder that image paths are relative to; the table's by default.

    Raises:
        OptionError: there is no such folder.
        TableError: the table or a column is missing, an id repeats, or a field is empty.
    """
    folder = Path(path).parent if images is None else Path(images)
    if not folder.is_dir():
        raise OptionError(f"the folder of images {str(folder)!r} does not exist; check `images`")
    columns = [image_column, text_column, *([context_column] if context_column else [])]
    rows = read_by_id(open_table(path), id_column, columns)
    names, texts, contexts = {}, {}, {}
    for item, fields in rows.items():
        for column, value in zip(columns, fields, strict=True):
            if not isinstance(value, str) or is_blank(value):
                raise TableError(
                    f"{os.fspath(path)} has {value!r} in {column!r} for {item!r}; fill it in, or "
                    "omit the item"
                )
        names[item], texts[item] = str(fields[0]), str(fields[1])
        contexts[item] = str(fields[-1])
    return Items(
        texts=texts,
        images={item: in_folder(folder, name) for item, name in names.items()},
        image_names=names,
        contexts=contexts if context_column else None,
    )
