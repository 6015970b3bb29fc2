"""A row -> its image: a path, a name made from its columns, or the file that an id names."""

from __future__ import annotations

import os
import string
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.errors import OptionError, TableError
from descscore.inputs.items import is_address
from descscore.strings import closest
from descscore.writing import as_path, check_apart

if TYPE_CHECKING:
    from descscore.tables.table import Table


@dataclass(frozen=True, kw_only=True)
class ImagesOf:
    """What finds the images of a table's rows.

    Attributes:
        column: with the image's path or id; not used with a pattern.
        folder: that paths are relative to.
        pattern: the image's name with columns in braces, as in "COCO_val2014_{image_id:012d}.jpg".
        stems: by an id, the files of that name; None where images are named by paths.
        apart: a file that is to be written, and must be none of the images.
    """

    column: str
    folder: Path
    pattern: str | None = None
    stems: dict[str, list[str]] | None = None
    apart: Path | None = None

    def __call__(self, values: dict[str, Any]) -> str | bytes:
        """The image of a row.

        Raises:
            TableError: it names none, or there is none of that name.
            OptionError: it is the file that is to be written.
        """
        if self.pattern is not None:
            image = in_folder(self.folder, _from_pattern(values, self.pattern))
        elif self.stems is not None:
            image = _by_stem(values, self.column, self.stems, self.folder)
        else:
            image = _by_path(values, self.column, self.folder)
        if self.apart is not None and isinstance(image, str) and "\0" not in image:
            check_apart([self.apart], [Path(image)])
        return image

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [self.column] if self.pattern is None else pattern_columns(self.pattern)

    def name(self, values: dict[str, Any]) -> str | None:
        """What a row calls its image, found or not; None for one that has no name."""
        if self.pattern is not None:
            try:
                return _from_pattern(values, self.pattern)
            except TableError:
                return None
        value = values.get(self.column)
        if isinstance(value, dict):
            value = value.get("path")
        return None if value is None or isinstance(value, bytes) else str(value) or None


def images_of(
    table: Table, column: str, images: str | os.PathLike[str] | None, pattern: str | None = None
) -> ImagesOf:
    """What finds the images of a table's rows.

    Args:
        table: the table that the rows are from.
        column: the column with the image's path or id; not used with a pattern.
        images: the folder that paths are relative to; by default the table's.
        pattern: image names made from columns.

    Raises:
        OptionError: there is no such folder, or the pattern does not suit the table.
    """
    folder = as_path(table.path.parent if images is None else images)
    if not folder.is_dir():
        raise OptionError(f"the folder of images {str(folder)!r} does not exist; check `images`")
    stems = None
    if pattern is not None:
        _check_pattern(pattern, table)
    elif table.images_by_id:
        if images is None:
            raise OptionError(
                f"{table.path} names images by {column}; say which folder they are in with `images`"
            )
        stems = _stems(folder)
    return ImagesOf(column=column, folder=folder, pattern=pattern, stems=stems)


def pattern_columns(pattern: str) -> list[str]:
    """The columns that an image pattern names."""
    return [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]


def _by_path(values: dict[str, Any], column: str, folder: Path) -> str | bytes:
    value = image = values.get(column)
    if isinstance(value, dict):
        # How Hugging Face datasets keep images in parquet: the bytes of a file, or else its path.
        image = value["bytes"] if isinstance(value.get("bytes"), bytes) else value.get("path")
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str) or not image:
        raise TableError(f"column {column!r} names no image ({value!r})")
    return in_folder(folder, image)


def in_folder(folder: Path, image: str) -> str:
    """An image's path from a folder; what is no relative path, an address for one, stays."""
    return image if is_address(image) else str(folder / image)


class _DigitsAsNumbers(string.Formatter):
    """Lets "{id:012d}" take an id that is written in digits, as all ids in csv are."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec.endswith("d") and isinstance(value, str) and value.isdecimal():
            value = int(value)
        return super().format_field(value, format_spec)


_FORMATTER = _DigitsAsNumbers()


def _from_pattern(values: dict[str, Any], pattern: str) -> str:
    try:
        return _FORMATTER.vformat(pattern, (), values)
    except KeyError as error:
        raise TableError(f"the row has no column {error} for the image's name") from None
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise TableError(f"the image pattern {pattern!r} does not suit the row: {error}") from None


def _by_stem(values: dict[str, Any], column: str, stems: dict[str, list[str]], folder: Path) -> str:
    if values.get(column) is None:
        raise TableError(f"the row has no {column!r} to find its image by")
    stem = str(values[column])
    names = stems.get(stem, [])
    if len(names) > 1:
        names = [name for name in names if _is_image_name(name)]
    if len(names) == 1:
        return str(folder / names[0])
    if not names:
        raise TableError(
            f"no image in {folder} is named {stem} (with an extension such as .jpg); "
            + (closest(stem, stems) or "if names hold more than the id, give `image_pattern`")
        )
    raise TableError(
        f"{folder} has several images named {stem}: {', '.join(names)}; give `image_pattern`"
    )


def _stems(folder: Path) -> dict[str, list[str]]:
    stems = defaultdict(list)
    for name in sorted(path.name for path in folder.iterdir() if path.is_file()):
        stems[Path(name).stem].append(name)
    return dict(stems)


def _is_image_name(name: str) -> bool:
    from PIL import Image

    return Path(name).suffix.lower() in Image.registered_extensions()


def _check_pattern(pattern: str, table: Table) -> None:
    columns = ", ".join(table.columns)
    try:
        fields = pattern_columns(pattern)
    except ValueError as error:
        raise OptionError(f"the image pattern {pattern!r} is malformed: {error}") from None
    if not fields:
        raise OptionError(
            f"the image pattern {pattern!r} names no column, so all rows would get one image; "
            f"columns of {table.path} are {columns}: write one as {{column}}"
        )
    for field in fields:
        if field not in table.columns:
            raise OptionError(
                f"the image pattern {pattern!r} names {field!r}, which is not a column of "
                f"{table.path}; it has {columns}"
            )
