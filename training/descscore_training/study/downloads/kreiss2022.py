"""The study of Kreiss et al. (2022) from its repository, contextual-description-evaluation."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pandas as pd

from descscore.datasets.kreiss2022 import ID_COLUMN, read_kreiss2022
from descscore.errors import TableError
from descscore.writing import write_whole
from descscore_training.study.downloads.kind import Kind, is_plain, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Files = dict[PurePosixPath, Callable[[], bytes]]

_TEXTS = "metrics/clipscore/cosid_data/cosid_descriptions.json"
_ALL, _BLV, _SIGHTED = (
    f"behavioral_data/{name}.csv"
    for name in ("all_descriptions", "blv_data_criticaltrials", "sighted_data_criticaltrials")
)
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


def _make(found: tuple[Path, ...], out: Path) -> None:
    """Write the three tables and the images.

    Descriptions are numbered as the study numbers them to score them: `cosid_descriptions.json`
    calls them by their image's file and a version. Sighted people rated more descriptions, which
    have no score there and are left out.
    """
    (source,) = found
    with opened(source) as files:
        listed = _read(source, files, _TEXTS)
        of_all, blv, sighted = (
            _table(source, name, _read(source, files, name)) for name in (_ALL, _BLV, _SIGHTED)
        )
        pictures = _pictures(files)
        rows = _descriptions(source, listed, blv, _images(source, of_all, pictures))
        ids = dict(zip(_keys(rows), rows[ID_COLUMN], strict=True))
        tables = {
            "descriptions": rows[[ID_COLUMN, *_ABOUT]],
            "blv_ratings": _ratings(blv, ids, _BLV_COLUMNS),
            "sighted_ratings": _ratings(sighted, ids, _SIGHTED_COLUMNS),
        }
        (out / "images").mkdir(parents=True)
        for name, table in tables.items():
            table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n")
        for file, image in dict(zip(rows["source_file"], rows["image"], strict=True)).items():
            write_whole(out / "images" / image, files[pictures[_stem(file)]]())


def _count(folder: Path) -> int:
    """Rows of the three tables: descriptions, and ratings by blind and by sighted people."""
    read_kreiss2022(folder)
    names = ("descriptions", "blv_ratings", "sighted_ratings")
    return sum(len(pd.read_csv(folder / f"{name}.csv", dtype=str)) for name in names)


def _read(source: Path, files: Files, wanted: str) -> bytes:
    for path, read in files.items():
        if path.match(wanted):
            return read()
    raise TableError(f"{source} has no {wanted}; is it all of the study's repository?")


def _pictures(files: Files) -> dict[str, PurePosixPath]:
    """Where each picture is, by its name without its version.

    A picture is there once for each of its descriptions: NAME_version1.jpg, NAME_version2.jpg.
    """
    pictures: dict[str, PurePosixPath] = {}
    # Where a picture is elsewhere too, the study's scores are of the one here.
    for path in sorted(files, key=lambda path: _SCORED not in path.parts):
        if path.suffix.lower() in _PICTURES:
            pictures.setdefault(_stem(path.name), path)
    return pictures


def _table(source: Path, name: str, content: bytes) -> pd.DataFrame:
    """Some columns of a table, as they are spelt; R writes NA where nothing was answered."""
    of_table = {_ALL: ["img_file"], _BLV: [*_BLV_COLUMNS, "context", "article_text"]}
    needed = ["img_id", "description", *of_table.get(name, _SIGHTED_COLUMNS)]
    try:
        rows = pd.read_csv(
            io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
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
    source: Path, texts: bytes, blv: pd.DataFrame, of_image: dict[str, tuple[str, str]]
) -> pd.DataFrame:
    """The rated descriptions with their ids, in the order of the study's list."""
    try:
        listed = dict(json.loads(texts.decode("utf-8-sig")))
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


KREISS2022 = Kind(
    path="kreiss2022",
    unit="descriptions and ratings",
    amount=68 + 272 + 449,
    files="a checkout or the zip file of contextual-description-evaluation",
    patterns=(r"contextual-description-evaluation(-[\w.-]+)?",),
    make=_make,
    count=_count,
)
"""The 68 descriptions that blind and low-vision people rated, all ratings of them, the images.

Of the ratings, 272 are rows by blind and low-vision people, 449 by sighted people.
"""
