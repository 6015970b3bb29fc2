"""Cropped pixels on disk, so that an image is decoded once however often it is trained on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from descscore.datasets.labelled_images import read_files
from descscore.errors import ImageError, RecipeError, WriteError
from descscore.inputs.decode import decoded
from descscore.writing import naming, replacing, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jaxtyping import UInt8

    from descscore.inputs.items import ImageInput
    from descscore.inputs.transform import ImageTransform

FORMAT = 1
AHEAD = 64
"""Images decoded at most before they are written."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Cropped images in a read-only file that is mapped into memory.

    Attributes:
        images: one per path, black where it failed.
        failed: position -> why the image there cannot be read.
    """

    images: UInt8[np.ndarray, "image row column 3"]
    failed: dict[int, str]


def open_pixels(
    paths: Sequence[Path], transform: ImageTransform, file: Path, *, workers: int, progress: bool
) -> Pixels:
    """Decode, resize and crop images into a file, or open the file that holds them already.

    It is used again as long as the paths, the files' sizes and times, and the cropping are the
    same; what it was made from stands beside it, under its name with ".json" added.

    Args:
        paths: the images.
        transform: resizing and cropping.
        file: an .npy file of images x height x width x 3 bytes.
        workers: threads that decode; 0 decodes in the caller's own.
        progress: whether to show a bar.

    Raises:
        RecipeError: there are no images.
        WriteError: there is no room for their pixels.
    """
    if not paths:
        raise RecipeError(f"there are no images to fill {file} with; see the recipe's sources")
    shape = (len(paths), *transform.crop, 3)
    digest = _digest(paths, transform)
    if (known := _known(file, digest, shape)) is not None:
        return known
    file.parent.mkdir(parents=True, exist_ok=True)
    # Of runs side by side one fills it, and the others wait.
    with naming(file), FileLock(file.with_name(f".{file.name}.lock")):
        if (known := _known(file, digest, shape)) is not None:
            return known
        with replacing(file, sole=True) as unfinished:
            _check_room(file, int(np.prod(shape)))
            _note(file).unlink(missing_ok=True)
            failed = _fill(paths, transform, unfinished, shape, workers=workers, progress=progress)
        # Last, so that an interrupted fill leaves nothing that passes for whole.
        write_whole(_note(file), json.dumps({"digest": digest, "failed": failed}))
        return Pixels(images=np.load(file, mmap_mode="r"), failed=failed)


def pixels_beside(file: Path, name: str) -> Path:
    """The file for the pixels of a test or validation set, beside that of the training images."""
    slug = re.sub(r"[^\w.-]+", "-", name)
    return file.with_name(f"{file.stem}-{slug}.npy")


def _known(file: Path, digest: str, shape: tuple[int, ...]) -> Pixels | None:
    """What the file holds, if it was made from the same images in the same way."""
    try:
        note: Any = json.loads(_note(file).read_bytes())
        images = cast("np.ndarray", np.load(file, mmap_mode="r", allow_pickle=False))
        failed = {int(row): str(reason) for row, reason in note["failed"].items()}
        same = note["digest"] == digest and images.shape == shape and images.dtype == np.uint8
    except (OSError, ValueError, EOFError, LookupError, TypeError, AttributeError):
        return None
    return Pixels(images=images, failed=failed) if same else None


def _fill(
    paths: Sequence[Path],
    transform: ImageTransform,
    file: Path,
    shape: tuple[int, ...],
    *,
    workers: int,
    progress: bool,
) -> dict[int, str]:
    """Write the file; position -> why, for images that cannot be read."""
    failed: dict[int, str] = {}
    black = np.zeros(shape[1:], np.uint8)
    results = decoded(image_inputs(paths), transform, workers=workers, ahead=AHEAD)
    # Written as a stream: on a disk that fills up, a mapped file would kill the process.
    with file.open("wb") as stream, closing(results):
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        bar = tqdm(results, "images", total=len(paths), unit="image", disable=not progress)
        for row, pixels in enumerate(bar):
            if isinstance(pixels, ImageError):
                failed[row] = str(pixels)
                pixels = black
            stream.write(pixels.tobytes())
    return failed


def image_inputs(paths: Sequence[Path]) -> Iterator[ImageInput | ImageError]:
    """Each path, or, if it leads into a zip file, the bytes there, or why they cannot be read."""
    inside: dict[Path, list[str]] = {}
    archives = [_archive(path) for path in paths]
    for path, archive in zip(paths, archives, strict=True):
        if archive is not None:
            inside.setdefault(archive, []).append(path.relative_to(archive).as_posix())
    contents = {archive: read_files(archive, names) for archive, names in inside.items()}
    for path, archive in zip(paths, archives, strict=True):
        yield path if archive is None else next(contents[archive])


def _archive(path: Path) -> Path | None:
    """The zip file that a path leads into."""
    if path.parent.is_dir():
        return None
    return next((parent for parent in path.parents if parent.is_file()), None)


def _digest(paths: Sequence[Path], transform: ImageTransform) -> str:
    """SHA-256 of all that the pixels depend on; normalising comes after them."""
    digest = hashlib.sha256(
        repr((FORMAT, transform.resize, transform.crop, int(transform.resample))).encode()
    )
    for path in paths:
        try:
            found = (_archive(path) or path).stat()
            version = (found.st_size, found.st_mtime_ns)
        except OSError:
            version = None
        digest.update(repr((os.fspath(path), version)).encode())
    return digest.hexdigest()


def _check_room(file: Path, needed: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if needed > free:
        raise WriteError(
            f"the pixels of the images need {needed / 1e9:.1f} GB, and {file.parent} has "
            f"{free / 1e9:.1f} GB free; free some space there, or keep them on another disk"
        )


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")
