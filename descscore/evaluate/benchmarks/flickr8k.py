"""Flickr8k-Expert and Flickr8k-CF (Hodosh et al. 2013).

Read from the authors' texts, or from the JSON that CLIPScore's and PAC-S's code makes of them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.evaluate.benchmarks.annotation_files import (
    Source,
    find_file,
    laid_out,
    look_for,
    read_json,
    read_text,
    refuse_layout,
    token_captions,
)
from descscore.evaluate.benchmarks.entries import Judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKENS = "Flickr8k.token.txt"
_WHERE = (
    "https://forms.illinois.edu/sec/1713398 (Flickr8k_text), or "
    "https://github.com/aimagelab/pacscore (as json)"
)
_IMAGES = "https://forms.illinois.edu/sec/1713398 (Flickr8k_Dataset)"
EXPERT = Source(name="Flickr8k-Expert", address=_WHERE, images=_IMAGES)
CF = Source(name="Flickr8k-CF", address=_WHERE, images=_IMAGES)

_MOST_DAMAGED = 0.05
"""Share of rows that may be damaged; of CrowdFlower's, about 1% are in copies that circulate."""

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
    captions, of_image = token_captions(find_file(folder, [TOKENS], EXPERT), EXPERT)
    rated: list[_Rating] = []
    own = 0
    rows = _Rows(annotations, EXPERT, captions, width=5)
    for image, caption, grades in rows.read(_graded):
        if caption in of_image[image]:
            own += 1
            continue
        rated += [(image, caption, grade) for grade in grades]
    notes = [f"{own:,} captions skipped because they are among the image's own"] if own else []
    known = of_image if references else None
    return Judged.of("flickr8k-expert", EXPERT, images, rated, known, notes + rows.notes())


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
    captions, of_image = token_captions(find_file(folder, [TOKENS], CF), CF)
    rows = _Rows(annotations, CF, captions, width=5)
    rated = [(image, caption, numbers[0]) for image, caption, numbers in rows.read(_counted)]
    for image, caption, _ in rated:
        if caption in of_image[image]:
            of_image[image].remove(caption)
    known = of_image if references else None
    return Judged.of("flickr8k-cf", CF, images, rated, known, rows.notes())


class _Rows:
    """The rows of a file of annotations; a few that are damaged are left out.

    Args:
        path: of the file.
        source: named where it is not the benchmark's.
        captions: by their id.
        width: fields per row.
    """

    def __init__(self, path: Path, source: Source, captions: dict[str, str], *, width: int):
        self.path, self.source, self.captions, self.width = path, source, captions, width
        self.damaged: list[str] = []

    def read(self, check: Callable[[list[float]], None]) -> list[tuple[str, str, list[float]]]:
        """Image, caption and numbers of each row.

        Args:
            check: raises ValueError for numbers that cannot be.

        Raises:
            TableError: the file cannot be read, or so many rows are damaged that it is another's.
        """
        found = []
        for number, fields in read_text(self.path, self.source):
            try:
                if len(fields) != self.width:
                    raise ValueError(f"has {len(fields)} fields, not {self.width}")
                image, caption, *values = fields
                if caption not in self.captions:
                    raise ValueError(f"names caption {caption!r}, which {TOKENS} lacks")
                numbers = [float(value) for value in values]
                check(numbers)
            except ValueError as error:
                self.damaged.append(f"line {number} {error}")
            else:
                found.append((image, self.captions[caption], numbers))
        if len(self.damaged) > _MOST_DAMAGED * (len(self.damaged) + len(found)):
            refuse_layout(
                self.path,
                self.source,
                self.damaged[0],
                f"{self.width} fields with tabs between: image, caption id and "
                f"{self.width - 2} numbers",
            )
        return found

    def notes(self) -> list[str]:
        """How many rows were left out; empty for none."""
        count = f"{len(self.damaged):,} damaged rows of {self.path.name} skipped"
        return [f"{count}: {self.damaged[0]}"] if self.damaged else []


def _graded(grades: list[float]) -> None:
    for grade in grades:
        if not 1 <= grade <= 4:
            raise ValueError(f"rates {grade:g}, and ratings range from 1 to 4")


def _counted(numbers: list[float]) -> None:
    share, yes, no = numbers
    if not yes + no > 0 or not abs(share - yes / (yes + no)) <= 1e-5:
        raise ValueError(f"says {share:g} for {yes:g} yes and {no:g} no, not the share of yes")


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
        with laid_out(path, source, expected, place=f"entry {key!r} fails with "):
            image = str(entry["image_path"]).rpartition("/")[2]
            of_image[image] = [" ".join(text.split()) for text in entry["ground_truth"]]
            judgements = list(_judgements(entry))
        for caption, rating in judgements:
            if math.isnan(rating):
                unrated += 1
            else:
                rated.append((image, caption, rating))
    note = f"{unrated:,} ratings skipped because they are NaN in {path.name}"
    known = of_image if references else None
    return Judged.of(benchmark, source, images, rated, known, [note] if unrated else [])


def _judgements(entry: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for judgement in entry["human_judgement"]:
        yield " ".join(judgement["caption"].split()), float(judgement["rating"])
