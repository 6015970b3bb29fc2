"""Composite (Aditya et al. 2015): captions of Flickr8k, Flickr30k and COCO images, rated 1 to 5.

Three files of the authors' AMT evaluation, `8k_correctness.csv`, `30k_correctness.csv` and
`coco_correctness.csv`: fields between semicolons; in each row, after Mechanical Turk's own fields,
the address of the image, its captions (three for Flickr8k, else four), and a rating of each.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from descscore.evaluate.benchmarks.annotation_files import Source
from descscore.evaluate.benchmarks.flickr8k import TOKENS, judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from descscore.evaluate.benchmarks.entries import Entries
    from descscore.evaluate.benchmarks.flickr8k import Rated

COMPOSITE = Source(
    name="Composite",
    address="https://imagesdg.wordpress.com/image-to-scene-description-graph/ (AMT evaluation; "
    "references: the sites of Flickr8k, Flickr30k and COCO)",
    images="the sites of Flickr8k and Flickr30k, and https://cocodataset.org/#download (val2014)",
)
_FILES = {"8k_correctness.csv": 3, "30k_correctness.csv": 4, "coco_correctness.csv": 4}
"""File -> captions per row."""

_RATED = 3
"""Captions per row that count: the first three, which make the literature's 12,000 ratings."""

_ADDRESS = re.compile(r"https?://\S+\.(?:jpe?g|png)", re.IGNORECASE)


def composite(folder: Path, images: Path, *, references: bool) -> Entries:
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
    rated: list[Rated] = []
    left_out = 0
    for name, width in _FILES.items():
        for of_row in _rows(COMPOSITE.find(folder, name), width):
            left_out += not of_row
            rated += of_row[:_RATED]
    notes = ["the first three captions of each row count; Flickr30k's and COCO's fourth does not"]
    if left_out:
        notes.append(f"{left_out:,} rows without an image address skipped")
    known = _references(folder, rated) if references else None
    return judged("composite", COMPOSITE, images, rated, notes, references=known)


def _rows(path: Path, width: int) -> Iterator[list[Rated]]:
    """The rated captions of each row; none where a row names no image."""
    expected = (
        f"fields between semicolons: after the image's address {width} captions, then {width} "
        "ratings from 1 to 5"
    )
    try:
        rows = list(csv.reader(_decoded(path).splitlines(keepends=True), delimiter=";"))
    except csv.Error as error:
        COMPOSITE.refuse(path, error, expected)
    for number, row in enumerate(rows[1:], 2):
        place = next((i for i, field in enumerate(row) if _ADDRESS.fullmatch(field.strip())), None)
        if place is None:
            if row:
                yield []
            continue
        fields = row[place + 1 : place + 1 + 2 * width]
        if len(fields) < 2 * width:
            fault = f"row {number} has {len(fields)} fields after the address"
            COMPOSITE.refuse(path, fault, expected)
        image = row[place].strip().rpartition("/")[2]
        rated: list[Rated] = []
        for caption, rating in zip(fields[:width], fields[width:], strict=True):
            if rating.strip() not in {"1", "2", "3", "4", "5"}:
                COMPOSITE.refuse(path, f"row {number} holds the rating {rating!r}", expected)
            rated.append((image, " ".join(caption.split()), float(rating)))
        yield rated


def _decoded(path: Path) -> str:
    """The file's text: UTF-8, or what spreadsheets write where it is not."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _references(folder: Path, rated: Sequence[Rated]) -> dict[str, list[str]]:
    known = COMPOSITE.coco_captions(folder)
    for name in (TOKENS, "results_20130124.token"):
        known |= COMPOSITE.token_captions(COMPOSITE.find(folder, name))[1]
    taken: defaultdict[str, set[str]] = defaultdict(set)
    for image, caption, _ in rated:
        taken[image].add(_bare(caption))
    return {
        image: [text for text in known.get(image, []) if _bare(text) not in bare]
        for image, bare in taken.items()
    }


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
