"""Food-101, ImageNet and CIFAR-100 from the Hub's datasets, as folders of images per class."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from PIL import Image

from descscore.datasets.hub_images import read_hub_images
from descscore.datasets.image_folders import class_folders
from descscore.errors import TableError
from descscore.evaluate.class_names import places_of, read_class_names
from descscore_training.study.downloads.kind import Kind
from descscore_training.study.downloads.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class _ClassFolders(Kind):
    """A split of a dataset that the library `datasets` reads, byte for byte, a folder a class.

    Folders are named by the shipped class-name file of the same name as `path`, which gives every
    class a prompt of its own.

    Attributes:
        split: the split that is evaluated.
        image_column: the column of images.
        label_column: the column of classes.
        by_position: whether the dataset's classes are in the class-name file's order.
        images: how many there are.
    """

    unit = "images"
    split: ClassVar[str]
    image_column: ClassVar[str] = "image"
    label_column: ClassVar[str] = "label"
    by_position: ClassVar[bool] = False
    images: int

    def count(self, target: Path) -> int:
        """How many images the class folders hold.

        Raises:
            TableError: there are more or fewer than there should be, or folders are named by
                WordNet ids, which a prompt would hold.
        """
        found = class_folders(target)
        if not self.fits(len(found.names), self.images):
            raise TableError(
                f"{target} holds {len(found.names):,} images, not {self.images:,}; move it away, "
                "and repeat the command to make it again"
            )
        named = read_class_names(self.path)
        for label in sorted(set(found.labels)):
            place = named.keys.get(label)
            if place is not None and named.names[place] != label.replace("_", " "):
                raise TableError(
                    f"{target} calls a class {label!r}, which is no word for a prompt; name its "
                    f"folder {_folder_of(named.names[place])!r}, or move {target} away and repeat "
                    "the command"
                )
        return len(found.names)

    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Write each image to the folder of its class, named by its row.

        Raises:
            MissingExtraError: `datasets` is not installed.
            TableError: the dataset cannot be read, holds another number of images, or classes that
                the class-name file lacks.
        """
        (source,) = found
        dataset = read_hub_images(
            str(source),
            split=self.split,
            image_column=self.image_column,
            label_column=self.label_column,
            local_files_only=True,
        )
        if not self.fits(len(dataset.names), self.images):
            raise TableError(
                f"{source} holds {len(dataset.names):,} images with a class in the split "
                f"{self.split!r}, not {self.images:,}; download it again"
            )
        named = read_class_names(self.path)
        places = places_of(dataset.classes, named, by_position=self.by_position)
        staging = Staging(target, say, len(dataset.names))
        names = []
        for row, (label, image) in enumerate(zip(dataset.labels, dataset.read(), strict=True)):
            if not isinstance(image, bytes):
                raise TableError(f"row {row + 1} of {source} has no image; download it again")
            folder = _folder_of(named.names[places[label]])
            names.append(f"{folder}/{row:05}.{_format(image, row, source)}")
            staging.write(names[-1], image)
        return staging.finish(names, source)


@dataclass(frozen=True, kw_only=True)
class Food101(_ClassFolders):
    """Food-101's test images (Bossard et al. 2014), which the Hub calls its validation split."""

    path = pattern = "food101"
    files = "the validation split of ethz/food101 into a folder food101"
    split = "validation"
    images: int = 25_250


@dataclass(frozen=True, kw_only=True)
class ImageNet(_ClassFolders):
    """ILSVRC 2012's validation images (Russakovsky et al. 2015).

    The Hub calls classes by all their synonyms, in the order of their WordNet ids.
    """

    path = pattern = "imagenet"
    files = "the validation split of ILSVRC/imagenet-1k into a folder imagenet"
    split = "validation"
    by_position = True
    images: int = 50_000


@dataclass(frozen=True, kw_only=True)
class Cifar100(_ClassFolders):
    """CIFAR-100's test images (Krizhevsky 2009), by their fine label."""

    path = pattern = "cifar100"
    files = "the test split of uoft-cs/cifar100 into a folder cifar100"
    split = "test"
    image_column = "img"
    label_column = "fine_label"
    images: int = 10_000


def _folder_of(name: str) -> str:
    """The folder of a class; evaluations read its underscores as spaces."""
    return name.replace(" ", "_")


def _format(image: bytes, row: int, source: Path) -> str:
    try:
        with Image.open(io.BytesIO(image)) as opened:
            return str(opened.format).lower()
    except OSError:
        raise TableError(f"row {row + 1} of {source} is no image; download it again") from None
