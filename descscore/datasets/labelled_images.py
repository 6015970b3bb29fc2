"""Images with a class each, from folders, a zip file, a table or a dataset on the Hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from descscore.datasets.failures import Failure
from descscore.datasets.image_folders import class_folders
from descscore.errors import OptionError, TableError
from descscore.strings import is_blank
from descscore.tables.formats import open_table
from descscore.tables.selection import select

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from descscore.errors import ImageError
    from descscore.inputs.items import ImageInput


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images that are read one after the other, and the class of each.

    Attributes:
        source: the folder, file or dataset.
        names: the images' names in messages.
        labels: each image's class, one of `classes`.
        classes: all classes, including those without images.
        failed: rows of the source without an image or a class.
        beside: files outside class folders, which are skipped.
        read: starts a new stream over all images; yields each image, or why it cannot be read.
    """

    source: str
    names: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str]
    failed: Sequence[Failure] = ()
    beside: Sequence[str] = ()
    read: Callable[[], Iterator[ImageInput | ImageError]] = field(repr=False)


def read_labelled_images(
    path: str | os.PathLike[str],
    *,
    under: str = "",
    image_column: str = "image",
    label_column: str = "label",
    images: str | os.PathLike[str] | None = None,
) -> LabelledImages:
    """List the images of class folders, of a zip file of them, or of a table.

    Args:
        path: a folder, a zip file, or a table (csv, tsv, jsonl, parquet).
        under: the folder inside a folder or zip file that contains the class folders.
        image_column: the column of images of a table.
        label_column: the column of classes of a table.
        images: the folder that a table's paths are relative to; by default the table's.

    Raises:
        TableError: it cannot be read, or has no labelled image.
        OptionError: `under` was given with a table, or there is no folder `images`.
    """
    path = Path(path)
    if path.suffix.lower() in {".csv", ".tsv", ".jsonl", ".parquet", ".json"}:
        if under:
            raise OptionError(f"{path} is a table, which has no folder {under!r}; omit it")
        return _from_table(path, image_column, label_column, images)
    folders = class_folders(path, under)
    return LabelledImages(
        source=str(path / under),
        names=folders.names,
        labels=folders.labels,
        classes=folders.classes,
        beside=folders.beside,
        read=folders.read_each,
    )


def _from_table(
    path: Path, image_column: str, label_column: str, images: str | os.PathLike[str] | None
) -> LabelledImages:
    table = open_table(path)
    advice = "name the right ones with `image_column` and `label_column`"
    selection = select(table, image=image_column, images=images, id=label_column, advice=advice)
    rows, names, labels, failed = [], [], [], []
    for number, item in enumerate(selection.items()):
        label, problem, name = item.id, item.problem, f"row {number + 1}"
        if problem is None and (
            label is None or isinstance(label, bool | float | bytes) or is_blank(str(label))
        ):
            problem = f"column {label_column!r} names no class ({label!r:.40})"
        if problem is not None:
            failed.append(Failure(item=name, error=problem))
            continue
        rows.append(number)
        names.append(item.image if isinstance(item.image, str) else name)
        labels.append(str(label))
    if not rows:
        raise TableError(f"{path} has no row with an image and a class: {failed[0].error}")

    def read() -> Iterator[ImageInput]:
        wanted = set(rows)
        for number, item in enumerate(selection.items()):
            if number in wanted:
                yield cast("ImageInput", item.image)

    return LabelledImages(
        source=str(path),
        names=names,
        labels=labels,
        classes=sorted(set(labels), key=_numbers_first),
        failed=failed,
        read=read,
    )


def _numbers_first(label: str) -> tuple[int, str]:
    """Numbers in their order, as 10 comes after 9."""
    return (int(label), "") if label.isdecimal() else (-1, label)
