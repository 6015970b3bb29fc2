"""Concadia (Kreiss et al. 2022) from `wiki_split.json` and `resized.zip`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from descscore.datasets.concadia import read_concadia
from descscore.errors import TableError
from descscore.writing import write_whole
from descscore_training.study.downloads.kind import Kind, is_plain, opened

if TYPE_CHECKING:
    from pathlib import Path

_TEXTS = "wiki_split.json"
_IMAGES = "resized"


def _make(found: tuple[Path, ...], out: Path) -> None:
    """Put the texts in place, and each image that they name."""
    texts, images = found
    names = _names(texts)
    (out / _IMAGES).mkdir(parents=True)
    shutil.copyfile(texts, out / _TEXTS)
    with opened(images) as files:
        for path, read in files.items():
            if path.name in names:
                write_whole(out / _IMAGES / path.name, read())


def _count(folder: Path) -> int:
    names = _names(folder / _TEXTS)
    missing = [name for name in names if not (folder / _IMAGES / name).is_file()]
    if missing:
        raise TableError(
            f"{_IMAGES} lacks {len(missing):,} of the {len(names):,} images that {_TEXTS} names, "
            f"{missing[0]} first"
        )
    return len(names)


def _names(texts: Path) -> dict[str, None]:
    """The files of the images."""
    folder = texts.parent / _IMAGES
    images = [example.image for example in read_concadia(texts.parent)]
    for image in images:
        if image.parent != folder or not is_plain(image.name):
            raise TableError(
                f"{texts} names the image {image}, which is not a file in {_IMAGES}/; download it "
                "again"
            )
    if not images:
        raise TableError(f"{texts} names no image; download it again")
    return dict.fromkeys(image.name for image in images)


CONCADIA = Kind(
    path="concadia",
    unit="images",
    amount=None,
    files="wiki_split.json and resized.zip",
    patterns=(r"wiki_split\.json", r"resized(\.zip)?"),
    make=_make,
    count=_count,
)
"""The texts, and each image that they name; which those are, and how many, they say."""
