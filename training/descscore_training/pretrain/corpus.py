"""What a CLIP is pretrained on: labelled images, images with texts, pairs of texts."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from descscore.datasets.labelled_images import class_folders
from descscore.errors import ImageError, RecipeError
from descscore.inputs.decode import decode
from descscore.tables.table import lacks_column
from descscore_training.pairs.rows import held_out_rows, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from jaxtyping import Int, UInt8

    from descscore.inputs.items import ImageInput
    from descscore.inputs.transform import ImageTransform
    from descscore_training.pretrain.recipe import PretrainRecipe, Source


@dataclass(frozen=True, kw_only=True)
class Photos:
    """Images with texts. Images of one key share their texts: of one label, or only the image.

    Attributes:
        name: of their source.
        batch: images per step.
        images: cropped.
        keys: of each image, from 0.
        texts: of each key.
        labels: of each key; empty if images have texts of their own.
        texts_per_step: texts of their own that are encoded per step; 0 encodes all.
        held: those that are kept out of training.
    """

    name: str
    batch: int
    images: UInt8[np.ndarray, "image row column 3"]
    keys: Int[np.ndarray, " image"]
    texts: list[list[str]]
    labels: Sequence[str] = ()
    texts_per_step: int = 0
    held: Photos | None = None

    def read_at_step(
        self, rows: Int[np.ndarray, " batch"], random: np.random.Generator
    ) -> list[tuple[int, list[str]]]:
        """The keys of a batch whose texts are encoded, each with those texts."""
        keys = np.unique(self.keys[rows])
        if self.labels:
            return [
                (int(key), [self.texts[key][random.integers(len(self.texts[key]))]]) for key in keys
            ]
        if not self.texts_per_step:
            return [(int(key), self.texts[key]) for key in keys]
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
    """All sources of a recipe, images decoded and resized; those with labels come first."""

    photos: list[Photos]
    pairs: list[TextPairs]

    def all_texts(self) -> Iterator[str]:
        """Every training text, labels in every template."""
        for source in self.photos:
            for texts in source.texts:
                yield from texts
        for source in self.pairs:
            for pair in source.rows:
                yield from pair


def load_corpus(recipe: PretrainRecipe, data: Path, transform: ImageTransform) -> Corpus:
    """Read every source of a recipe; images are decoded, resized and cropped.

    Raises:
        RecipeError: a file or a column is missing, or a held-out part leaves nothing.
    """
    photos, pairs = [], []
    for source in recipe.sources:
        path = data / source.path
        if not path.exists():
            raise RecipeError(
                f"source {source.name!r}: there is no {path}; see the recipe's `path`"
            )
        if path.is_dir() or path.suffix == ".zip":
            folders = class_folders(path, source.under)
            images = decode_images(folders.names, folders.read_all(), transform)
            named = (folders.names, folders.labels)
            photos.append(_labelled(source, *named, images, recipe.templates))
            continue
        if source.split:
            photos.append(_flickr8k(source, data, transform))
            continue
        table = _read_table(source, path)
        if source.image_column is None:
            pairs.append(_text_pairs(source, table))
            continue
        names = list(table[source.image_column])
        files = [data / source.images / name for name in names]
        images = decode_images(files, files, transform)
        if source.label_column is not None:
            labels = list(table[source.label_column])
            photos.append(_labelled(source, names, labels, images, recipe.templates))
            continue
        columns = zip(*(table[column] for column in source.text_columns), strict=True)
        texts = [list(dict.fromkeys(filter(str.strip, row))) for row in columns]
        kept = [row for row, of_image in enumerate(texts) if of_image]
        photos.append(_captioned(source, images[kept], [texts[row] for row in kept]))
    return Corpus(photos=sorted(photos, key=lambda part: not part.labels), pairs=pairs)


def _labelled(
    source: Source,
    names: Sequence[str],
    labels: Sequence[str],
    images: UInt8[np.ndarray, "image row column 3"],
    templates: Sequence[str],
) -> Photos:
    kinds, keys = np.unique(labels, return_inverse=True)
    spoken = [str(kind).replace("_", " ") for kind in kinds]
    held = np.zeros(len(names), dtype=bool)
    held[list(held_out_rows(names, source.held_out))] = True
    whole = Photos(
        name=source.name,
        batch=source.batch,
        images=images,
        keys=keys,
        texts=[[template.format(label=label) for template in templates] for label in spoken],
        labels=spoken,
    )
    apart = replace(whole, images=images[held], keys=keys[held]) if held.any() else None
    return replace(whole, images=images[~held], keys=keys[~held], held=apart)


def _captioned(
    source: Source,
    images: UInt8[np.ndarray, "image row column 3"],
    texts: list[list[str]],
    held: Photos | None = None,
) -> Photos:
    return Photos(
        name=source.name,
        batch=source.batch,
        images=images,
        keys=np.arange(len(images)),
        texts=texts,
        texts_per_step=source.texts_per_step,
        held=held,
    )


def _flickr8k(source: Source, data: Path, transform: ImageTransform) -> Photos:
    """Photos of a split, those whose file is there, with the captions that a file gives them."""
    captions = read_captions(data / source.path)

    def part(split: str, held: Photos | None = None) -> Photos:
        photos = photos_of(data / split, captions, data / source.images)
        images = decode_images(list(photos), photos, transform)
        return _captioned(source, images, list(photos.values()), held)

    return part(source.split, part(source.held_split) if source.held_split else None)


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
