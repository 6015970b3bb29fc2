"""Read what authors distribute, a file at a time: zip archives, and unpacked folders."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from descscore.datasets.image_folders import is_hidden
from descscore.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SMALL = 2**26
# What Python raises when bytes are missing or are not what they should be; the last two are of
# files that are encrypted or packed in a way that it does not know.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of an archive or folder; to be read before the next is asked for.

    Attributes:
        archive: the archive or folder.
        name: its path inside, as the archive has it; nothing is written under it.
        size: in bytes.
        on_disk: where it lies, if the archive is a folder.
    """

    archive: Path
    name: PurePosixPath
    size: int
    on_disk: Path | None = None
    opener: Callable[[], IO[bytes]] = field(repr=False)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, unpacked.

        Raises:
            TableError: the archive is damaged here.
        """
        with _undamaged(self.archive), self.opener() as file:
            yield file

    def read(self) -> bytes:
        """All of a small file.

        Raises:
            TableError: the archive is damaged, or the file has more than 64 MiB.
        """
        if self.size > _SMALL:
            raise TableError(
                f"{self.name} in {self.archive} has {self.size:,} bytes, where a small file should "
                "be; is it the authors' archive?"
            )
        with self.open() as file:
            return file.read()


def entries(path: Path) -> Iterator[Entry]:
    """The files of a zip archive or of a folder, one at a time, without links and hidden files.

    Raises:
        TableError: the file is damaged or not an archive.
    """
    yield from _of_folder(path) if path.is_dir() else _of_zip(path)


def _of_folder(path: Path) -> Iterator[Entry]:
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in sorted(files):
            file = Path(parent, name)
            if not is_hidden(file.relative_to(path).parts) and file.is_file():
                yield entry_of(file, path)


def entry_of(file: Path, archive: Path) -> Entry:
    """A file of an unpacked folder."""
    return Entry(
        archive=archive,
        name=PurePosixPath(file.relative_to(archive).as_posix()),
        size=file.stat().st_size,
        on_disk=file,
        opener=lambda: file.open("rb"),
    )


def _of_zip(path: Path) -> Iterator[Entry]:
    with _undamaged(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = PurePosixPath(info.filename)
            linked = stat.S_ISLNK(info.external_attr >> 16)
            if not (info.is_dir() or linked or is_hidden(name.parts)):
                yield Entry(
                    archive=path,
                    name=name,
                    size=info.file_size,
                    opener=lambda info=info: archive.open(info),
                )


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise TableError(
            f"{path} is damaged, was not downloaded whole or is not an archive ({error}); "
            "download it again"
        ) from error
