"""Files of a benchmark, found by name in a folder or below it; errors name the authors' address."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from descscore.errors import OptionError, TableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CAPTIONS = "captions_val2014.json"

_COCO_NAME = re.compile(r"COCO_\w+_(\d+)\.jpg")

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a benchmark comes from.

    Attributes:
        name: of the benchmark, as its authors write it.
        address: where they distribute its annotations.
        images: where its images are distributed.
    """

    name: str
    address: str
    images: str


def find_file(folder: Path, names: Sequence[str], source: Source) -> Path:
    """The first of some files that lies in a folder or below it.

    Args:
        folder: where to look.
        names: in order of preference.
        source: named if there is none.

    Raises:
        OptionError: there is no such folder.
        TableError: none of them is there.
    """
    found = look_for(folder, names)
    if found is None:
        refuse_missing(folder, names, source)
    return found


def look_for(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of some files in a folder or below it, or None.

    Raises:
        OptionError: there is no such folder.
    """
    if not folder.is_dir():
        raise OptionError(f"the folder {str(folder)!r} does not exist; check its path")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    below: dict[str, Path] = {}
    for path in _files(folder):
        below.setdefault(path.name, path)
    return next((below[name] for name in names if name in below), None)


def refuse_missing(folder: Path, names: Sequence[str], source: Source) -> NoReturn:
    """Say which file is missing and where its authors distribute it.

    Raises:
        TableError: always.
    """
    wanted = " or ".join(names)
    raise TableError(
        f"{source.name} needs {wanted}, and neither {folder} nor a folder below it holds that; get "
        f"it from {source.address}"
    )


def read_text(path: Path, source: Source) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file of tab-separated values: number from 1, and fields; blank ones left out.

    Raises:
        TableError: it cannot be read as UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(
            f"{path} cannot be read ({error}); get it again from {source.address}"
        ) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, line.rstrip("\r").split("\t")


def read_json(path: Path, source: Source) -> Any:
    """The value in a JSON file; NaN is let through, since published files hold it.

    Raises:
        TableError: it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TableError(
            f"{path} cannot be read ({error}); get it again from {source.address}"
        ) from error


def refuse_layout(path: Path, source: Source, fault: object, expected: str) -> NoReturn:
    """Say what is wrong with a file, and what it should look like.

    Raises:
        TableError: always.
    """
    raise TableError(
        f"{path} is not laid out as {source.name} is: {fault}; expected {expected}, as distributed "
        f"at {source.address}"
    )


@contextmanager
def laid_out(path: Path, source: Source, expected: str, place: str = "") -> Iterator[None]:
    """Take a file apart, and say what it should look like where that fails.

    Args:
        path: the file.
        source: named with what it should look like.
        expected: what that is.
        place: where in the file, before the fault.

    Raises:
        TableError: something is not there, or of another type.
    """
    try:
        yield
    except TableError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        refuse_layout(path, source, f"{place}{error!r}", expected)


def token_captions(
    path: Path, source: Source
) -> tuple[dict[str, str], defaultdict[str, list[str]]]:
    """Captions by their id (`image.jpg#0`), and by image.

    Raises:
        TableError: a line is not an id, a tab and a caption.
    """
    captions: dict[str, str] = {}
    of_image: defaultdict[str, list[str]] = defaultdict(list)
    for number, fields in read_text(path, source):
        image, mark, _ = fields[0].partition("#")
        if len(fields) != 2 or not mark:
            refuse_layout(path, source, f"line {number}", "'image.jpg#0', a tab, the caption")
        captions[fields[0]] = " ".join(fields[1].split())
        of_image[image].append(captions[fields[0]])
    return captions, of_image


def coco_captions(path: Path, source: Source) -> dict[int, list[str]]:
    """Captions by the number of their image.

    Raises:
        TableError: the file is not laid out as COCO's captions are.
    """
    found: defaultdict[int, list[str]] = defaultdict(list)
    with laid_out(path, source, "annotations with image_id and caption"):
        for entry in read_json(path, source)["annotations"]:
            found[int(entry["image_id"])].append(" ".join(entry["caption"].split()))
    return dict(found)


def coco_number(name: str) -> int:
    """The number of a COCO image from its file's name; -1 for any other image."""
    found = _COCO_NAME.fullmatch(name)
    return int(found[1]) if found else -1


class ImageFiles:
    """The image files in a folder and below it, by name.

    Args:
        folder: where to look.
        source: named if one is missing.

    Raises:
        OptionError: there is no such folder.
    """

    def __init__(self, folder: Path, source: Source) -> None:
        if not folder.is_dir():
            raise OptionError(f"the folder of images {str(folder)!r} does not exist; check it")
        self.folder = folder
        self.source = source
        self._by_name: dict[str, Path] = {}
        for path in _files(folder):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self._by_name.setdefault(path.name, path)

    def paths(self, names: Iterable[str]) -> list[Path]:
        """The files of some names, in order.

        Raises:
            TableError: one is missing.
        """
        names = list(names)
        missing = list(dict.fromkeys(name for name in names if name not in self._by_name))
        if missing:
            raise TableError(
                f"{len(missing):,} of {len(set(names)):,} images of {self.source.name} are not in "
                f"{self.folder} or below it, the first: {missing[0]!r}; get them from "
                f"{self.source.images}, and name their folder with `images`"
            )
        return [self._by_name[name] for name in names]


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield Path(parent, name)
