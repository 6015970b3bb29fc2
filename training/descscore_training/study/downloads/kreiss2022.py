"""The study of Kreiss et al. (2022) from its repository, contextual-description-evaluation."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pandas as pd

from descscore.datasets.kreiss2022 import ID_COLUMN, read_kreiss2022
from descscore.errors import TableError
from descscore_training.study.downloads.archives import entries
from descscore_training.study.downloads.kind import Kind
from descscore_training.study.downloads.staging import Staging, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
_ASKED_TWICE = ("q_overall", "q_relevance", "q_irrelevance", "q_imgfit")
_BLV_COLUMNS = ["participant", "q_reconstructivity", *_ASKED_TWICE]
_SIGHTED_COLUMNS = [
    "anon_worker_id",
    "trial_number",
    "q_reconstructivity.preimg",
    *(f"{question}.{when}" for question in _ASKED_TWICE for when in ("preimg", "postimg")),
]


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
    pattern = r"contextual-description-evaluation(-[\w.-]+)?"
    descriptions: int = 68
    blv_ratings: int = 272
    sighted_ratings: int = 449

    def count(self, target: Path) -> int:
        """How many descriptions there are.

        Raises:
            TableError: more or fewer than there should be, or the folder cannot be read.
        """
        study = read_kreiss2022(target)
        if not self.fits(len(study.items.texts), self.descriptions):
            raise TableError(
                f"{target} has {len(study.items.texts):,} descriptions, not {self.descriptions:,}; "
                "move it away, and repeat the command to make it again"
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
        ids = dict(zip(_keys(rows), rows[ID_COLUMN], strict=True))
        tables = {
            "descriptions.csv": (self.descriptions, rows[[ID_COLUMN, *_ABOUT]]),
            "blv_ratings.csv": (self.blv_ratings, _ratings(blv, ids, _BLV_COLUMNS)),
            "sighted_ratings.csv": (
                self.sighted_ratings,
                _ratings(sighted, ids, _SIGHTED_COLUMNS),
            ),
        }
        used = {
            file: f"images/{image}"
            for file, image in zip(rows["source_file"], rows["image"], strict=True)
        }
        staging = Staging(target, say, len(tables) + len(used))
        for name, (expected, of_table) in tables.items():
            if not self.fits(len(of_table), expected):
                raise TableError(
                    f"{source} gives {len(of_table):,} rows for {name}, not {expected:,}; is it "
                    "the study's repository as its authors give it?"
                )
            staging.write(name, of_table.to_csv(index=False, lineterminator="\n").encode())
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
        if (
            name.name in _WHERE
            and name.parts[-len(_WHERE[name.name]) - 1 : -1] == _WHERE[name.name]
        ):
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


def _table(source: Path, name: str, contents: dict[str, bytes]) -> pd.DataFrame:
    """Some columns of a table, as they are spelt; R writes NA where nothing was answered."""
    of_table = {_ALL: ["img_file"], _BLV: [*_BLV_COLUMNS, "context", "article_text"]}
    needed = ["img_id", "description", *of_table.get(name, _SIGHTED_COLUMNS)]
    file = io.BytesIO(contents[name])
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        rows = rows.loc[:, needed]
    except (ValueError, KeyError) as error:
        raise TableError(
            f"{name} in {source} is not as the study's ({error!r}); download it again"
        ) from None
    if rows.empty:
        raise TableError(f"{name} in {source} is empty; download it again")
    return rows


def _images(
    source: Path, rows: pd.DataFrame, pictures: dict[str, PurePosixPath]
) -> dict[str, tuple[str, str]]:
    """Each image's id and its file's name as the study has it, by that name without its suffix."""
    of_stem: dict[str, tuple[str, str]] = {}
    for image, file in zip(rows["img_id"], rows["img_file"], strict=True):
        if _stem(file) in pictures:
            if not is_plain(image):
                raise TableError(f"{_ALL} in {source} has the image {image!r}, no file's name")
            of_stem[_stem(file)] = image, file
    return of_stem


def _descriptions(
    source: Path,
    contents: dict[str, bytes],
    blv: pd.DataFrame,
    of_image: dict[str, tuple[str, str]],
) -> pd.DataFrame:
    """The rated descriptions with their ids, in the order of the study's list."""
    try:
        listed = dict(json.loads(contents[_TEXTS].decode("utf-8-sig")))
    except (UnicodeDecodeError, ValueError, TypeError) as error:
        raise TableError(f"{_TEXTS} in {source} cannot be read: {error}") from None
    first = blv.assign(key=_keys(blv)).drop_duplicates("key").set_index("key")
    rated = first.to_dict("index")
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
    return pd.DataFrame(rows, columns=[ID_COLUMN, *_ABOUT])


def _ratings(
    rows: pd.DataFrame, ids: dict[tuple[str, str], str], columns: list[str]
) -> pd.DataFrame:
    """The answers to the descriptions that are kept; empty where there was none."""
    named = rows.assign(**{ID_COLUMN: [ids.get(key) for key in _keys(rows)]})
    kept = named.loc[named[ID_COLUMN].notna(), [ID_COLUMN, *columns]].replace("NA", "")
    return kept.rename(columns={"anon_worker_id": "participant"})


def _keys(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return [_key(*row) for row in zip(rows["img_id"], rows["description"], strict=True)]


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
