"""Labelled images: a folder, or a zip file, with one folder of images a class."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from descscore.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """The images of a data set of class folders, in the order of their names.

    Attributes:
        path: the folder or zip file.
        names: each image's path inside it.
        labels: each image's class: its folder's name.
    """

    path: Path
    names: Sequence[str]
    labels: Sequence[str]

    def read(self) -> Iterator[bytes]:
        """Each image's encoded bytes, in order."""
        if self.path.is_dir():
            for name in self.names:
                yield (self.path / name).read_bytes()
            return
        with zipfile.ZipFile(self.path) as archive:
            for name in self.names:
                yield archive.read(name)


def class_folders(path: Path, under: str = "") -> ClassFolders:
    """List the images of class folders.

    Args:
        path: a folder or a zip file.
        under: the folder inside it that holds the classes' folders.

    Raises:
        TableError: there is no such folder or zip file, or no image where the classes should be.
    """
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.is_file())
        files = [PurePosixPath(file.relative_to(path).as_posix()) for file in found]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
    else:
        raise TableError(f"{path} is neither a folder nor a zip file of class folders")
    root = PurePosixPath(under)
    inside = sorted(file for file in files if file.parent.parent == root)
    if not inside:
        raise TableError(f"{path} has no images in {root / 'CLASS'}/; check `under` ({under!r})")
    return ClassFolders(
        path=path,
        names=[str(file) for file in inside],
        labels=[file.parent.name for file in inside],
    )
