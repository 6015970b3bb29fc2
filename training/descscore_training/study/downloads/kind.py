"""What is asked of each dataset: where its download is, whether it is done, and how it is made."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """A dataset that can be made from what its authors distribute.

    Attributes:
        path: where studies look for it, relative to the data folder.
        unit: what is counted: images, words.
        files: what has to be downloaded, for whoever lacks it.
        pattern: the download's name in lowercase.
        reduced: whether downloads may hold fewer than the authors' do, as for a rehearsal.
    """

    path: ClassVar[str]
    unit: ClassVar[str]
    files: ClassVar[str]
    pattern: ClassVar[str]
    reduced: bool = False

    def fits(self, there: int, wanted: int) -> bool:
        """Whether this many are enough."""
        return there == wanted or (self.reduced and 0 < there < wanted)

    def find(self, places: Places) -> tuple[Path, ...]:
        """The files or folders that it is made from; none if they are not there.

        Raises:
            TableError: something is there that cannot be used.
        """
        found = places.like(self.pattern)
        return () if found is None else (found,)

    @abstractmethod
    def count(self, target: Path) -> int:
        """How many there are in what was made before.

        Raises:
            TableError: that is not all of them, or not what a study can read.
        """

    @abstractmethod
    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Make it, going on where an interruption left it; nothing is at `target` until all is.

        Args:
            found: what `find` found.
            target: the folder or file to write.
            say: called with lines that tell how far it is.

        Returns:
            How many there are.

        Raises:
            TableError: a download is damaged, or holds something else than it should.
        """


@dataclass(frozen=True, kw_only=True)
class Places:
    """What lies in the folder of downloads and in the folders in it, by name.

    Attributes:
        folder: the folder of downloads.
        of_name: files and folders by their name in lowercase; the topmost of each name.
    """

    folder: Path
    of_name: dict[str, Path]

    def like(self, pattern: str) -> Path | None:
        """The first, in the order of names, whose name fits a pattern in lowercase."""
        return next(
            (self.of_name[n] for n in sorted(self.of_name) if re.fullmatch(pattern, n)), None
        )


def look_into(folder: Path) -> Places:
    """List a folder and the folders in it; hidden ones are passed over."""
    shown = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    below = [path for parent in shown if parent.is_dir() for path in sorted(parent.iterdir())]
    of_name: dict[str, Path] = {}
    for path in shown + below:
        of_name.setdefault(path.name.lower(), path)
    return Places(folder=folder, of_name=of_name)
