"""Concadia (Kreiss et al. 2022) from `wiki_split.json` and `resized.zip`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.datasets.concadia import read_concadia
from descscore.errors import TableError
from descscore_training.study.downloads.archives import entries, entry_of
from descscore_training.study.downloads.kind import Kind
from descscore_training.study.downloads.staging import Staging, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore_training.study.downloads.kind import Places

_TEXTS = "wiki_split.json"
_IMAGES = "resized"


@dataclass(frozen=True, kw_only=True)
class Concadia(Kind):
    """The texts, and each image that they name; which those are, and how many, they say."""

    path = "concadia"
    unit = "images"
    files = "wiki_split.json and resized.zip"

    def find(self, places: Places) -> tuple[Path, ...]:
        """The texts, and the images as an archive or as a folder.

        Raises:
            TableError: one is there without the other.
        """
        texts, images = (
            places.like(re.escape(_TEXTS)),
            places.like(r"resized\.zip") or places.like(_IMAGES),
        )
        if texts is None and images is None:
            return ()
        if texts is None or images is None:
            there, lacking = (images, _TEXTS) if texts is None else (texts, "resized.zip")
            raise TableError(f"{there} is there, but not {lacking}; download both")
        return texts, images

    def count(self, target: Path) -> int:
        """How many images there are.

        Raises:
            TableError: the texts cannot be read, or images lack.
        """
        names = _names(target / _TEXTS)
        there = set(os.listdir(target / _IMAGES)) if (target / _IMAGES).is_dir() else set()
        if missing := [name for name in names if name not in there]:
            raise TableError(
                f"{target / _IMAGES} lacks {len(missing):,} of the {len(names):,} images that "
                f"{_TEXTS} names, {missing[0]} first; add them, or move {target} away and repeat "
                "the command"
            )
        return len(names)

    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Put both in place.

        Raises:
            TableError: a file is damaged, or images lack.
        """
        texts, images = found
        wanted = {f"{_IMAGES}/{name}" for name in _names(texts)}
        staging = Staging(target, say, len(wanted) + 1)
        staging.add(_TEXTS, entry_of(texts, texts.parent))
        left = set(wanted)
        for entry in entries(images):
            name = f"{_IMAGES}/{entry.name.name}"
            if name in left:
                staging.add(name, entry)
                left.remove(name)
                if not left:
                    break
        return staging.finish(wanted | {_TEXTS}, images) - 1


def _names(texts: Path) -> list[str]:
    """The files of the images, each once.

    Raises:
        TableError: the file is not Concadia's, or a name leads elsewhere.
    """
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
    return list(dict.fromkeys(image.name for image in images))
