"""A folder that is filled under another name and gets its own once it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from descscore_training.study.downloads.archives import Entry

_SECONDS_BETWEEN_LINES = 10.0


class Staging:
    """Fills `.NAME.unfinished` beside a folder; what is in it already is not written again.

    Each file is written under a temporary name and then renamed, so that what is there is whole.

    Args:
        target: the folder that it becomes.
        say: called with a line every ten seconds.
        total: how many files there will be.
    """

    def __init__(self, target: Path, say: Callable[[str], None], total: int) -> None:
        self.target = target
        self.folder = target.with_name(f".{target.name}.unfinished")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._say, self._total = say, total
        self._said = time.monotonic()
        self._done = 0

    def add(self, name: str, entry: Entry) -> None:
        """Put a file of an archive, byte for byte; one that lies on this disk is linked.

        Raises:
            TableError: the archive is damaged here.
        """
        path = self.folder / name
        if not self._has(path, entry.size):
            write_whole(path, lambda unfinished: _copy(entry, unfinished))
        self._step()

    def write(self, name: str, content: bytes) -> None:
        """Put a file."""
        path = self.folder / name
        if not self._has(path, len(content)):
            write_whole(path, content)
        self._step()

    def finish(self, names: Collection[str], source: Path) -> int:
        """Give the folder its name, once it holds just these files.

        Returns:
            How many files that is.

        Raises:
            TableError: some are missing.
        """
        wanted = set(names)
        missing = sorted(name for name in wanted if not (self.folder / name).is_file())
        if missing:
            raise TableError(
                f"{source} holds {len(wanted) - len(missing):,} of the {len(wanted):,} files that "
                f"are needed; {missing[0]} is the first that it lacks: download it again"
            )
        # What an interruption left half-written, or another download had; an empty folder would be
        # a class.
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
            elif path.relative_to(self.folder).as_posix() not in wanted:
                path.unlink()
        self.folder.replace(self.target)
        return len(wanted)

    def _has(self, path: Path, size: int) -> bool:
        try:
            return path.stat().st_size == size
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return False

    def _step(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            self._say(f"{self.target.name}: {self._done:,} of {self._total:,} files")


def is_plain(name: str) -> bool:
    """Whether a name is that of a file, and leads into no other folder on any system."""
    return bool(PurePosixPath(name).name == name and name != ".." and not set(name) & set("\\:"))


def _copy(entry: Entry, path: Path) -> None:
    if entry.on_disk is None or not _linked(entry.on_disk, path):
        with entry.open() as source, path.open("wb") as file:
            shutil.copyfileobj(source, file, 2**20)
    if path.stat().st_size != entry.size:
        raise TableError(f"{entry.name} in {entry.archive} is cut short; download it again")


def _linked(source: Path, path: Path) -> bool:
    """Link a file, so that it takes no second place; False where the disk cannot."""
    with contextlib.suppress(OSError):
        # A hard link stays when the download is removed.
        os.link(source.resolve(), path)
        return True
    return False
