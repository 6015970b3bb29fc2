"""Images with a description, which replaces the image, and a caption, which complements it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from descscore.datasets.concadia import read_concadia
from descscore.datasets.failures import Failure
from descscore.errors import TableError
from descscore.strings import is_blank
from descscore.tables.formats import open_table
from descscore.tables.selection import select

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from descscore.inputs.items import ImageInput
    from descscore.tables.selection import Item, Selection


@dataclass(frozen=True, kw_only=True)
class DescribedImage:
    """One image with both texts.

    Attributes:
        id: a unique name.
        image: the image.
        description: the text that replaces it.
        caption: the text that complements it.
    """

    id: str
    image: ImageInput
    description: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class DescribedImages:
    """The images of a dataset.

    Attributes:
        source: the folder or table.
        examples: items with an image and both texts.
        failed: rows of a table, or images of Concadia, that lack one.
    """

    source: str
    examples: Sequence[DescribedImage]
    failed: Sequence[Failure] = ()


def read_described_images(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    image_column: str = "image",
    description_column: str = "description",
    caption_column: str = "caption",
    images: str | os.PathLike[str] | None = None,
) -> DescribedImages:
    """Read Concadia in its official layout, or a table.

    Args:
        path: Concadia's folder, or a table (csv, tsv, jsonl, parquet).
        split: Concadia's split, or a value of a table's column `split`; all by default.
        image_column: the column of images of a table.
        description_column: the column of descriptions of a table.
        caption_column: the column of captions of a table.
        images: the folder that a table's paths are relative to; by default the table's.

    Raises:
        TableError: it cannot be read, has no such split or column, no complete row, or two rows
            with the same image.
        OptionError: there is no folder `images`.
    """
    path = Path(path)
    if path.is_dir():
        rows = _from_concadia(path)
    else:
        selection = select(
            open_table(path),
            image=image_column,
            texts=[description_column, caption_column],
            images=images,
            advice="name the right ones with `image_column`, `description_column` and "
            "`caption_column`",
        )
        if split:
            selection.table.check_columns(["split"], "add it, or take all rows")
        rows = _from_table(selection)
    examples: dict[str, DescribedImage] = {}
    failed, splits = [], set()
    for place, of_split, found in rows:
        splits.add(of_split)
        if split and of_split not in {split, None}:
            continue
        if isinstance(found, Failure):
            failed.append(found)
        elif found.id in examples:
            raise TableError(
                f"{place} is of the image {found.id!r}, as one before; each image counts once: "
                "keep one row of it"
            )
        else:
            examples[found.id] = found
    if not examples:
        if split and split not in splits and (known := sorted(filter(None, splits))):
            raise TableError(
                f"{path} has no split {split!r}, only {', '.join(known)}; choose one of them"
            )
        if not failed:
            raise TableError(f"{path} has no images")
        whole = "image with" if path.is_dir() else "row with an image and"
        raise TableError(f"{path} has no {whole} both texts: {failed[0].item} {failed[0].error}")
    return DescribedImages(
        source=str(path) + (f" ({split})" if split else ""),
        examples=list(examples.values()),
        failed=failed,
    )


_Found = tuple[str, str | None, DescribedImage | Failure]
"""Where an example is, its split, and the example, or what it lacks."""


def _from_table(selection: Selection) -> Iterator[_Found]:
    for number, item in enumerate(selection.items(), start=1):
        name = f"row {number}"
        problem = item.problem or _blank(selection.texts, item)
        split = None if item.row.problem else str(item.row.values.get("split"))
        if problem is not None:
            found = Failure(item=name, error=problem)
        else:
            found = DescribedImage(
                id=item.image if isinstance(item.image, str) else name,
                image=cast("ImageInput", item.image),
                description=item.texts[0],
                caption=item.texts[1],
            )
        yield f"{name} of {selection.table.path}", split, found


def _from_concadia(folder: Path) -> Iterator[_Found]:
    if not (folder / "wiki_split.json").is_file():
        raise TableError(
            f"{folder} has no wiki_split.json, so it is not Concadia's folder; give that, or a "
            "table with an image, a description and a caption a row"
        )
    for example in read_concadia(folder):
        name = example.image.name
        if example.lacking is not None:
            found = Failure(item=name, error=f"has no {example.lacking}")
        else:
            found = DescribedImage(
                id=name,
                image=str(example.image),
                description=example.description,
                caption=example.caption,
            )
        yield str(folder / "wiki_split.json"), example.split, found


def _blank(columns: Sequence[str], item: Item) -> str | None:
    """What is wrong with texts of blanks only."""
    for column, text in zip(columns, item.texts, strict=True):
        if is_blank(text):
            return f"column {column!r} has no text ({text!r:.60})"
    return None
