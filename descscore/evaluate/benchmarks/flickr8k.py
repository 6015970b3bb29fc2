"""Flickr8k-Expert and Flickr8k-CF (Hodosh et al. 2013).

Read from the authors' texts, or from the JSON that CLIPScore's and PAC-S's code makes of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import Source
from descscore.evaluate.benchmarks.entries import Entries, rank_correlations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TOKENS = "Flickr8k.token.txt"
_WHERE = (
    "https://forms.illinois.edu/sec/1713398 (Flickr8k_text), or "
    "https://github.com/aimagelab/pacscore (as json)"
)
_IMAGES = "https://forms.illinois.edu/sec/1713398 (Flickr8k_Dataset)"
EXPERT = Source(name="Flickr8k-Expert", address=_WHERE, images=_IMAGES)
CF = Source(name="Flickr8k-CF", address=_WHERE, images=_IMAGES)

_WIDTH = 5
_MOST_DAMAGED = 0.05
"""Share of rows that may be damaged; of CrowdFlower's, about 1% are in copies that circulate."""

Rated = tuple[str, str, float]
"""Image name, caption, rating."""


def flickr8k_expert(folder: Path, images: Path, *, references: bool) -> Entries:
    """17,000 ratings (1 to 4) by experts, three per caption, each a data point of its own.

    Captions that are among the image's own five are left out, 158 of them (Anderson et al. 2016).

    Args:
        folder: with `ExpertAnnotations.txt` and `Flickr8k.token.txt`, or with `flickr8k.json`.
        images: the folder of images.
        references: read the image's own captions too.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = EXPERT.find(folder, "flickr8k.json", "ExpertAnnotations.txt")
    if path.suffix == ".json":
        rated, of_image, notes = _from_json(path, EXPERT)
    else:
        captions, of_image = EXPERT.token_captions(EXPERT.find(folder, TOKENS))
        rows, notes = _rows(path, EXPERT, captions, _check_grades)
        others = [row for row in rows if row[1] not in of_image[row[0]]]
        rated = [(image, caption, grade) for image, caption, grades in others for grade in grades]
        if own := len(rows) - len(others):
            notes.insert(0, f"{own:,} captions skipped because they are among the image's own")
    known = of_image if references else None
    return judged("flickr8k-expert", EXPERT, images, rated, notes, references=known)


def flickr8k_cf(folder: Path, images: Path, *, references: bool) -> Entries:
    """48,000 captions, each with the share of people who said that it describes the image.

    Every caption counts once; the rated ones are taken out of the image's references.

    Args:
        folder: with `CrowdFlowerAnnotations.txt` and `Flickr8k.token.txt`, or with
            `crowdflower_flickr8k.json`.
        images: the folder of images.
        references: read the image's own captions too.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = CF.find(folder, "crowdflower_flickr8k.json", "CrowdFlowerAnnotations.txt")
    if path.suffix == ".json":
        rated, of_image, notes = _from_json(path, CF)
    else:
        captions, of_image = CF.token_captions(CF.find(folder, TOKENS))
        rows, notes = _rows(path, CF, captions, _check_share)
        rated = [(image, caption, numbers[0]) for image, caption, numbers in rows]
        for image, caption, _ in rated:
            if caption in of_image[image]:
                of_image[image].remove(caption)
    known = of_image if references else None
    return judged("flickr8k-cf", CF, images, rated, notes, references=known)


def judged(
    benchmark: str,
    source: Source,
    images: Path,
    rated: Sequence[Rated],
    notes: Sequence[str],
    *,
    references: Mapping[str, Sequence[str]] | None = None,
) -> Entries:
    """The entries of rated captions, with the files of their images.

    Args:
        benchmark: its name.
        source: named if something is missing.
        images: the folder of images.
        rated: image name, caption and rating of each entry.
        notes: what was left out.
        references: captions by image name; None where they were not asked for.

    Raises:
        OptionError: there is no such folder.
        TableError: there is no rating, or an image or all of its references are missing.
    """
    expected = "a rating of at least one caption, and a reference for each"
    if not rated:
        source.refuse(images, "nothing is rated", expected)
    names, captions, ratings = zip(*rated, strict=True)
    if references is not None and (bare := [name for name in names if not references[name]]):
        source.refuse(images, f"{min(bare)!r} has no reference left", expected)
    return Entries(
        benchmark=benchmark,
        measure=rank_correlations,
        images=source.find_images(images, names),
        texts=captions,
        references=None if references is None else [references[name] for name in names],
        truth=np.array(ratings),
        notes=tuple(notes),
    )


def _rows(
    path: Path,
    source: Source,
    captions: Mapping[str, str],
    check: Callable[[Sequence[float]], None],
) -> tuple[list[tuple[str, str, list[float]]], list[str]]:
    """Image, caption and numbers of each row, and notes; a few damaged rows are left out.

    Args:
        path: the file of annotations.
        source: where it comes from.
        captions: by their id.
        check: raises ValueError for numbers that cannot be.

    Raises:
        TableError: the file cannot be read, or so many rows are damaged that it is another's.
    """
    found: list[tuple[str, str, list[float]]] = []
    damaged: list[str] = []
    for number, fields in source.read_rows(path):
        try:
            if len(fields) != _WIDTH:
                raise ValueError(f"has {len(fields)} fields, not {_WIDTH}")
            image, caption, *values = fields
            if caption not in captions:
                raise ValueError(f"names caption {caption!r}, which {TOKENS} lacks")
            numbers = [float(value) for value in values]
            check(numbers)
        except ValueError as error:
            damaged.append(f"line {number} {error}")
        else:
            found.append((image, captions[caption], numbers))
    if len(damaged) > _MOST_DAMAGED * (len(damaged) + len(found)):
        expected = f"{_WIDTH} fields with tabs between: image, caption id and three numbers"
        source.refuse(path, damaged[0], expected)
    skipped = f"{len(damaged):,} damaged rows of {path.name} skipped"
    return found, [f"{skipped}: {damaged[0]}"] if damaged else []


def _check_grades(grades: Sequence[float]) -> None:
    for grade in grades:
        if not 1 <= grade <= 4:
            raise ValueError(f"rates {grade:g}, and ratings range from 1 to 4")


def _check_share(numbers: Sequence[float]) -> None:
    share, yes, no = numbers
    if not yes + no > 0 or not abs(share - yes / (yes + no)) <= 1e-5:
        raise ValueError(f"says {share:g} for {yes:g} yes and {no:g} no, not the share of yes")


def _from_json(path: Path, source: Source) -> tuple[list[Rated], dict[str, list[str]], list[str]]:
    """The ratings, captions by image, and notes."""
    content = source.read_json(path)
    expected = (
        "an object of entries with image_path, ground_truth and human_judgement (caption, rating)"
    )
    if not isinstance(content, dict) or not content:
        source.refuse(path, f"it holds {type(content).__name__}", expected)
    rated: list[Rated] = []
    of_image: dict[str, list[str]] = {}
    for key, entry in content.items():
        with source.laid_out(path, expected, place=f"entry {key!r} fails with "):
            image = str(entry["image_path"]).rpartition("/")[2]
            of_image[image] = [" ".join(text.split()) for text in entry["ground_truth"]]
            rated += [
                (image, " ".join(judgement["caption"].split()), float(judgement["rating"]))
                for judgement in entry["human_judgement"]
            ]
    known = [row for row in rated if not math.isnan(row[2])]
    unrated = len(rated) - len(known)
    note = f"{unrated:,} ratings skipped because they are NaN in {path.name}"
    return known, of_image, [note] if unrated else []
