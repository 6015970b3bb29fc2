"""CIFAR-100's test images (Krizhevsky 2009) from `cifar-100-binary.tar.gz`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from descscore.errors import TableError
from descscore.evaluate.class_names import read_class_names
from descscore_training.study.downloads.archives import entries
from descscore_training.study.downloads.kind import Kind, count_images, folder_of
from descscore_training.study.downloads.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore_training.study.downloads.archives import Entry
    from descscore_training.study.downloads.kind import Places

_SIDE = 32
# The coarse label, the fine label, and a plane each of red, green and blue, row by row.
_RECORD = 2 + 3 * _SIDE**2


@dataclass(frozen=True, kw_only=True)
class Cifar100(Kind):
    """The test images as PNG files, by their fine label, named by their place in the file.

    Only the binary archive is read: the other one holds pickles, which can run code.

    Attributes:
        images: how many there are.
    """

    path = "cifar100"
    unit = "images"
    files = "cifar-100-binary.tar.gz"
    images: int = 10_000

    def find(self, places: Places) -> tuple[Path, ...]:
        """The binary archive, or the folder unpacked from it.

        Raises:
            TableError: there is only the archive for Python.
        """
        found = places.named("cifar-100-binary.tar.gz", "cifar-100-binary.tar", "cifar-100-binary")
        if found is not None:
            return (found,)
        other = places.named("cifar-100-python.tar.gz", "cifar-100-python.tar", "cifar-100-python")
        if other is not None:
            raise TableError(
                f"{other} holds pickles, which can run code and are not loaded; download the "
                f"binary version, {self.files}, from the same page"
            )
        return ()

    def count(self, target: Path) -> int:
        """How many images there are.

        Raises:
            TableError: more or fewer than there should be.
        """
        return count_images(self, target, self.images, "cifar100")

    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Write each record of `test.bin` as a PNG file.

        Raises:
            TableError: the archive is damaged, or holds another number of images or other labels.
        """
        (source,) = found
        folders = [folder_of(name) for name in read_class_names("cifar100").names]
        staging = Staging(target, say, self.images)
        names: list[str] = []
        labels: list[str] | None = None
        for entry in entries(source):
            if entry.name.name == "fine_label_names.txt":
                labels = entry.read().decode("utf-8", "replace").split()
            elif entry.name.name == "test.bin":
                names = self._write_images(entry, folders, staging)
            if names and labels is not None:
                break
        if labels != folders:
            raise TableError(
                f"{source} has no fine_label_names.txt with CIFAR-100's hundred labels in their "
                "order; download it again"
            )
        if not names:
            raise TableError(f"{source} has no test.bin; download it again")
        return staging.finish(names, source)

    def _write_images(self, entry: Entry, folders: list[str], staging: Staging) -> list[str]:
        images, rest = divmod(entry.size, _RECORD)
        if rest or not self.fits(images, self.images):
            raise TableError(
                f"test.bin in {entry.archive} has {entry.size:,} bytes, which is {images:,} images "
                f"of {_RECORD:,} bytes and {rest:,} more, not {self.images:,}; download it again"
            )
        names = []
        with entry.open() as file:
            for place in range(images):
                record = np.frombuffer(file.read(_RECORD), np.uint8)
                if len(record) != _RECORD or record[1] >= len(folders):
                    raise TableError(
                        f"image {place} of test.bin in {entry.archive} is cut short or has no "
                        "label of CIFAR-100's; download it again"
                    )
                planes = record[2:].reshape(3, _SIDE, _SIDE)
                encoded = io.BytesIO()
                Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0))).save(
                    encoded, "PNG"
                )
                names.append(f"{folders[record[1]]}/{place:05}.png")
                staging.write(names[-1], encoded.getvalue())
        return names
