"""Images with a class each, from folders, a zip file, a table or a dataset on the Hub."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from descscore.datasets.failures import Failure
from descscore.errors import ImageError, OptionError, TableError
from descscore.strings import is_blank
from descscore.tables.formats import open_table
from descscore.tables.selection import select

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

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

    def read_all(self) -> Iterator[ImageInput]:
        """Every image, in order.

        Raises:
            ImageError: one cannot be read.
        """
        for name, image in zip(self.names, self.read(), strict=True):
            if isinstance(image, ImageError):
                raise ImageError(f"image {name!r} {image}")
            yield image


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
    return class_folders(path, under)


def class_folders(path: Path, under: str = "") -> LabelledImages:
    """List the images of class folders: the files directly in a folder of `under`.

    Hidden files and folders are skipped.

    Args:
        path: a folder or a zip file.
        under: the folder inside it that contains the class folders.

    Raises:
        TableError: there is no such folder or zip file, or no image in a class folder.
    """
    if path.is_dir():
        found = [(file.relative_to(path).as_posix(), file.is_dir()) for file in path.rglob("*")]
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                found = [(entry.filename, entry.is_dir()) for entry in archive.infolist()]
        except (OSError, zipfile.BadZipFile) as error:
            raise TableError(
                f"{path} is neither a folder nor a whole zip file of class folders ({error}); "
                "check the path, or copy it again"
            ) from None
    root = PurePosixPath(under)
    entries = [(PurePosixPath(name), is_folder) for name, is_folder in found]
    below = [
        (file.relative_to(root), is_dir) for file, is_dir in entries if file.is_relative_to(root)
    ]
    shown = sorted(entry for entry in below if not is_hidden(entry[0].parts))
    files = [file for file, is_folder in shown if not is_folder]
    images = [file for file in files if len(file.parts) == 2]
    if not images:
        seen = [file for file, is_folder in entries if not (is_folder or is_hidden(file.parts))]
        parents = {file.parent.parent for file in seen if file.parent.name}
        others = ", ".join(f"{other / 'CLASS'}/" for other in sorted(parents)[:4])
        raise TableError(
            f"{path} has no images in {root / 'CLASS'}/; check `under` ({under!r})"
            + (f": there are files in {others}" if others else "")
        )
    names = [str(root / file) for file in images]
    return LabelledImages(
        source=str(path / under),
        names=names,
        labels=[file.parts[0] for file in images],
        classes=sorted({file.parts[0] for file, is_dir in shown if len(file.parts) + is_dir > 1}),
        beside=[str(root / file) for file in files if len(file.parts) != 2],
        read=lambda: read_files(path, names),
    )


def is_hidden(parts: Sequence[str]) -> bool:
    """Whether a part of a path begins with a dot, or is what macOS adds to zip files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def read_files(path: Path, names: Iterable[str]) -> Iterator[bytes | ImageError]:
    """The content of each file in a folder or zip file, or why it cannot be read, in order."""
    if path.is_dir():
        for name in names:
            try:
                yield (path / name).read_bytes()
            except OSError as error:
                yield ImageError(f"cannot be read: {error.strerror or error}")
        return
    with zipfile.ZipFile(path) as archive:
        # "./cat/1.png" may stand for cat/1.png.
        entries = {str(PurePosixPath(name)): name for name in archive.namelist()}
        for name in names:
            try:
                yield archive.read(entries[name])
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                yield ImageError(f"is damaged in {path}: {error}")
            except (RuntimeError, NotImplementedError) as error:  # encrypted; unknown method
                yield ImageError(f"cannot be unpacked from {path}: {error}")


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
