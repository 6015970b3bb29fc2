"""Food-101's test images (Bossard et al. 2014) from `food-101.tar.gz`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.evaluate.class_names import read_class_names
from descscore_training.study.downloads.archives import entries
from descscore_training.study.downloads.kind import Kind, count_images
from descscore_training.study.downloads.staging import Staging, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore_training.study.downloads.kind import Places

_LIST = ("meta", "test.txt")


@dataclass(frozen=True, kw_only=True)
class Food101(Kind):
    """The images that `meta/test.txt` lists, 250 a class.

    The list may stand behind the images in the archive, which is then read twice.

    Attributes:
        images: how many are listed.
    """

    path = "food101"
    unit = "images"
    files = "food-101.tar.gz"
    images: int = 25_250

    def find(self, places: Places) -> tuple[Path, ...]:
        """The archive, or the folder `food-101` unpacked from it."""
        found = places.named("food-101.tar.gz", "food-101.tgz", "food-101.tar", "food-101")
        return () if found is None else (found,)

    def count(self, target: Path) -> int:
        """How many images there are.

        Raises:
            TableError: more or fewer than there should be.
        """
        return count_images(self, target, self.images, "food101")

    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Take the listed images out of the archive.

        Raises:
            TableError: the archive is damaged, lacks images, or lists others than it should.
        """
        (source,) = found
        wanted = self._listed(source)
        staging = Staging(target, say, len(wanted))
        left = set(wanted)
        for entry in entries(source):
            name = "/".join(entry.name.parts[-2:])
            if name in left and entry.name.parts[-3:-2] == ("images",):
                staging.add(name, entry)
                left.remove(name)
                if not left:
                    break
        return staging.finish(set(wanted) - left if self.reduced else wanted, source)

    def _listed(self, source: Path) -> list[str]:
        """The test images, as CLASS/NUMBER.jpg."""
        for entry in entries(source):
            if entry.ends_with(*_LIST):
                lines = entry.read().decode("utf-8", "replace").split()
                break
        else:
            raise TableError(f"{source} has no {'/'.join(_LIST)}; is it all of Food-101?")
        if not self.fits(len(set(lines)), self.images):
            raise TableError(
                f"{'/'.join(_LIST)} in {source} lists {len(set(lines)):,} images, not "
                f"{self.images:,}; download it again"
            )
        known = read_class_names("food101").keys
        for line in lines:
            label, _, number = line.partition("/")
            if label not in known or not is_plain(f"{number}.jpg"):
                raise TableError(
                    f"{'/'.join(_LIST)} in {source} lists {line!r}, which is no image of a class "
                    "of Food-101; download it again"
                )
        return [f"{line}.jpg" for line in lines]
