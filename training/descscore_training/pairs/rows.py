"""The rows of a source of pairs, as they stand in its files, and the part each belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from descscore.datasets.concadia import read_concadia
from descscore.errors import RecipeError, TableError
from descscore.tables.formats import DELIMITERS, open_table
from descscore_training.config import Part
from descscore_training.pretrain.corpus import held_out_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAINING = {"train"}
VALIDATION = {"val", "validation", "dev"}


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
        image_free: also use rows without an image, with the mean image embedding ("mean") or
            another row's image ("random").
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
    image_free: Literal["mean", "random"] | None = None
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
        raise RecipeError(f"source {source.name!r}: there is no {path}; see the recipe's `path`")
    return _concadia(source, path) if path.is_dir() else _table(source, path, data)


def _concadia(source: PairSource, folder: Path) -> tuple[list[Row], list[str | None]]:
    if source.held_out:
        raise RecipeError(
            f"source {source.name!r} has held_out, but Concadia has a split of its own; omit "
            "held_out"
        )
    examples = read_concadia(folder)
    rows = [Row(example.image, example.description, example.caption) for example in examples]
    return rows, _by_split(source, [example.split for example in examples], folder)


def _table(source: PairSource, path: Path, data: Path) -> tuple[list[Row], list[str | None]]:
    columns, values = read_table(path)
    _check_columns(source, path, columns)
    has_images = source.image_column in columns
    folder = data / source.images if source.images else path.parent
    if has_images and not folder.is_dir():
        raise RecipeError(
            f"source {source.name!r}: there is no folder {folder}; see the recipe's `images`"
        )
    rows = [
        Row(
            _image(source, row.get(source.image_column), folder),
            row.get(source.description_column),
            row.get(source.caption_column),
        )
        for row in values
    ]
    if source.image_free is None and all(row.image is None for row in rows):
        problem = (
            f"names no image in its column {source.image_column!r}"
            if has_images
            else f"has no column {source.image_column!r}, only {', '.join(columns)}"
        )
        raise RecipeError(
            f"source {source.name!r}: {path} {problem}; set image_column, or, to train without "
            'images, image_free = "mean" or "random"'
        )
    if source.split_column in columns:
        return rows, _by_split(source, [row.get(source.split_column) for row in values], path)
    return rows, _by_key(source, values)


def _image(source: PairSource, value: object, folder: Path) -> Path | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise RecipeError(
            f"source {source.name!r}: the column {source.image_column!r} contains a "
            f"{type(value).__name__}, not the name of a file; save the images as files"
        )
    return folder / value


def _by_split(source: PairSource, splits: Sequence[object], path: Path) -> list[str | None]:
    """Each row's part: "training", "validation" or None."""
    if source.held_out:
        raise RecipeError(
            f"source {source.name!r} has held_out, but {path} has a column "
            f'{source.split_column!r}; omit held_out, or set split_column = ""'
        )
    names = [str(split).strip().casefold() for split in splits]
    if not (TRAINING | VALIDATION).intersection(names):
        found = ", ".join(sorted({repr(split) for split in splits})[:8])
        raise RecipeError(
            f"source {source.name!r}: no row of {path} is in the split {_or(TRAINING)} or "
            f'{_or(VALIDATION)}, only {found}; rename them, or set split_column = "" and held_out'
        )
    return [
        "training" if name in TRAINING else "validation" if name in VALIDATION else None
        for name in names
    ]


def _by_key(source: PairSource, values: list[dict[str, Any]]) -> list[str | None]:
    column = source.key_column or source.image_column
    try:
        held = held_out_rows([str(row.get(column)) for row in values], source.held_out)
    except RecipeError as error:
        raise RecipeError(f"source {source.name!r}: {error}") from None
    return ["validation" if row in held else "training" for row in range(len(values))]


def _check_columns(source: PairSource, path: Path, columns: Sequence[str]) -> None:
    wanted = [source.description_column, source.caption_column]
    # A column that goes by its usual name may be absent; one that the recipe names may not.
    usual = {"image", "split", ""}
    wanted += [name for name in (source.image_column, source.split_column) if name not in usual]
    if source.key_column is not None:
        wanted.append(source.key_column)
    for column in wanted:
        if column not in columns:
            raise RecipeError(
                f"source {source.name!r}: {path} has no column {column!r}, only "
                f"{', '.join(columns)}"
            )
    if source.held_out and source.key_column is None and source.image_column not in columns:
        raise RecipeError(
            f"source {source.name!r}: {path} has no column {source.image_column!r} to choose "
            f"held_out rows by; set key_column to one of {', '.join(columns)}"
        )


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


def _or(names: set[str]) -> str:
    return " or ".join(repr(name) for name in sorted(names))
