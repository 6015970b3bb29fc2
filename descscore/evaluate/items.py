"""What people rated: texts and their images, by id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import OptionError, TableError
from descscore.evaluate.ratings import read_by_id
from descscore.strings import is_blank
from descscore.tables.formats import open_table
from descscore.tables.locate import in_folder

if TYPE_CHECKING:
    from descscore.metric import DescriptionScore


@dataclass(frozen=True, kw_only=True)
class Items:
    """Texts and images.

    Attributes:
        texts: by id.
        images: paths of files by id.
        image_names: what the table calls the image, by id.
    """

    texts: dict[str, str]
    images: dict[str, str]
    image_names: dict[str, str]


def read_items(
    path: str | os.PathLike[str],
    *,
    id_column: str = "id",
    image_column: str = "image",
    text_column: str = "text",
    images: str | os.PathLike[str] | None = None,
) -> Items:
    """Read a table with a row an item.

    Args:
        path: csv, tsv, jsonl or parquet.
        id_column: names the item.
        image_column: holds the image's path.
        text_column: holds the text.
        images: the folder that image paths are relative to; the table's by default.

    Raises:
        OptionError: there is no such folder.
        TableError: the table or a column is missing, an id comes twice, or a field is empty.
    """
    folder = Path(path).parent if images is None else Path(images)
    if not folder.is_dir():
        raise OptionError(f"the folder of images {str(folder)!r} does not exist; check --images")
    rows = read_by_id(open_table(path), id_column, [image_column, text_column])
    names, texts = {}, {}
    for item, (image, text) in rows.items():
        for column, value in {image_column: image, text_column: text}.items():
            if not isinstance(value, str) or is_blank(value):
                raise TableError(
                    f"{os.fspath(path)} has {value!r} in {column!r} for {item!r}; fill it in, or "
                    "leave the item out"
                )
        names[item], texts[item] = str(image), str(text)
    return Items(
        texts=texts,
        images={item: in_folder(folder, name) for item, name in names.items()},
        image_names=names,
    )


def score_items(metric: DescriptionScore, items: Items) -> dict[str, float]:
    """Score every text against its image, by id.

    Raises:
        InputError: an image or a text cannot be scored, and the metric raises.
    """
    scores = metric(list(items.images.values()), list(items.texts.values()))
    return dict(zip(items.texts, scores.scores.tolist(), strict=True))
