"""Labelled images: a folder, or a zip file, with one folder of images per class."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from descscore.errors import ImageError, TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """The images of a dataset of class folders, in the order of their names.

    Attributes:
        path: the folder or zip file.
        names: each image's path inside it.
        labels: each image's class, the name of its folder.
        empty: classes whose folders have no images.
        beside: files outside class folders.
    """

    path: Path
    names: Sequence[str]
    labels: Sequence[str]
    empty: Sequence[str] = ()
    beside: Sequence[str] = ()

    @property
    def classes(self) -> list[str]:
        """All classes, including those without images."""
        return sorted({*self.labels, *self.empty})

    def read(self) -> Iterator[bytes]:
        """Each image's encoded bytes, in order.

        Raises:
            ImageError: the bytes of an image cannot be read.
        """
        for name, content in zip(self.names, self.read_each(), strict=True):
            if isinstance(content, ImageError):
                raise ImageError(f"image {name!r} {content}")
            yield content

    def read_each(self) -> Iterator[bytes | ImageError]:
        """Each image's encoded bytes, or why they cannot be read, in order."""
        if self.path.is_dir():
            for name in self.names:
                try:
                    yield (self.path / name).read_bytes()
                except OSError as error:
                    yield ImageError(f"cannot be read: {error.strerror or error}")
            return
        with zipfile.ZipFile(self.path) as archive:
            entries = zip_entries(archive)
            for name in self.names:
                try:
                    yield archive.read(entries[name])
                except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                    yield ImageError(f"is damaged in {self.path}: {error}")
                except (RuntimeError, NotImplementedError) as error:  # encrypted; unknown method
                    yield ImageError(f"cannot be unpacked from {self.path}: {error}")


def zip_entries(archive: zipfile.ZipFile) -> dict[str, str]:
    """What a zip file calls each path inside it: "./cat/1.png" may stand for cat/1.png."""
    return {str(PurePosixPath(name)): name for name in archive.namelist()}


def class_folders(path: Path, under: str = "") -> ClassFolders:
    """List the images of class folders: the files directly in a folder of `under`.

    Hidden files and folders are skipped.

    Args:
        path: a folder or a zip file.
        under: the folder inside it that contains the class folders.

    Raises:
        TableError: there is no such folder or zip file, or no image in a class folder.
    """
    if path.is_dir():
        found = [(file.relative_to(path).as_posix(), file.is_dir()) for file in path.rglob("*")]
    elif zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                found = [(entry.filename, entry.is_dir()) for entry in archive.infolist()]
        except zipfile.BadZipFile as error:
            raise TableError(f"{path} is a damaged zip file ({error}); copy it again") from None
    elif path.exists():
        raise TableError(
            f"{path} is neither a folder nor a complete zip file of class folders; check the "
            "path, or copy it again"
        )
    else:
        raise TableError(f"there is no {path}; check the path")
    root = PurePosixPath(under)
    entries = [(PurePosixPath(name), is_folder) for name, is_folder in found]
    above = len(root.parts)
    seen = [(file, is_folder) for file, is_folder in entries if not is_hidden(file.parts[above:])]
    depth = above + 2
    below = sorted(file for file, is_folder in seen if not is_folder and file.is_relative_to(root))
    inside = [file for file in below if len(file.parts) == depth]
    if not inside:
        roots = sorted(
            {
                str(file.parent.parent)
                for file, is_folder in seen
                if not is_folder and len(file.parts) > 1
            }
        )
        others = ", ".join(f"{PurePosixPath(other) / 'CLASS'}/" for other in roots[:4])
        raise TableError(
            f"{path} has no images in {root / 'CLASS'}/; check `under` ({under!r})"
            + (f": there are files in {others}" if others else "")
        )
    labels = [file.parent.name for file in inside]
    named = {
        file.parts[depth - 2]
        for file, is_folder in seen
        if file.is_relative_to(root) and len(file.parts) + is_folder >= depth
    }
    return ClassFolders(
        path=path,
        names=[str(file) for file in inside],
        labels=labels,
        empty=sorted(named - set(labels)),
        beside=[str(file) for file in below if len(file.parts) != depth],
    )


def is_hidden(parts: Sequence[str]) -> bool:
    """Whether a part of a path begins with a dot, or is what macOS adds to zip files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
