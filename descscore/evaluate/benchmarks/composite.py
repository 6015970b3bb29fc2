"""Composite (Aditya et al. 2015): captions of Flickr8k, Flickr30k and COCO images, rated 1 to 5.

Three files of the authors' AMT evaluation, `8k_correctness.csv`, `30k_correctness.csv` and
`coco_correctness.csv`: fields between semicolons; in each row, after Mechanical Turk's own fields,
the address of the image, its captions (three for Flickr8k, else four), and a rating of each.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.evaluate.benchmarks.annotation_files import (
    CAPTIONS,
    Source,
    coco_captions,
    coco_number,
    find_file,
    refuse_layout,
    token_captions,
)
from descscore.evaluate.benchmarks.entries import Judged

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPOSITE = Source(
    name="Composite",
    address="https://imagesdg.wordpress.com/image-to-scene-description-graph/ (AMT evaluation)",
    images="the sites of Flickr8k and Flickr30k, and https://cocodataset.org/#download (val2014)",
)
_REFERENCES = Source(
    name="Composite with references",
    address="the sites of Flickr8k and Flickr30k, and https://cocodataset.org/#download",
    images=COMPOSITE.images,
)
_FILES = {"8k_correctness.csv": 3, "30k_correctness.csv": 4, "coco_correctness.csv": 4}
"""File -> captions per row."""

_RATED = 3
"""Captions per row that count: the first three, which make the literature's 12,000 ratings."""

_ADDRESS = re.compile(r"https?://\S+\.(?:jpe?g|png)", re.IGNORECASE)
_FLICKR_TOKENS = ("Flickr8k.token.txt", "results_20130124.token")


def composite(folder: Path, images: Path, *, references: bool) -> Judged:
    """12,000 ratings (1 to 5) of correctness, each a data point of its own.

    One of the rated captions of an image was taken from its references: with references, every
    reference that equals a rated caption is taken out (but for case, spaces and punctuation), the
    harder setting of Hessel et al. (2021).

    Args:
        folder: with the three csv files; for references also `Flickr8k.token.txt`, Flickr30k's
            `results_20130124.token` and COCO's `captions_val2014.json`.
        images: the folder of images.
        references: read references too.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    rated: list[tuple[str, str, float]] = []
    left_out = 0
    for name, width in _FILES.items():
        for row in _rows(find_file(folder, [name], COMPOSITE), width):
            if row is None:
                left_out += 1
                continue
            image, of_row = row
            rated += [(image, caption, rating) for caption, rating in of_row[:_RATED]]
    notes = ["the first three captions of each row count; Flickr30k's and COCO's fourth does not"]
    if left_out:
        notes.append(f"{left_out:,} rows without an image address skipped")
    left = None
    if references:
        left, kept = _references(folder, rated)
        notes.append(
            f"{kept:,} of {len(left):,} images have no reference that equals a rated caption"
        )
    return Judged.of("composite", COMPOSITE, images, rated, left, notes)


def _rows(path: Path, width: int) -> Iterator[tuple[str, list[tuple[str, float]]] | None]:
    """Image name and its rated captions, row by row; None where a row names no image."""
    expected = (
        f"fields between semicolons: after the image's address {width} captions, then {width} "
        "ratings from 1 to 5"
    )
    try:
        rows = list(csv.reader(_decoded(path).splitlines(keepends=True), delimiter=";"))
    except csv.Error as error:
        refuse_layout(path, COMPOSITE, error, expected)
    for number, row in enumerate(rows[1:], 2):
        place = next((i for i, field in enumerate(row) if _ADDRESS.fullmatch(field.strip())), None)
        if place is None:
            if row:
                yield None
            continue
        fields = row[place + 1 : place + 1 + 2 * width]
        if len(fields) < 2 * width:
            fault = f"row {number} has {len(fields)} fields after the address"
            refuse_layout(path, COMPOSITE, fault, expected)
        ratings = [_rating(field) for field in fields[width:]]
        if None in ratings:
            wrong = fields[width + ratings.index(None)]
            refuse_layout(path, COMPOSITE, f"row {number} holds the rating {wrong!r}", expected)
        captions = [" ".join(field.split()) for field in fields[:width]]
        rated = [(c, r) for c, r in zip(captions, ratings, strict=True) if r is not None]
        yield row[place].strip().rpartition("/")[2], rated


def _decoded(path: Path) -> str:
    """The file's text: UTF-8, or what spreadsheets write where it is not."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _rating(field: str) -> float | None:
    return float(field) if field.strip() in {"1", "2", "3", "4", "5"} else None


def _references(
    folder: Path, rated: list[tuple[str, str, float]]
) -> tuple[dict[str, list[str]], int]:
    """References of each image, and for how many images none had to be taken out."""
    known: dict[str, list[str]] = {}
    for tokens in _FLICKR_TOKENS:
        known |= token_captions(find_file(folder, [tokens], _REFERENCES), _REFERENCES)[1]
    of_coco = coco_captions(find_file(folder, [CAPTIONS], _REFERENCES), _REFERENCES)
    taken = defaultdict(set)
    for name, caption, _ in rated:
        taken[name].add(_bare(caption))
    left: dict[str, list[str]] = {}
    untouched = 0
    for name, bare in taken.items():
        all_of_it = of_coco.get(coco_number(name), []) or known.get(name, [])
        left[name] = [text for text in all_of_it if _bare(text) not in bare]
        untouched += len(left[name]) == len(all_of_it)
    return left, untouched


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
