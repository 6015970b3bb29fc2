"""What a CLIP is pretrained on: labelled images, images with texts, pairs of texts."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, model_validator

from descscore.datasets.labelled_images import class_folders
from descscore.errors import ImageError, RecipeError
from descscore.inputs.decode import decode
from descscore.tables.table import lacks_column
from descscore_training.config import Part
from descscore_training.pairs.rows import held_out_rows, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from jaxtyping import Int, UInt8

    from descscore.inputs.items import ImageInput
    from descscore.inputs.transform import ImageTransform


class Source(Part):
    """One data set of a recipe.

    A folder or a zip file holds one folder of images a class. A table (csv, optionally compressed)
    with `image_column` and `label_column` holds labelled images; with `image_column` and
    `text_columns`, images with texts; with two `text_columns` alone, pairs of texts. With `split`
    the path is a file of captions in Flickr8k's format.

    Attributes:
        name: what the log calls it.
        path: folder, zip file or table, relative to the data folder.
        batch: rows a step.
        held_out: rows kept out of training, for validation: those with the smallest SHA-256 of
            their key, the image's path or the value in `key_column`.
        under: the folder inside a zip file or folder.
        images: the folder of a table's images, relative to the data folder.
        image_column: column of image files.
        label_column: column of labels.
        text_columns: columns of texts.
        key_column: column that names the row of a table without images.
        split: a file that lists the images to train on, one per line, relative to the data folder.
        held_split: such a file of the images to validate on.
        texts_per_step: texts encoded per step, one each of random images of the batch; 0 encodes
            all texts of all of them.
        about: what it is, from whom and under which licence, for the model card.
    """

    name: str
    path: str
    batch: Annotated[int, Field(ge=1)]
    held_out: Annotated[int, Field(ge=0)] = 0
    under: str = ""
    images: str = ""
    image_column: str | None = None
    label_column: str | None = None
    text_columns: tuple[str, ...] = ()
    key_column: str | None = None
    split: str = ""
    held_split: str = ""
    texts_per_step: Annotated[int, Field(ge=0)] = 0
    about: str = ""

    @model_validator(mode="after")
    def _check_held_out(self) -> Source:
        if self.held_out and self.image_column and not self.label_column:
            raise RecipeError(
                f"source {self.name!r} holds out rows of images with texts, on which nothing is "
                "validated; omit held_out"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images with one label each; `held_` rows are kept out of training."""

    name: str
    batch: int
    labels: list[str]
    images: UInt8[np.ndarray, "image row column 3"]
    label_ids: Int[np.ndarray, " image"]
    held_images: UInt8[np.ndarray, "held row column 3"]
    held_label_ids: Int[np.ndarray, " held"]

    def own_texts(self, templates: Sequence[str]) -> list[list[str]]:
        """The texts of each image: its label in every template."""
        filled = [[template.format(label=label) for template in templates] for label in self.labels]
        return [filled[label] for label in self.label_ids]


@dataclass(frozen=True, kw_only=True)
class CaptionedImages:
    """Images with one or more texts each; `held_` rows are kept out of training."""

    name: str
    batch: int
    texts_per_step: int
    images: UInt8[np.ndarray, "image row column 3"]
    texts: list[list[str]]
    held_images: UInt8[np.ndarray, "held row column 3"] | None = None
    held_texts: list[list[str]] = field(default_factory=list)

    def own_texts(self, templates: Sequence[str]) -> list[list[str]]:
        """The texts of each image; templates are for labels."""
        del templates
        return self.texts

    def read_at_step(
        self, rows: Int[np.ndarray, " batch"], random: np.random.Generator
    ) -> list[tuple[int, list[str]]]:
        """The rows of a batch whose texts are encoded, each with those texts."""
        if not self.texts_per_step:
            return [(int(row), self.texts[row]) for row in np.unique(rows)]
        count = min(len(rows), self.texts_per_step)
        chosen = np.unique(random.choice(rows, count, replace=False))
        return [(int(row), [str(random.choice(self.texts[row]))]) for row in chosen]


@dataclass(frozen=True, kw_only=True)
class TextPairs:
    """Pairs of texts of the same, absent, image."""

    name: str
    batch: int
    rows: list[tuple[str, str]]
    held: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """All sources of a recipe, images decoded and resized."""

    labelled: list[LabelledImages]
    captioned: list[CaptionedImages]
    pairs: list[TextPairs]

    def all_texts(self, templates: Sequence[str]) -> Iterator[str]:
        """Every training text, labels in every template."""
        for source in self.labelled:
            for label in source.labels:
                yield from (template.format(label=label) for template in templates)
        for source in self.captioned:
            for texts in source.texts:
                yield from texts
        for source in self.pairs:
            for pair in source.rows:
                yield from pair


def load_corpus(sources: Sequence[Source], data: Path, transform: ImageTransform) -> Corpus:
    """Read every source; images are decoded, resized and cropped.

    Raises:
        RecipeError: a file or a column is missing, or a held-out part leaves nothing.
    """
    corpus = Corpus(labelled=[], captioned=[], pairs=[])
    for source in sources:
        path = data / source.path
        if not path.exists():
            raise RecipeError(
                f"source {source.name!r}: there is no {path}; see the recipe's `path`"
            )
        if path.is_dir() or path.suffix == ".zip":
            folders = class_folders(path, source.under)
            images = decode_images(folders.names, folders.read_all(), transform)
            names, labels = list(folders.names), list(folders.labels)
            corpus.labelled.append(_labelled(source, names, labels, images))
            continue
        if source.split:
            corpus.captioned.append(_flickr8k(source, data, transform))
            continue
        table = _read_table(source, path)
        if source.image_column is None:
            corpus.pairs.append(_text_pairs(source, table))
            continue
        files = [data / source.images / name for name in table[source.image_column]]
        images = decode_images(files, files, transform)
        if source.label_column is not None:
            names = list(table[source.image_column])
            corpus.labelled.append(
                _labelled(source, names, list(table[source.label_column]), images)
            )
        else:
            columns = (table[column] for column in source.text_columns)
            texts = [
                list(dict.fromkeys(filter(str.strip, row))) for row in zip(*columns, strict=True)
            ]
            kept = [row for row, of_image in enumerate(texts) if of_image]
            images, texts = images[kept], [texts[row] for row in kept]
            corpus.captioned.append(
                CaptionedImages(
                    name=source.name,
                    batch=source.batch,
                    texts_per_step=source.texts_per_step,
                    images=images,
                    texts=texts,
                )
            )
    return corpus


def _labelled(
    source: Source,
    names: list[str],
    labels: list[str],
    images: UInt8[np.ndarray, "image row column 3"],
) -> LabelledImages:
    kinds = sorted(set(labels))
    numbers = {label: i for i, label in enumerate(kinds)}
    ids = np.array([numbers[label] for label in labels])
    held = np.zeros(len(names), dtype=bool)
    held[list(held_out_rows(names, source.held_out))] = True
    return LabelledImages(
        name=source.name,
        batch=source.batch,
        labels=[label.replace("_", " ") for label in kinds],
        images=images[~held],
        label_ids=ids[~held],
        held_images=images[held],
        held_label_ids=ids[held],
    )


def _flickr8k(source: Source, data: Path, transform: ImageTransform) -> CaptionedImages:
    """Photos of a split, those whose file is there, with the captions that a file gives them."""
    captions = read_captions(data / source.path)
    parts = []
    for split in filter(None, (source.split, source.held_split)):
        photos = photos_of(data / split, captions, data / source.images)
        parts.append((decode_images(list(photos), photos, transform), list(photos.values())))
    held_images, held_texts = parts[1] if source.held_split else (None, [])
    return CaptionedImages(
        name=source.name,
        batch=source.batch,
        texts_per_step=source.texts_per_step,
        images=parts[0][0],
        texts=parts[0][1],
        held_images=held_images,
        held_texts=held_texts,
    )


def read_captions(path: Path) -> defaultdict[str, list[str]]:
    """Captions by the name of their image, from lines `image.jpg#0<TAB>caption`."""
    captions: defaultdict[str, list[str]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        key, _, caption = line.partition("\t")
        captions[key.partition("#")[0]].append(caption)
    return captions


def photos_of(
    split: Path, captions: Mapping[str, list[str]], folder: Path
) -> dict[Path, list[str]]:
    """The photos that a file lists, those that are in a folder and have captions, with these."""
    names = split.read_text("utf-8").split()
    found = {folder / name: captions[name] for name in names if captions.get(name)}
    return {photo: texts for photo, texts in found.items() if photo.exists()}


def _text_pairs(source: Source, table: pd.DataFrame) -> TextPairs:
    if len(source.text_columns) != 2 or source.key_column is None:
        raise RecipeError(
            f"source {source.name!r} has no images; it needs a key_column and two text_columns"
        )
    held = held_out_rows(list(table[source.key_column]), source.held_out)
    parts = defaultdict(list)
    columns = (table[column] for column in source.text_columns)
    for row, (left, right) in enumerate(zip(*columns, strict=True)):
        if left.strip() and right.strip() and left.lower() != right.lower():
            parts[row in held].append((left, right))
    return TextPairs(name=source.name, batch=source.batch, rows=parts[False], held=parts[True])


def _read_table(source: Source, path: Path) -> pd.DataFrame:
    import pandas as pd

    columns, rows = read_table(path)
    wanted = [source.image_column, source.label_column, source.key_column, *source.text_columns]
    for column in wanted:
        if column is not None and column not in columns:
            lacking = lacks_column(path, column, columns, "name the right one")
            raise RecipeError(f"source {source.name!r}: {lacking}")
    return pd.DataFrame(rows)


def decode_images(
    names: Sequence[object], images: Iterable[ImageInput], transform: ImageTransform
) -> UInt8[np.ndarray, "image row column 3"]:
    """Decode, resize and crop images in threads.

    Raises:
        RecipeError: one cannot be read.
    """

    def crop(name: object, image: ImageInput) -> UInt8[np.ndarray, "row column 3"]:
        try:
            return transform.crop_pixels(decode(image))
        except ImageError as error:
            raise RecipeError(f"the image {name} {error}") from error

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(crop, names, images)))
