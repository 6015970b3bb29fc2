"""The study of Kreiss et al. (2022) from its repository, contextual-description-evaluation."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from descscore.datasets.kreiss2022 import ID_COLUMN, read_kreiss2022
from descscore.errors import TableError
from descscore_training.study.downloads.archives import entries
from descscore_training.study.downloads.kind import Kind
from descscore_training.study.downloads.staging import Staging, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from descscore_training.study.downloads.kind import Places

Row = dict[str, str]

_TEXTS = "cosid_descriptions.json"
_ALL, _BLV, _SIGHTED = (
    "all_descriptions.csv",
    "blv_data_criticaltrials.csv",
    "sighted_data_criticaltrials.csv",
)
_WHERE = {
    _TEXTS: ("metrics", "clipscore", "cosid_data"),
    _ALL: ("behavioral_data",),
    _BLV: ("behavioral_data",),
    _SIGHTED: ("behavioral_data",),
}
_SCORED = "cosid_images"
_VERSION = re.compile(r"(.+)_version(\d+)")
_PICTURES = {".jpg", ".jpeg", ".png"}
_ABOUT = ("img_id", "image", "context", "article_text", "description", "source_file")
_ASKED_TWICE = ("overall", "relevance", "irrelevance", "imgfit")
_BLV_COLUMNS = {
    "participant": "participant",
    **{f"q_{question}": f"q_{question}" for question in ("reconstructivity", *_ASKED_TWICE)},
}
_SIGHTED_COLUMNS = {
    "anon_worker_id": "participant",
    "trial_number": "trial_number",
    "q_reconstructivity.preimg": "q_reconstructivity.preimg",
    **{f"q_{q}.{when}": f"q_{q}.{when}" for q in _ASKED_TWICE for when in ("preimg", "postimg")},
}


@dataclass(frozen=True, kw_only=True)
class Kreiss2022(Kind):
    """The descriptions that blind and low-vision people rated, all ratings of them, and the images.

    Descriptions are numbered as the study numbers them to score them: `cosid_descriptions.json`
    calls them by their image's file and a version. Sighted people rated more descriptions, which
    have no score there and are left out.

    Attributes:
        descriptions: how many were rated.
        blv_ratings: rows by blind and low-vision people.
        sighted_ratings: rows by sighted people.
    """

    path = "kreiss2022"
    unit = "descriptions"
    files = "a checkout or the zip file of contextual-description-evaluation"
    descriptions: int = 68
    blv_ratings: int = 272
    sighted_ratings: int = 449

    def find(self, places: Places) -> tuple[Path, ...]:
        """The repository, as a folder or as the zip file that GitHub makes of it."""
        found = places.like(r"contextual-description-evaluation(-[\w.-]+)?")
        return () if found is None else (found,)

    def count(self, target: Path) -> int:
        """How many descriptions there are.

        Raises:
            TableError: more or fewer than there should be, or the folder cannot be read.
        """
        study = read_kreiss2022(target)
        if not self.fits(len(study.items.texts), self.descriptions):
            raise TableError(
                f"{target} has {len(study.items.texts):,} descriptions, not {self.descriptions:,}; "
                "move it away, and repeat the command to make it anew"
            )
        return len(study.items.texts)

    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Write the three tables and the images.

        Raises:
            TableError: a file is missing or not as it was, or the numbers are others.
        """
        (source,) = found
        contents, pictures = _look(source)
        blv, sighted = _table(source, _BLV, contents), _table(source, _SIGHTED, contents)
        of_image = _images(source, _table(source, _ALL, contents), pictures)
        rows = _descriptions(source, contents, blv, of_image)
        ids = {_key(row["img_id"], row["description"]): row[ID_COLUMN] for row in rows}
        tables = {
            "descriptions.csv": (self.descriptions, [ID_COLUMN, *_ABOUT], rows),
            "blv_ratings.csv": (self.blv_ratings, *_ratings(blv, ids, _BLV_COLUMNS)),
            "sighted_ratings.csv": (
                self.sighted_ratings,
                *_ratings(sighted, ids, _SIGHTED_COLUMNS),
            ),
        }
        used = {row["source_file"]: f"images/{row['image']}" for row in rows}
        staging = Staging(target, say, len(tables) + len(used))
        for name, (expected, columns, of_table) in tables.items():
            if not self.fits(len(of_table), expected):
                raise TableError(
                    f"{source} gives {len(of_table):,} rows for {name}, not {expected:,}; is it "
                    "the study's repository as its authors give it?"
                )
            staging.write(name, _as_csv(columns, of_table))
        wanted = {pictures[_stem(file)]: name for file, name in used.items()}
        for entry in entries(source):
            if entry.name in wanted:
                staging.add(wanted[entry.name], entry)
        descriptions = self.count(staging.folder)
        staging.finish([*tables, *used.values()], source)
        return descriptions


def _look(source: Path) -> tuple[dict[str, bytes], dict[str, PurePosixPath]]:
    """The tables by their name, and where each picture is, by its name without its version.

    A picture is there once for each of its descriptions: NAME_version1.jpg, NAME_version2.jpg.
    """
    contents: dict[str, bytes] = {}
    pictures: dict[str, PurePosixPath] = {}
    for entry in entries(source):
        name = entry.name
        if name.name in _WHERE and entry.ends_with(*_WHERE[name.name], name.name):
            contents[name.name] = entry.read()
        elif name.suffix.lower() in _PICTURES:
            stem = _stem(name.name)
            # Where a picture is twice, the study's scores are of the one here.
            if stem not in pictures or (
                _SCORED in name.parts and _SCORED not in pictures[stem].parts
            ):
                pictures[stem] = name
    for name, folders in _WHERE.items():
        if name not in contents:
            raise TableError(
                f"{source} has no {'/'.join((*folders, name))}; is it all of the study's "
                "repository?"
            )
    return contents, pictures


def _table(source: Path, name: str, contents: dict[str, bytes]) -> list[Row]:
    needed = {"img_id", "description"}
    needed |= {_ALL: {"img_file"}, _BLV: {*_BLV_COLUMNS, "context", "article_text"}}.get(
        name, set(_SIGHTED_COLUMNS)
    )
    try:
        reader = csv.DictReader(io.StringIO(contents[name].decode("utf-8-sig"), newline=""))
        rows = [{column: row[column] or "" for column in needed} for row in reader]
    except (UnicodeDecodeError, csv.Error, KeyError) as error:
        raise TableError(
            f"{name} in {source} is not as the study's ({error!r}); download it again"
        ) from None
    if not rows:
        raise TableError(f"{name} in {source} is empty; download it again")
    return rows


def _images(
    source: Path, rows: Sequence[Row], pictures: dict[str, PurePosixPath]
) -> dict[str, tuple[str, str]]:
    """Each image's id and its file's name as the study has it, by that name without its suffix."""
    of_stem: dict[str, tuple[str, str]] = {}
    for row in rows:
        stem = _stem(row["img_file"])
        if stem in pictures:
            if not is_plain(row["img_id"]):
                raise TableError(
                    f"{_ALL} in {source} has the image {row['img_id']!r}, no file's name"
                )
            of_stem[stem] = row["img_id"], row["img_file"]
    return of_stem


def _descriptions(
    source: Path,
    contents: dict[str, bytes],
    blv: Sequence[Row],
    of_image: dict[str, tuple[str, str]],
) -> list[Row]:
    """The rated descriptions with their ids, in the order of the study's list."""
    try:
        listed = dict(json.loads(contents[_TEXTS].decode("utf-8-sig")))
    except (UnicodeDecodeError, ValueError, TypeError) as error:
        raise TableError(f"{_TEXTS} in {source} cannot be read: {error}") from None
    rated = {_key(row["img_id"], row["description"]): row for row in reversed(blv)}
    rows = []
    for name, text in listed.items():
        match = _VERSION.fullmatch(name)
        # Without a version it is a check of attention.
        if match is None or _stem(name) not in of_image:
            continue
        image, file = of_image[_stem(name)]
        row = rated.get(_key(image, str(text)))
        if row is not None:
            rows.append(
                {
                    ID_COLUMN: f"{image}_v{match[2]}",
                    "image": f"{image}{PurePosixPath(file).suffix.lower()}",
                    "source_file": file,
                    **{column: row[column] for column in _ABOUT if column in row},
                }
            )
    return rows


def _ratings(
    rows: Sequence[Row], ids: dict[tuple[str, str], str], columns: dict[str, str]
) -> tuple[list[str], list[Row]]:
    """The columns and rows of a table of ratings."""
    kept = []
    for row in rows:
        item = ids.get(_key(row["img_id"], row["description"]))
        if item is not None:
            # R writes NA where nothing was answered.
            values = {ours: row[theirs] for theirs, ours in columns.items()}
            answers = {column: "" if value == "NA" else value for column, value in values.items()}
            kept.append({ID_COLUMN: item, **answers})
    return [ID_COLUMN, *columns.values()], kept


def _as_csv(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _key(image: str, text: str) -> tuple[str, str]:
    """What names a description in every file; their spaces differ."""
    return image, " ".join(text.split())


def _stem(file: str) -> str:
    """A picture's name without version and suffix, the same on every system."""
    stem = unicodedata.normalize("NFC", file)
    if PurePosixPath(stem).suffix.lower() in _PICTURES:
        stem = stem[: -len(PurePosixPath(stem).suffix)]
    match = _VERSION.fullmatch(stem)
    return match[1] if match else stem
