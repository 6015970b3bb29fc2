"""ILSVRC 2012's validation images (Russakovsky et al. 2015) from the archives of image-net.org."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from descscore.errors import TableError
from descscore.evaluate.class_names import read_class_names
from descscore_training.study.downloads.archives import entries
from descscore_training.study.downloads.kind import Kind, count_images, folder_of
from descscore_training.study.downloads.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore_training.study.downloads.kind import Places

_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"


@dataclass(frozen=True, kw_only=True)
class ImageNet(Kind):
    """The validation images, a folder a class, named by the shipped class-name file.

    The development kit gives each image's class as a number, and each number's WordNet id. The
    class-name file gives the 1,000 ids 1,000 names, and tells apart what WordNet calls the same.

    Attributes:
        images: how many there are.
    """

    path = "imagenet"
    unit = "images"
    files = "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz"
    images: int = 50_000

    def find(self, places: Places) -> tuple[Path, ...]:
        """The images' archive and the development kit, or the folders unpacked from them.

        Raises:
            TableError: one is there without the other.
        """
        images = places.named("ILSVRC2012_img_val.tar", "ILSVRC2012_img_val")
        kit = places.named(
            "ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_devkit_t12.tar", "ILSVRC2012_devkit_t12"
        )
        if images is None and kit is None:
            return ()
        if images is None or kit is None:
            there, lacking = (
                (kit, "ILSVRC2012_img_val.tar, with the images")
                if images is None
                else (images, "ILSVRC2012_devkit_t12.tar.gz, with the images' classes")
            )
            raise TableError(f"{there} is there, but not {lacking}; download both")
        return images, kit

    def count(self, target: Path) -> int:
        """How many images there are.

        Raises:
            TableError: more or fewer than there should be, or in folders named by WordNet ids.
        """
        return count_images(self, target, self.images, "imagenet")

    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Sort the images into their classes' folders, byte for byte.

        Raises:
            TableError: an archive is damaged, images lack, or there is no class for each.
        """
        source, kit = found
        folders = self._folders(kit)
        staging = Staging(target, say, len(folders))
        wanted = {
            f"{folder}/ILSVRC2012_val_{number:08}.JPEG" for number, folder in enumerate(folders, 1)
        }
        left = set(wanted)
        for entry in entries(source):
            match = _IMAGE.fullmatch(entry.name.name)
            if match is None:
                continue
            number = int(match[1])
            if not 1 <= number <= len(folders):
                raise TableError(
                    f"{source} holds {entry.name}, but {kit} gives classes to {len(folders):,} "
                    "images; download both again"
                )
            name = f"{folders[number - 1]}/{match[0]}"
            staging.add(name, entry)
            left.discard(name)
            if not left:
                break
        return staging.finish(wanted - left if self.reduced else wanted, source)

    def _folders(self, kit: Path) -> list[str]:
        """Each image's folder, in the order of their numbers."""
        contents: dict[str, bytes] = {}
        for entry in entries(kit):
            if entry.name.name in (_TRUTH, _META):
                contents[entry.name.name] = entry.read()
        for name in (_TRUTH, _META):
            if name not in contents:
                raise TableError(f"{kit} has no data/{name}; download it again")
        lines = contents[_TRUTH].split()
        if not self.fits(len(lines), self.images):
            raise TableError(
                f"{_TRUTH} in {kit} gives the classes of {len(lines):,} images, not "
                f"{self.images:,}; download it again"
            )
        ids = _ids(contents[_META], kit)
        named = read_class_names("imagenet")
        folder_of_line = {
            line: folder_of(named.names[named.keys[ids[line]]])
            for line in set(lines)
            if ids.get(line) in named.keys
        }
        for line in lines:
            if line not in folder_of_line:
                raise TableError(
                    f"{_TRUTH} in {kit} has the class {line.decode('ascii', 'replace')!r}, which "
                    "is none of the 1,000 of ILSVRC 2012; download it again"
                )
        return [folder_of_line[line] for line in lines]


def _ids(content: bytes, kit: Path) -> dict[bytes, str]:
    """The WordNet id of each class's number, which is as the list of classes writes it."""
    try:
        synsets = loadmat(io.BytesIO(content), squeeze_me=True, variable_names=["synsets"])[
            "synsets"
        ]
        numbers, ids = synsets["ILSVRC2012_ID"], synsets["WNID"]
        return {b"%d" % int(n): str(wnid) for n, wnid in zip(numbers, ids, strict=True)}
    except (
        MatReadError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        NotImplementedError,
    ) as error:
        raise TableError(f"{_META} in {kit} cannot be read ({error}); download it again") from error
