"""What is known of each dataset, and how downloads are found and read."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from descscore.datasets.labelled_images import is_hidden
from descscore.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LARGEST = 2**26
# What Python raises when bytes are missing or are not what they should be; the last two are of
# files that are encrypted or packed in a way that it does not know.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A dataset that can be made from what its authors distribute.

    Attributes:
        path: where studies look for it, relative to the data folder.
        unit: what is counted: images, words.
        amount: how many there are; None if the dataset says so itself.
        files: what has to be downloaded, for whoever lacks it.
        patterns: the downloads' names in lowercase.
        make: writes the dataset, a folder or a file that is not there yet, from the downloads.
        count: how many there are in what was made. Both raise a TableError if something is not as
            it should be.
    """

    path: str
    unit: str
    amount: int | None
    files: str
    patterns: tuple[str, ...]
    make: Callable[[tuple[Path, ...], Path], object]
    count: Callable[[Path], int]

    def find(self, downloads: Path) -> tuple[Path, ...]:
        """The downloads that it is made from, in a folder or in the folders in it; none if none is.

        Raises:
            TableError: some are there, but not all.
        """
        shown = [path for path in sorted(downloads.iterdir()) if not path.name.startswith(".")]
        shown += [path for parent in shown if parent.is_dir() for path in sorted(parent.iterdir())]
        found = [
            next((path for path in shown if re.fullmatch(pattern, path.name.lower())), None)
            for pattern in self.patterns
        ]
        there = tuple(path for path in found if path is not None)
        if there and len(there) < len(found):
            raise TableError(f"{there[0]} is there, but not all of {self.files}; download them")
        return there


@contextmanager
def opened(path: Path) -> Iterator[dict[PurePosixPath, Callable[[], bytes]]]:
    """The files of a zip archive or folder by their paths inside, each with what reads it.

    Links in an archive and hidden files are left out.

    Raises:
        TableError: the file is damaged or not an archive, or a file in it has more than 64 MiB.
    """
    try:
        if path.is_dir():
            inside = {PurePosixPath(file.relative_to(path)): file for file in path.rglob("*")}
            yield {
                name: file.read_bytes
                for name, file in sorted(inside.items())
                if file.is_file() and not is_hidden(name.parts)
            }
            return
        with zipfile.ZipFile(path) as archive:
            members = {
                PurePosixPath(info.filename): info
                for info in archive.infolist()
                if not (info.is_dir() or stat.S_ISLNK(info.external_attr >> 16))
            }
            yield {
                name: partial(_member, archive, info)
                for name, info in members.items()
                if not is_hidden(name.parts)
            }
    except _DAMAGED as error:
        raise TableError(
            f"{path} is damaged, was not downloaded whole or is not an archive ({error}); "
            "download it again"
        ) from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _LARGEST:
        raise TableError(
            f"{info.filename} in {archive.filename} has {info.file_size:,} bytes, where a small "
            "file should be; is it the authors' archive?"
        )
    return archive.read(info)


def is_plain(name: str) -> bool:
    """Whether a name is that of a file, and leads into no other folder on any system."""
    return bool(PurePosixPath(name).name == name and name != ".." and not set(name) & set("\\:"))
