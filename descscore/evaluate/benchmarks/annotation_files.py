"""Files of a benchmark, found by name in a folder or below it; errors name the authors' address."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from descscore.errors import OptionError, TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

    def look_for(self, folder: Path, *names: str) -> Path | None:
        """The first of some files in a folder or below it, or None.

        Raises:
            OptionError: there is no such folder.
        """
        below = _files(folder)
        return next((below[name] for name in names if name in below), None)

    def find(self, folder: Path, *names: str) -> Path:
        """The first of some files in a folder or below it.

        Raises:
            OptionError: there is no such folder.
            TableError: none of them is there.
        """
        found = self.look_for(folder, *names)
        if found is None:
            raise TableError(
                f"{self.name} needs {' or '.join(names)}, and neither {folder} nor a folder below "
                f"it holds that; get it from {self.address}"
            )
        return found

    def find_images(self, folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
        """The images of some names in a folder or below it.

        Raises:
            OptionError: there is no such folder.
            TableError: one is missing.
        """
        below = _files(folder)
        missing = list(dict.fromkeys(name for name in names if name not in below))
        if missing:
            raise TableError(
                f"{len(missing):,} of {len(set(names)):,} images of {self.name} are not in "
                f"{folder} or below it, the first: {missing[0]!r}; get them from {self.images}, "
                "and name their folder with `images`"
            )
        return tuple(below[name] for name in names)

    def read_rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """The lines of tab-separated values that are not blank: number from 1, and fields.

        Raises:
            TableError: the file cannot be read as UTF-8.
        """
        with self._readable(path):
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line.rstrip("\r").split("\t")

    def read_json(self, path: Path) -> Any:
        """The value in a JSON file; NaN is let through, since published files hold it.

        Raises:
            TableError: it cannot be read.
        """
        with self._readable(path):
            return json.loads(path.read_bytes())

    @contextmanager
    def _readable(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise TableError(
                f"{path} cannot be read ({error}); get it again from {self.address}"
            ) from error

    def refuse(self, path: Path, fault: object, expected: str) -> NoReturn:
        """Say what is wrong with a file, and what it should look like.

        Raises:
            TableError: always.
        """
        raise TableError(
            f"{path} is not laid out as {self.name} is: {fault}; expected {expected}, as "
            f"distributed at {self.address}"
        )

    @contextmanager
    def laid_out(self, path: Path, expected: str, place: str = "") -> Iterator[None]:
        """Take a file apart, and say what it should look like where that fails.

        Args:
            path: the file.
            expected: what it should look like.
            place: where in the file, before the fault.

        Raises:
            TableError: something is not there, or of another type.
        """
        try:
            yield
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, TableError):
                raise
            self.refuse(path, f"{place}{error!r}", expected)

    def token_captions(self, path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Captions by their id (`image.jpg#0`), and by image.

        Raises:
            TableError: a line is not an id, a tab and a caption.
        """
        captions: dict[str, str] = {}
        of_image: defaultdict[str, list[str]] = defaultdict(list)
        for number, fields in self.read_rows(path):
            image, mark, _ = fields[0].partition("#")
            if len(fields) != 2 or not mark:
                self.refuse(path, f"line {number}", "'image.jpg#0', a tab, the caption")
            captions[fields[0]] = " ".join(fields[1].split())
            of_image[image].append(captions[fields[0]])
        return captions, of_image

    def coco_captions(self, folder: Path) -> dict[str, list[str]]:
        """Captions of COCO's validation images of 2014 by their images' file names.

        Raises:
            TableError: `captions_val2014.json` is missing or laid out otherwise.
        """
        path = self.find(folder, "captions_val2014.json")
        found: defaultdict[str, list[str]] = defaultdict(list)
        with self.laid_out(path, "annotations with image_id and caption"):
            for entry in self.read_json(path)["annotations"]:
                found[coco_name(entry["image_id"])].append(" ".join(entry["caption"].split()))
        return found


def coco_name(image: int) -> str:
    """The file name of a COCO validation image of 2014 by its number."""
    return f"COCO_val2014_{int(image):012d}.jpg"


def _files(folder: Path) -> dict[str, Path]:
    """The files in a folder and below it by name; of files with one name the first, in order."""
    if not folder.is_dir():
        raise OptionError(f"the folder {str(folder)!r} does not exist; check its path")
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            found.setdefault(name, Path(parent, name))
    return found
