"""Labelled images of a dataset on the Hub, or saved on disk, by the library `datasets`."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from descscore.datasets.failures import Failure
from descscore.datasets.labelled_images import LabelledImages
from descscore.errors import ImageError, TableError
from descscore.extras import imports_of
from descscore.tables.table import lacks_column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from descscore.inputs.items import ImageInput

_SAVED = ("dataset_dict.json", "state.json")
_OFFLINE_IN = ("datasets.config", "huggingface_hub.constants")


def read_hub_images(
    name: str,
    *,
    split: str = "test",
    image_column: str = "image",
    label_column: str = "label",
    config: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> LabelledImages:
    """List the images of a dataset; its label column gives the class names.

    Args:
        name: a Hub id such as "ethz/food101", or a folder that `datasets` can load or has saved.
        split: name of the split.
        image_column: the column of images.
        label_column: the column of classes: numbers that have names, or strings.
        config: name of the configuration.
        revision: branch, tag or commit on the Hub.
        token: access token for private datasets.
        local_files_only: read the local cache only.

    Raises:
        MissingExtraError: `datasets` is not installed.
        TableError: there is no such dataset, split or column, or it has no labelled image.
    """
    with imports_of("datasets"):
        from datasets import ClassLabel, Image, load_dataset

    if any(os.path.isfile(os.path.join(name, file)) for file in _SAVED):
        loaded = _saved(name, split)
    else:
        with _naming(name, split), _offline(local_files_only):
            loaded: Any = load_dataset(name, config, split=split, revision=revision, token=token)
    for column, option in ((image_column, "`image_column`"), (label_column, "`label_column`")):
        if column not in loaded.features:
            raise lacks_column(name, column, loaded.features, f"name the right one with {option}")
    if not isinstance(loaded.features[image_column], Image):
        raise TableError(
            f"column {image_column!r} of {name} holds {loaded.features[image_column]}, not images"
        )
    kind = loaded.features[label_column]
    known = list(kind.names) if isinstance(kind, ClassLabel) else None
    encoded = loaded.cast_column(image_column, Image(decode=False))
    rows, labels, failed = [], [], []
    for row, value in enumerate(loaded[label_column]):
        # A test split without labels has -1 throughout.
        if value is None or (known is not None and not 0 <= value < len(known)):
            failed.append(Failure(item=f"row {row + 1}", error=f"has no class ({value})"))
        else:
            rows.append(row)
            labels.append(str(value) if known is None else known[value])
    if not rows:
        raise TableError(f"no row of {name}, split {split!r}, has a class; choose another `split`")

    def read() -> Iterator[ImageInput | ImageError]:
        for row in rows:
            yield _image(encoded[row][image_column])

    return LabelledImages(
        source=f"{name} ({split})",
        names=[f"row {row + 1}" for row in rows],
        labels=labels,
        classes=sorted(set(labels)) if known is None else known,
        failed=failed,
        read=read,
    )


def _saved(name: str, split: str) -> Any:
    """A dataset that was saved on disk, or its split."""
    from datasets import DatasetDict, load_from_disk

    with _naming(name, split):
        found = load_from_disk(name)
    if not isinstance(found, DatasetDict):
        return found
    if split not in found:
        raise TableError(f"{name} has no split {split!r}, only {', '.join(map(str, found))}")
    return found[split]


@contextmanager
def _naming(name: str, split: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise TableError(f"dataset {name!r}, split {split!r}, cannot be loaded: {error}") from None


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Make `datasets`, which has no option for it, ask its cache only."""
    modules: list[Any] = [import_module(name) for name in _OFFLINE_IN]
    before = [module.HF_HUB_OFFLINE for module in modules]
    try:
        for module in modules:
            module.HF_HUB_OFFLINE = wanted or module.HF_HUB_OFFLINE
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


def _image(value: Any) -> ImageInput | ImageError:
    if value is None:
        return ImageError("is missing")
    return value["bytes"] if value.get("bytes") is not None else value["path"]
