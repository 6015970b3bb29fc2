"""Any accepted image -> an RGB PIL image, or an ImageError that says what to do.

One by one, or as a stream beside encoding, in threads.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from descscore.errors import ImageError, ImageNotFoundError
from descscore.inputs.items import is_address
from descscore.strings import closest, loose_form, quoted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from concurrent.futures import Future

    from jaxtyping import Bool, UInt8
    from torch import Tensor

    from descscore.inputs.items import ImageInput
    from descscore.inputs.transform import ImageTransform

_DRAWINGS = {"EPS", "WMF"}
_PIXELS_REFUSED = re.compile(r"\((\d+) pixels\)")
"""In what Pillow says of an image too large for it to open."""

_LARGEST_FILE = 2**29
"""Bytes of an image file at most, which bounds what any of Pillow's readers takes in at once."""

_BESIDE = 1e-3

_OF_SAMPLES = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
"""How Pillow scales samples of PNG that it stores in another depth, but not their clear colour."""


def decode(image: ImageInput, draft: int | None = None) -> Image.Image:
    """Read an image as RGB: first frame, EXIF orientation applied, transparency on white.

    Greyscale of 16 or 32 bits is scaled to 8 bits, where PIL alone would clip it to white.

    Args:
        image: in any form.
        draft: let JPEG's decoder shrink a file, by 2, 4 or 8, to no less than this many pixels a
            side, which takes a third of the time for a large photo and changes pixels slightly.

    Raises:
        ImageError: the image cannot be read; the message begins with what was given and fits after
            "image 3".
    """
    if isinstance(image, str | os.PathLike):
        return _from_path(os.fspath(image), draft)
    if isinstance(image, bytes | bytearray | memoryview):
        return _from_bytes(bytes(image), draft)
    if isinstance(image, Mapping) and image.keys() & {"bytes", "path"}:
        return _from_record(image, draft)
    if hasattr(image, "read"):
        return _from_file_object(image, draft)
    if isinstance(image, Image.Image):
        return _to_rgb(image, f"(a PIL image of mode {image.mode})")
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, torch.Tensor):
        return _from_tensor(image)
    raise ImageError(
        f"is a {type(image).__name__}; give a path, encoded bytes, an open file, a PIL image, a "
        "uint8 array (H, W, 3) or a tensor (3, H, W)"
    )


def _from_path(path: str | bytes, draft: int | None) -> Image.Image:
    path = os.fsdecode(path)
    what = f"({quoted(path)})"
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise ImageError(f"{what} is a device or a pipe; give the path of an image file")
        _check_size(found.st_size, what)
        with open(path, "rb") as file:
            return _from_encoded(file, what, draft)
    except ImageError:
        raise
    except IsADirectoryError:
        raise ImageError(f"{what} is a folder; give the path of one image") from None
    except (OSError, ValueError) as error:
        if is_address(path):
            raise ImageError(
                f"{what} is a URL; descscore reads local files only: save the image and give "
                "its path"
            ) from None
        if isinstance(error, FileNotFoundError):
            raise ImageNotFoundError(f"{what} does not exist; {_remedy(path)}") from None
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{what} cannot be read: {reason}") from None


def _remedy(path: str) -> str:
    """What to do about a path that leads nowhere: the name beside it that was meant, if any."""
    folder, name = os.path.split(os.path.abspath(path))
    while folder != os.path.dirname(folder) and not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    try:
        names = _names_in(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        names = {}
    near = closest(name, names.get(loose_form(name), []))
    return f"in {quoted(folder)}, {near}" if near else "check the path"


@lru_cache(maxsize=4)
def _names_in(folder: str, _changed: int) -> dict[str, list[str]]:
    """Names by their loose form; a table may name thousands of files that are not there."""
    names: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        names.setdefault(loose_form(name), []).append(name)
    return names


def _from_bytes(content: bytes, draft: int | None) -> Image.Image:
    return _from_encoded(io.BytesIO(content), f"({len(content)} bytes)", draft)


def _from_record(image: Mapping[str, Any], draft: int | None) -> Image.Image:
    """An undecoded image of `datasets`: its bytes, or else its path."""
    content, path = image.get("bytes"), image.get("path")
    if isinstance(content, bytes | bytearray | memoryview):
        return _from_bytes(bytes(content), draft)
    if content is None and isinstance(path, str | os.PathLike):
        return _from_path(os.fspath(path), draft)
    raise ImageError(
        f"is a dict with bytes {quoted(content, 60)} and path {quoted(path, 60)}; give encoded "
        "bytes or a path"
    )


def _from_file_object(file: Any, draft: int | None) -> Image.Image:
    what = f"(an open {type(file).__name__})"
    try:
        if isinstance(file.read(0), str):
            raise ImageError(f"{what} is open as text; open it with mode 'rb'")
        if not file.seekable():
            content = file.read(_LARGEST_FILE + 1)
            _check_size(len(content), what)
            file = io.BytesIO(content)
        else:
            _check_size(file.seek(0, os.SEEK_END), what)
            file.seek(0)
    except ImageError:
        raise
    # Whatever has a method `read` may raise anything.
    except Exception as error:
        raise ImageError(f"{what} cannot be read: {error}; give its path or bytes") from None
    return _from_encoded(file, what, draft)


def _check_size(size: int, what: str) -> None:
    if size > _LARGEST_FILE:
        raise ImageError(
            f"{what} has {size:,} bytes, over the limit of {_LARGEST_FILE:,}; shrink it"
        )


def _from_encoded(file: IO[bytes], what: str, draft: int | None) -> Image.Image:
    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        if not file.seek(0, os.SEEK_END):
            raise ImageError(f"{what} is empty (0 bytes); replace the file") from None
        raise ImageError(
            f"{what} is not in an image format that Pillow reads; convert it to PNG"
        ) from None
    except Exception as error:
        raise _unreadable(what, error) from None
    with image:
        if image.format in _DRAWINGS:
            # Pillow hands some of these to other programs, which strangers' files should not reach.
            raise ImageError(f"{what} is a drawing in {image.format}; export it as PNG")
        return _to_rgb(image, what, draft)


def _to_rgb(image: Image.Image, what: str, draft: int | None = None) -> Image.Image:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise _too_large(f"{what} has {image.width} x {image.height} pixels and")
    if not image.width or not image.height:
        raise ImageError(f"{what} has {image.width} x {image.height} pixels; give one with content")
    try:
        if draft is not None:
            image.draft("RGB", (draft, draft))
        # Known until the pixels are loaded.
        tiles = getattr(image, "tile", None)
        stored = tiles[0].args if tiles else None
        image.load()
        image = _upright(image)
        clear = _clear_pixels(image, _OF_SAMPLES.get(stored, 1) if isinstance(stored, str) else 1)
        if image.mode.startswith("I") or image.mode == "F":
            image = _from_deep_grey(image, what)
        elif clear is None and image.has_transparency_data:
            image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image).convert("RGB")
        if image.mode != "RGB":
            image = image.convert("RGB")
        if clear is None:
            return image
        pixels = np.array(image)
        pixels[clear] = 255
        return Image.fromarray(pixels)
    except ImageError:
        raise
    except Exception as error:
        raise _unreadable(what, error) from None


def _clear_pixels(image: Image.Image, factor: float) -> Bool[np.ndarray, "row column"] | None:
    """Which pixels have the one colour that PNG's tRNS makes transparent; None without one.

    Pillow compares the colour as it is in the file with pixels that it has scaled.

    Args:
        image: once its pixels are loaded.
        factor: by which Pillow scaled samples.
    """
    colour = image.info.get("transparency")
    if isinstance(colour, int) and image.mode in {"1", "L", "I;16"}:
        return np.asarray(image) == (bool(colour) if image.mode == "1" else int(colour * factor))
    if isinstance(colour, tuple) and len(colour) == 3 and image.mode == "RGB":
        return (np.asarray(image) == [int(sample * factor) for sample in colour]).all(2)
    return None


def _upright(image: Image.Image) -> Image.Image:
    try:
        # Most images need no turning, and a copy of each would cost a tenth of its decoding.
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _from_deep_grey(image: Image.Image, what: str) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"{what} contains NaN or infinite pixels; repair or remove them")
    low, high = values.min(), values.max()
    for top in (1, 255, 65535) if image.mode == "F" else (255, 65535):
        if low >= 0 and high <= top:
            # Sixteen-bit files stay sixteen-bit however dark they are.
            top = 65535 if image.mode.startswith("I;16") else top
            grey = np.rint(values * (255 / top)).astype(np.uint8)
            return Image.fromarray(grey).convert("RGB")
    raise ImageError(
        f"{what} has values from {low:g} to {high:g}; scale them to 0..255 and convert to mode L"
    )


def _from_array(array: np.ndarray) -> Image.Image:
    what = f"(an array of shape {array.shape}, {array.dtype})"
    if array.dtype != np.uint8:
        raise ImageError(
            f"{what} is not uint8; give values 0..255 as uint8, or a float tensor in [0, 1]"
        )
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {3, 4})):
        raise ImageError(f"{what} must have shape (H, W, 3); transpose or reshape it")
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), what)


def _from_tensor(tensor: Tensor) -> Image.Image:
    what = f"(a tensor of shape {tuple(tensor.shape)}, {str(tensor.dtype).removeprefix('torch.')})"
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.numel():
        raise ImageError(f"{what} must have shape (3, H, W); permute or reshape it")
    if tensor.is_meta or tensor.layout is not torch.strided:
        raise ImageError(f"{what} is sparse or has no content; give a dense tensor")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not torch.isfinite(tensor).all():
            raise ImageError(f"{what} contains NaN or infinite pixels; repair or remove them")
        low, high = tensor.min().item(), tensor.max().item()
        # Resizing and the like leave values a rounding error outside.
        if low < -_BESIDE or high > 1 + _BESIDE:
            raise ImageError(
                f"{what} has values from {low:g} to {high:g}; give floats in [0, 1], not "
                "normalised, or uint8"
            )
        tensor = (tensor.clamp(0, 1) * 255).round().to(torch.uint8)
    elif tensor.dtype != torch.uint8:
        raise ImageError(f"{what} is neither uint8 nor float; convert it to one of them")
    return Image.fromarray(np.ascontiguousarray(tensor.permute(1, 2, 0).numpy()))


def _unreadable(what: str, error: Exception) -> ImageError:
    """What to say of an error of Pillow's, whose many decoders raise errors of any class."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        pixels = _PIXELS_REFUSED.search(str(error))
        return _too_large(f"{what} has {int(pixels[1]):,} pixels and" if pixels else what)
    return ImageError(f"{what} is damaged, truncated or closed ({error}); replace it")


def _too_large(what: str) -> ImageError:
    return ImageError(
        f"{what} is over the limit of {Image.MAX_IMAGE_PIXELS:,} pixels that guards against "
        "decompression bombs; shrink it, or, from Python, raise PIL.Image.MAX_IMAGE_PIXELS if you "
        "trust it"
    )


def default_workers() -> int:
    """Threads for decoding: one per core, at most eight, beyond which a GPU is the bottleneck."""
    return min(
        8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def decoded(
    images: Iterable[ImageInput | ImageError],
    transform: ImageTransform,
    *,
    workers: int,
    ahead: int,
) -> Generator[UInt8[np.ndarray, "row column 3"] | ImageError]:
    """Decode, resize and crop images in threads while the caller uses those that are done.

    Pillow releases the interpreter's lock while it decodes and resizes.

    Args:
        images: what to decode; an error is passed on.
        transform: resizing and cropping.
        workers: threads; 0 decodes in the caller's own.
        ahead: images decoded at most before they are asked for, which bounds memory.

    Yields:
        For each image in order, its cropped pixels, or why it cannot be read.
    """
    read = decode if transform.draft is None else partial(decode, draft=transform.draft)

    def crop(image: ImageInput | ImageError) -> UInt8[np.ndarray, "row column 3"] | ImageError:
        if isinstance(image, ImageError):
            return image
        try:
            return transform.crop_pixels(read(image))
        except ImageError as error:
            return error

    if not workers:
        yield from map(crop, images)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="descscore-decode") as pool:
        waiting: deque[Future[UInt8[np.ndarray, "row column 3"] | ImageError]] = deque()
        try:
            for image in images:
                waiting.append(pool.submit(crop, image))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
