"""Food-101, ImageNet and CIFAR-100 from the Hub's datasets, as folders of images per class."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from descscore.datasets.hub_images import read_hub_images
from descscore.datasets.labelled_images import class_folders
from descscore.errors import TableError
from descscore.evaluate.class_names import places_of, read_class_names
from descscore.writing import write_whole
from descscore_training.study.downloads.kind import Kind

if TYPE_CHECKING:
    from pathlib import Path


def _kind(
    task: str,
    *,
    hub: str,
    split: str,
    amount: int,
    columns: tuple[str, str] = ("image", "label"),
    by_position: bool = False,
) -> Kind:
    """A split of a dataset that the library `datasets` reads, byte for byte, one folder per class.

    Folders are named by the shipped class-name file of the same name, which gives every class a
    prompt of its own.

    Args:
        task: the name of the folder and of the class-name file.
        hub: the dataset's name on the Hub.
        split: the split that is evaluated.
        amount: how many images it has.
        columns: of images and of classes.
        by_position: whether the dataset's classes are in the class-name file's order.
    """
    return Kind(
        path=task,
        unit="images",
        amount=amount,
        files=f"the {split} split of {hub} into a folder {task}",
        patterns=(task,),
        make=partial(_make, task=task, split=split, columns=columns, by_position=by_position),
        count=partial(_count, task=task),
    )


def _make(
    found: tuple[Path, ...],
    out: Path,
    *,
    task: str,
    split: str,
    columns: tuple[str, str],
    by_position: bool,
) -> None:
    """Write each image to the folder of its class, named by its row."""
    (source,) = found
    dataset = read_hub_images(
        str(source),
        split=split,
        image_column=columns[0],
        label_column=columns[1],
        local_files_only=True,
    )
    named = read_class_names(task)
    places = places_of(dataset.classes, named, by_position=by_position)
    for row, (label, image) in enumerate(zip(dataset.labels, dataset.read(), strict=True)):
        if not isinstance(image, bytes):
            raise TableError(f"row {row + 1} of {source} has no image; download it again")
        folder = out / _folder_of(named.names[places[label]])
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{row:05}.{_format(image, row, source)}", image)


def _count(folder: Path, *, task: str) -> int:
    """How many images the class folders hold, none named by its WordNet id, as a prompt would."""
    found = class_folders(folder)
    named = read_class_names(task)
    for label in found.classes:
        place = named.keys.get(label)
        if place is not None and named.names[place] != label.replace("_", " "):
            raise TableError(
                f"the class {label!r} is no word for a prompt; name its folder "
                f"{_folder_of(named.names[place])!r}"
            )
    return len(found.names)


def _folder_of(name: str) -> str:
    """The folder of a class; evaluations read its underscores as spaces."""
    return name.replace(" ", "_")


def _format(image: bytes, row: int, source: Path) -> str:
    try:
        with Image.open(io.BytesIO(image)) as opened:
            return str(opened.format).lower()
    except OSError:
        raise TableError(f"row {row + 1} of {source} is no image; download it again") from None


FOOD101 = _kind("food101", hub="ethz/food101", split="validation", amount=25_250)
"""Food-101's test images (Bossard et al. 2014), which the Hub calls its validation split."""

IMAGENET = _kind(
    "imagenet", hub="ILSVRC/imagenet-1k", split="validation", amount=50_000, by_position=True
)
"""ILSVRC 2012's validation images (Russakovsky et al. 2015).

The Hub calls classes by all their synonyms, in the order of their WordNet ids.
"""

CIFAR100 = _kind(
    "cifar100",
    hub="uoft-cs/cifar100",
    split="test",
    amount=10_000,
    columns=("img", "fine_label"),
)
"""CIFAR-100's test images (Krizhevsky 2009), by their fine label."""
