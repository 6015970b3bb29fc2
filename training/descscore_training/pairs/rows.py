"""The rows of a source of pairs, as they stand in its files, and the part each belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from descscore.datasets.concadia import read_concadia
from descscore.datasets.splits import rows_by_hash
from descscore.errors import RecipeError, TableError
from descscore.tables.formats import DELIMITERS, open_table
from descscore.tables.table import lacks_column
from descscore_training.config import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

_PART_OF = {
    "train": "training",
    "val": "validation",
    "validation": "validation",
    "dev": "validation",
}
"""The part of each split."""


class PairSource(Part):
    """One dataset of a recipe: Concadia's folder, or a table of images with two texts each.

    Attributes:
        name: its name in the log.
        path: Concadia's folder (with `wiki_split.json` and `resized/`) or a table (csv, tsv, jsonl,
            parquet; csv and tsv also as .gz), relative to the data folder.
        batch: number of its rows in each step.
        images: folder of a table's images, relative to the data folder; by default the table's.
        image_column: column of image files.
        description_column: column of descriptions, which replace the image.
        caption_column: column of captions, which complement it.
        split_column: if the table has it, "train" rows are used for training, "val", "validation"
            or "dev" rows for validation, and others not at all; "" ignores such a column.
        key_column: column that identifies a row for `held_out`; by default the image column.
        held_out: number of rows for validation if there is no split: those with the smallest
            SHA-256 of their key.
        image_free: "random" also uses rows without an image, with another row's image.
        about: description, authors and licence of the data, for the model card.
    """

    name: str
    path: str
    batch: Annotated[int, Field(ge=1)]
    images: str = ""
    image_column: str = "image"
    description_column: str = "description"
    caption_column: str = "caption"
    split_column: str = "split"
    key_column: str | None = None
    held_out: Annotated[int, Field(ge=0)] = 0
    image_free: Literal["random"] | None = None
    about: str = ""


class Row(NamedTuple):
    """A row as read: texts may be anything, `image` is None where the row names none."""

    image: Path | None
    description: object
    caption: object


def read_rows(source: PairSource, data: Path) -> tuple[list[Row], list[str | None]]:
    """All rows, and for each its part: "training", "validation" or, left out by its split, None.

    Raises:
        RecipeError: the file does not suit the recipe.
        TableError: the file cannot be read.
    """
    path = data / source.path
    if not path.exists():
        raise RecipeError(f"there is no {path}; see the recipe's `path`")
    if path.is_dir():
        examples = read_concadia(path)
        rows = [Row(example.image, example.description, example.caption) for example in examples]
        return rows, _by_split(source, [example.split for example in examples], path)
    columns, values = read_table(path)
    _check_columns(source, path, columns)
    has_images = source.image_column in columns
    folder = data / source.images if source.images else path.parent
    if has_images and not folder.is_dir():
        raise RecipeError(f"there is no folder {folder}; see the recipe's `images`")
    rows = [
        Row(
            _image(source, row.get(source.image_column), folder),
            row.get(source.description_column),
            row.get(source.caption_column),
        )
        for row in values
    ]
    if source.image_free is None and all(row.image is None for row in rows):
        problem = f"names no image in its column {source.image_column!r}"
        if not has_images:
            problem = f"has no column {source.image_column!r}, only {', '.join(columns)}"
        raise RecipeError(
            f"{path} {problem}; set image_column, or, to train without images, "
            'image_free = "random"'
        )
    if source.split_column in columns:
        return rows, _by_split(source, [row.get(source.split_column) for row in values], path)
    keys = [str(row.get(source.key_column or source.image_column)) for row in values]
    held = held_out_rows(keys, source.held_out)
    return rows, ["validation" if row in held else "training" for row in range(len(rows))]


def _image(source: PairSource, value: object, folder: Path) -> Path | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise RecipeError(
            f"the column {source.image_column!r} contains a {type(value).__name__}, not the name "
            "of a file; save the images as files"
        )
    return folder / value


def _by_split(source: PairSource, splits: Sequence[object], path: Path) -> list[str | None]:
    """Each row's part: "training", "validation" or None."""
    if source.held_out:
        raise RecipeError(
            f"held_out is {source.held_out}, but {path} has a split of its own; omit held_out, or "
            'set split_column = "" to ignore that of a table'
        )
    names = [str(split).strip().casefold() for split in splits]
    if _PART_OF.keys().isdisjoint(names):
        found = ", ".join(sorted({repr(split) for split in splits})[:8])
        raise RecipeError(
            f"no row of {path} is in a split named {', '.join(map(repr, _PART_OF))}, only {found}; "
            'rename them, or set split_column = "" and held_out'
        )
    return [_PART_OF.get(name) for name in names]


def _check_columns(source: PairSource, path: Path, columns: Sequence[str]) -> None:
    wanted = {
        "description_column": source.description_column,
        "caption_column": source.caption_column,
    }
    # A column that goes by its usual name may be absent; one that the recipe names may not.
    if source.image_column != "image":
        wanted["image_column"] = source.image_column
    if source.split_column not in {"split", ""}:
        wanted["split_column"] = source.split_column
    if source.key_column is not None or source.held_out:
        wanted["key_column"] = source.key_column or source.image_column
    for setting, column in wanted.items():
        if column not in columns:
            raise lacks_column(path, column, columns, f"set {setting}")


def read_table(path: Path) -> tuple[Sequence[str], list[dict[str, Any]]]:
    """Columns and rows of a table."""
    if path.suffix.lower() != ".gz":
        table = open_table(path)
        rows = list(table.rows())
        if problems := [row.problem for row in rows if row.problem is not None]:
            raise TableError(f"{path}: {problems[0]}; repair or remove it")
        return table.columns, [row.values for row in rows]
    import pandas as pd

    delimiter = DELIMITERS.get(Path(path.stem).suffix.lower())
    if delimiter is None:
        raise TableError(f"{path} is compressed, which only .csv.gz and .tsv.gz may be; unpack it")
    try:
        frame = pd.read_csv(path, sep=delimiter, keep_default_na=False, dtype=str).fillna("")
    except (OSError, EOFError, ValueError) as error:
        raise TableError(f"{path} cannot be read: {error}") from error
    return list(frame.columns), frame.to_dict("records")


def held_out_rows(keys: Sequence[str], count: int) -> set[int]:
    """The rows whose key has one of the `count` smallest SHA-256 digests.

    Rows with the same key fall on the same side, so a few more than `count` may be held out.
    """
    if not count:
        return set()
    if count >= len(set(keys)):
        raise RecipeError(f"held_out is {count}, but there are only {len(keys)} rows; lower it")
    return set(rows_by_hash(keys, count))
