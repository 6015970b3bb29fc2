"""What a CLIP is fine-tuned on: images, each with a description and a caption."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from zipfile import ZipFile, is_zipfile

from descscore.datasets.concadia import read_concadia
from descscore.errors import RecipeError, TableError
from descscore.strings import is_blank
from descscore.tables.table import lacks_column
from descscore_training.config import check_once
from descscore_training.pairs.rows import PairSource, Row, read_rows, read_table
from descscore_training.pretrain.corpus import photos_of, read_captions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from descscore_training.finetune_recipe import (
        Anchors,
        FinetuneRecipe,
        Measurement,
        StandInSource,
    )

_VALIDATION_SHARE = 5


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """One source's rows, either those to train on or those to validate on.

    Attributes:
        name: the source's.
        batch: the source's.
        image_free: the source's.
        images: the image's file; None only where the source is image-free.
        descriptions: one per row.
        captions: one per row.
    """

    name: str
    batch: int
    image_free: str | None
    images: list[Path | None]
    descriptions: list[str]
    captions: list[str]

    def named(self) -> tuple[object, ...]:
        """Its name, its images' names, and its texts, for a digest."""
        names = [path and path.name for path in self.images]
        return self.name, names, self.captions, self.descriptions


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """Images without texts, for pairs without an image.

    Attributes:
        training: for pairs to train on.
        validation: for pairs to validate on; none of them is in `training`.
    """

    training: list[Path] = field(default_factory=list)
    validation: list[Path] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class AnchorTexts:
    """Texts of one kind that images should rank as the base does.

    Attributes:
        texts: labels in a template, or captions.
        images: of each caption; empty for labels.
        batch: number of them in a step.
    """

    texts: list[str]
    images: list[Path]
    batch: int


@dataclass(frozen=True, kw_only=True)
class PairData:
    """All sources of a recipe; a source without training or validation rows is in one list alone.

    Attributes:
        training: rows to train on.
        validation: rows to validate on.
        left_out: source -> reason -> number of rows.
        watched: rows whose preference is logged beside.
        stand_ins: further images for pairs without one.
        anchors: texts that should not drift.
    """

    training: list[Pairs]
    validation: list[Pairs]
    left_out: dict[str, dict[str, int]]
    watched: list[Pairs] = field(default_factory=list)
    stand_ins: StandIns = field(default_factory=StandIns)
    anchors: list[AnchorTexts] = field(default_factory=list)

    def report(self) -> str:
        """One line a source: what is used, and what is left out and why."""
        training, validation = (
            {part.name: part for part in parts} for parts in (self.training, self.validation)
        )
        lines = []
        for name, left_out in self.left_out.items():
            counts = [
                f"{len(parts[name].captions) if name in parts else 0:,} pairs to {purpose}"
                for parts, purpose in ((training, "train on"), (validation, "validate on"))
            ]
            used = [parts[name] for parts in (training, validation) if name in parts]
            bare = sum(part.images.count(None) for part in used)
            line = f"{name}: {', '.join(counts)}"
            line += f"; {bare:,} of them without an image ({used[0].image_free})" if bare else ""
            lines.append(line + (f"; skipped: {_listed(left_out)}" if left_out else ""))
        return "\n".join(lines)

    def digests(self, data: Path) -> dict[str, str]:
        """By what it is, SHA-256 over the names of images and the texts of all rows."""
        images = (self.stand_ins.training, self.stand_ins.validation)
        return {
            "data": digest_of([part.named() for part in (*self.training, *self.validation)]),
            "stand-ins": digest_of(
                [[path.relative_to(data).as_posix() for path in part] for part in images]
            ),
            "anchors": digest_of([(p.texts, [i.name for i in p.images]) for p in self.anchors]),
            "watch": digest_of([part.named() for part in self.watched]),
        }


def load_data(recipe: FinetuneRecipe, data: Path) -> PairData:
    """All that a recipe trains and validates on; images are not read yet.

    Raises:
        RecipeError: as `load_pairs` and the loaders of the other parts.
    """
    return replace(
        load_pairs(recipe.sources, data),
        stand_ins=load_stand_ins(recipe.stand_ins, data),
        anchors=load_anchors(recipe.anchors, data),
        watched=load_watched(recipe.watch, data),
    )


def load_watched(watch: Measurement | None, data: Path) -> list[Pairs]:
    """The pairs of a part of Concadia, as those that are validated on; none without a part.

    Raises:
        RecipeError: the folder is not Concadia's, or the part has no pair of two texts.
    """
    if watch is None:
        return []
    try:
        examples = read_concadia(data / watch.path)
    except TableError as error:
        raise RecipeError(f"watch: {error}") from error
    rows = [
        Row(example.image, example.description, example.caption)
        for example in examples
        if watch.split in {"", example.split} and example.lacking is None
    ]
    if not rows:
        known = ", ".join(sorted({example.split for example in examples}))
        raise RecipeError(
            f"watch: {data / watch.path} has no image with both texts in the split "
            f"{watch.split!r}; its splits are {known}: set watch.split to one, or to '' for all"
        )
    return [_pairs(PairSource(name=watch.name, path=watch.path, batch=1), rows)]


def load_stand_ins(sources: Sequence[StandInSource], data: Path) -> StandIns:
    """List the images of folders and zip files; a fifth is for validation.

    Which are taken and which of those validate goes by the SHA-256 of their path: the largest are
    taken, since other parts of a recipe hold out the smallest, and the smallest of them validate.

    Raises:
        RecipeError: a folder or zip file is missing or holds fewer images than are to be taken.
    """
    training: list[Path] = []
    validation: list[Path] = []
    for source in sources:
        names = _images_in(data / source.path, source.under)
        names.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        least = source.take or _VALIDATION_SHARE
        if len(names) < least:
            raise RecipeError(
                f"stand_ins: {data / source.path / source.under} has {len(names)} images; give one "
                f"with at least {least}"
            )
        taken = [data / source.path / name for name in names[-source.take :]]
        held = len(taken) // _VALIDATION_SHARE
        validation += taken[:held]
        training += taken[held:]
    return StandIns(training=training, validation=validation)


def digest_of(values: object) -> str:
    """SHA-256 over plain values."""
    return hashlib.sha256(repr(values).encode()).hexdigest()


def _images_in(path: Path, under: str) -> list[str]:
    """Paths of the images below a folder that may be in a zip file, relative to the whole."""
    from PIL import Image

    suffixes = Image.registered_extensions()
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    elif path.is_file() and is_zipfile(path):
        with ZipFile(path) as archive:
            names = archive.namelist()
    else:
        raise RecipeError(f"stand_ins: {path} is neither a folder nor a zip file of images")
    root = PurePosixPath(under)
    inside = [PurePosixPath(name) for name in names if PurePosixPath(name).is_relative_to(root)]
    return [str(name) for name in inside if name.suffix.lower() in suffixes]


def check_present(recipe: FinetuneRecipe, data: Path) -> None:
    """Name all data of a recipe that are not there, before anything is read or computed.

    Raises:
        RecipeError: some are missing.
    """
    missing = [(what, path) for what, path in recipe.data_paths() if not (data / path).exists()]
    if not missing:
        return
    message = (
        f"{data} lacks {', '.join(f'{path} ({what})' for what, path in missing)}; put it there"
    )
    spare = {what.split(" ")[0] for what, _ in missing} & {"transfer", "measure"}
    if spare:
        without = " and ".join(f"{part} = []" for part in sorted(spare, reverse=True))
        message += f", or do without what is only watched and measured: set {without}"
    raise RecipeError(message)


def load_anchors(anchors: Sequence[Anchors], data: Path) -> list[AnchorTexts]:
    """The texts that images should rank as before, each once per image.

    Raises:
        RecipeError: a file or a column is missing, or holds fewer texts than a step takes.
    """
    return [_anchor_texts(source, data) for source in anchors]


def _anchor_texts(source: Anchors, data: Path) -> AnchorTexts:
    path = data / source.path
    try:
        if source.images:
            photos = photos_of(data / source.split, read_captions(path), data / source.images)
            found = [
                (text, photo) for photo in photos for text in photos[photo] if not is_blank(text)
            ]
            texts, images = [text for text, _ in found], [photo for _, photo in found]
        else:
            texts, images = _labels(source, path), []
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"anchors: {path} or {source.split} is not text in UTF-8 ({error.reason}); give lines "
            "image.jpg#0<TAB>caption, and a list of images"
        ) from error
    except (TableError, OSError) as error:
        raise RecipeError(f"anchors: {error}") from error
    if len(texts) < source.batch:
        kind = f"captions of photos in {source.images}" if source.images else "labels"
        raise RecipeError(
            f"anchors: {path} has {len(texts)} {kind}, and a step takes {source.batch}; lower "
            "anchors.batch, or give more"
        )
    return AnchorTexts(texts=texts, images=images, batch=source.batch)


def _labels(source: Anchors, path: Path) -> list[str]:
    """The labels of a table in the source's template, each once."""
    columns, rows = read_table(path)
    if source.column not in columns:
        lacking = lacks_column(path, source.column, columns, "set anchors.column")
        raise RecipeError(f"anchors: {lacking}")
    labels = dict.fromkeys(str(row.get(source.column) or "").strip() for row in rows)
    return [source.template.format(label=label) for label in labels if label]


def load_pairs(sources: Sequence[PairSource], data: Path) -> PairData:
    """Read every source; rows that cannot be used are counted and left out.

    Args:
        sources: their names differ.
        data: the folder that their paths are relative to.

    Raises:
        RecipeError: a file, a column or all images are missing, no row of a source can be used, or
            there is nothing to train on or to validate on.
    """
    check_once("sources", [source.name for source in sources])
    loaded = PairData(training=[], validation=[], left_out={})
    for source in sources:
        try:
            parts, left_out = _load(source, data)
        except (TableError, RecipeError) as error:
            raise RecipeError(f"source {source.name!r}: {error}") from error
        loaded.left_out[source.name] = left_out
        for pairs, part in ((loaded.training, "training"), (loaded.validation, "validation")):
            if rows := parts.get(part):
                pairs.append(_pairs(source, rows))
    if not loaded.training:
        raise RecipeError(f"no source has rows to train on:\n{loaded.report()}")
    if not loaded.validation:
        fifth = max(1, max(len(pairs.captions) for pairs in loaded.training) // 5)
        raise RecipeError(
            f"no source has rows to validate on; give one held_out = {fifth}, for example, or a "
            f"split_column with the values 'train' and 'val':\n{loaded.report()}"
        )
    return loaded


def _load(source: PairSource, data: Path) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """The usable rows of each part, and the number left out for each reason."""
    rows, assigned = read_rows(source, data)
    parts: defaultdict[str, list[Row]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    for row, part in zip(rows, assigned, strict=True):
        if part is None:
            left_out["other split"] += 1
        elif fault := _fault(row, source):
            left_out[fault] += 1
        else:
            parts[part].append(row)
    if not parts:
        absent = next((row.image for row in rows if row.image and not row.image.is_file()), None)
        raise RecipeError(
            f"none of the {len(rows):,} rows of {source.path} can be used "
            f"({_listed(left_out)})" + (f"; there is no {absent}" if absent else "")
        )
    return parts, dict(left_out)


def _fault(row: Row, source: PairSource) -> str | None:
    """Why a row cannot be used."""
    if source.image_free is None if row.image is None else not row.image.is_file():
        return "image missing"
    texts = [text.strip().casefold() for text in row[1:] if isinstance(text, str)]
    if len(texts) < 2 or any(map(is_blank, texts)):
        return "empty text"
    return "description equals caption" if texts[0] == texts[1] else None


def _pairs(source: PairSource, rows: list[Row]) -> Pairs:
    return Pairs(
        name=source.name,
        batch=source.batch,
        image_free=source.image_free,
        images=[row.image for row in rows],
        descriptions=[str(row.description) for row in rows],
        captions=[str(row.caption) for row in rows],
    )


def _listed(left_out: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in left_out.items())
