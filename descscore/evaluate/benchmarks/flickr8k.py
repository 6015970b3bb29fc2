"""Flickr8k-Expert and Flickr8k-CF (Hodosh et al. 2013).

Read from the authors' texts, or from the JSON that CLIPScore's and PAC-S's code makes of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import (
    ImageFiles,
    Source,
    find_file,
    look_for,
    read_json,
    read_text,
    refuse_layout,
    refuse_missing,
)
from descscore.evaluate.benchmarks.judged import Judged

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS = "Flickr8k.token.txt"
_WHERE = (
    "https://forms.illinois.edu/sec/1713398 (Flickr8k_text), or "
    "https://github.com/aimagelab/pacscore (as json)"
)
_IMAGES = "https://forms.illinois.edu/sec/1713398 (Flickr8k_Dataset)"
EXPERT = Source(name="Flickr8k-Expert", address=_WHERE, images=_IMAGES)
CF = Source(name="Flickr8k-CF", address=_WHERE, images=_IMAGES)

_Rating = tuple[str, str, float]
"""Image name, caption, rating."""


def flickr8k_expert(folder: Path, images: Path, *, references: bool) -> Judged:
    """17,000 ratings (1 to 4) by experts, three a caption, each a data point of its own.

    Captions that are among the image's own five are left out, 158 of them (Anderson et al. 2016).

    Args:
        folder: with `ExpertAnnotations.txt` and `Flickr8k.token.txt`, or with `flickr8k.json`.
        images: the folder of images.
        references: read the image's own captions too.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    made = look_for(folder, ["flickr8k.json"])
    if made is not None:
        return _from_json("flickr8k-expert", made, EXPERT, images, references)
    annotations = find_file(folder, ["ExpertAnnotations.txt", "flickr8k.json"], EXPERT)
    captions, of_image = _tokens(find_file(folder, [TOKENS], EXPERT), EXPERT)
    rated: list[_Rating] = []
    own = 0
    for number, fields in read_text(annotations, EXPERT):
        image, caption, grades = _row(annotations, EXPERT, number, fields, captions, 5)
        if caption in of_image[image]:
            own += 1
            continue
        for grade in grades:
            if not 1 <= grade <= 4:
                refuse_layout(
                    annotations, EXPERT, f"line {number} rates {grade:g}", "ratings from 1 to 4"
                )
            rated.append((image, caption, grade))
    note = f"{own:,} captions left out because they are among the image's own"
    return _judged("flickr8k-expert", EXPERT, images, rated, of_image if references else None, note)


def flickr8k_cf(folder: Path, images: Path, *, references: bool) -> Judged:
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
    made = look_for(folder, ["crowdflower_flickr8k.json"])
    if made is not None:
        return _from_json("flickr8k-cf", made, CF, images, references)
    names = ["CrowdFlowerAnnotations.txt", "crowdflower_flickr8k.json"]
    annotations = find_file(folder, names, CF)
    captions, of_image = _tokens(find_file(folder, [TOKENS], CF), CF)
    rated: list[_Rating] = []
    for number, fields in read_text(annotations, CF):
        image, caption, (share, yes, no) = _row(annotations, CF, number, fields, captions, 5)
        if yes + no <= 0 or abs(share - yes / (yes + no)) > 1e-5:
            refuse_layout(
                annotations,
                CF,
                f"line {number} says {share:g} of {yes:g} yes and {no:g} no",
                "the share of yes",
            )
        rated.append((image, caption, share))
    for image, caption, _ in rated:
        if caption in of_image[image]:
            of_image[image].remove(caption)
    return _judged("flickr8k-cf", CF, images, rated, of_image if references else None)


def _tokens(path: Path, source: Source) -> tuple[dict[str, str], defaultdict[str, list[str]]]:
    """Captions by their id (`image.jpg#0`), and by image."""
    captions: dict[str, str] = {}
    of_image: defaultdict[str, list[str]] = defaultdict(list)
    for number, fields in read_text(path, source):
        image, mark, _ = fields[0].partition("#")
        if len(fields) != 2 or not mark:
            refuse_layout(path, source, f"line {number}", "'image.jpg#0', a tab, the caption")
        captions[fields[0]] = " ".join(fields[1].split())
        of_image[image].append(captions[fields[0]])
    return captions, of_image


def _row(
    path: Path, source: Source, number: int, fields: list[str], captions: dict[str, str], width: int
) -> tuple[str, str, list[float]]:
    """Image, caption and the numbers of one line of annotations."""
    expected = f"{width} fields with tabs between: image, caption id and {width - 2} numbers"
    if len(fields) != width:
        refuse_layout(path, source, f"line {number} has {len(fields)} fields", expected)
    image, caption, *numbers = fields
    if caption not in captions:
        refuse_layout(
            path, source, f"line {number} names caption {caption!r}", f"a caption of {TOKENS}"
        )
    try:
        values = [float(value) for value in numbers]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        refuse_layout(path, source, f"line {number} holds {' '.join(numbers)!r}", expected)
    return image, captions[caption], values


def _from_json(
    benchmark: str, path: Path, source: Source, images: Path, references: bool
) -> Judged:
    content = read_json(path, source)
    expected = (
        "an object of entries with image_path, ground_truth and human_judgement (caption, rating)"
    )
    if not isinstance(content, dict) or not content:
        refuse_layout(path, source, f"it holds {type(content).__name__}", expected)
    rated: list[_Rating] = []
    of_image: dict[str, list[str]] = {}
    unrated = 0
    for key, entry in content.items():
        try:
            image = str(entry["image_path"]).rpartition("/")[2]
            of_image[image] = [" ".join(text.split()) for text in entry["ground_truth"]]
            judgements = list(_judgements(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            refuse_layout(path, source, f"entry {key!r} fails with {error!r}", expected)
        for caption, rating in judgements:
            if math.isnan(rating):
                unrated += 1
            else:
                rated.append((image, caption, rating))
    note = f"{unrated:,} ratings left out because they are NaN in {path.name}"
    return _judged(benchmark, source, images, rated, of_image if references else None, note)


def _judgements(entry: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for judgement in entry["human_judgement"]:
        yield " ".join(judgement["caption"].split()), float(judgement["rating"])


def _judged(
    benchmark: str,
    source: Source,
    images: Path,
    rated: list[_Rating],
    of_image: dict[str, list[str]] | None,
    *notes: str,
) -> Judged:
    if not rated:
        refuse_missing(images, ["at least one rating"], source)
    names = [image for image, _, _ in rated]
    found = ImageFiles(images, source).paths(names)
    references = None
    if of_image is not None:
        references = tuple(tuple(of_image[name]) for name in names)
        bare = {name for name in names if not of_image[name]}
        if bare:
            refuse_missing(images, [f"a reference for {min(bare)!r}, which has none left"], source)
    return Judged(
        benchmark=benchmark,
        images=tuple(found),
        captions=tuple(caption for _, caption, _ in rated),
        references=references,
        ratings=np.array([rating for _, _, rating in rated]),
        notes=tuple(note for note in notes if not note.startswith("0 ")),
    )
