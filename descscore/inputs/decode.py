"""Any accepted image -> an RGB PIL image, or an ImageError that says what to do."""

from __future__ import annotations

import io
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from descscore.errors import ImageError, ImageNotFoundError
from descscore.inputs.pairs import is_address

if TYPE_CHECKING:
    from torch import Tensor

    from descscore.inputs.pairs import ImageInput

_DRAWINGS = {"EPS", "WMF"}
_PIXELS_REFUSED = re.compile(r"\((\d+) pixels\)")
"""In what Pillow says of an image too large for it to open."""

_BESIDE = 1e-3


def decode(image: ImageInput) -> Image.Image:
    """Read an image as RGB: first frame, EXIF orientation applied, transparency on white.

    Greyscale of 16 or 32 bits is scaled to 8 bits, where PIL alone would clip it to white.

    Raises:
        ImageError: the image cannot be read; the message begins with what was given and fits after
            "image 3".
    """
    if isinstance(image, str | os.PathLike):
        return _from_path(os.fspath(image))
    if isinstance(image, bytes | bytearray):
        return _from_encoded(bytes(image), f"({len(image)} bytes)")
    if isinstance(image, Image.Image):
        return _to_rgb(image, f"(a PIL image of mode {image.mode})")
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, torch.Tensor):
        return _from_tensor(image)
    raise ImageError(
        f"is a {type(image).__name__}; give a path, encoded bytes, a PIL image, a uint8 array (H, "
        "W, 3) or a tensor (3, H, W)"
    )


def _from_path(path: str | bytes) -> Image.Image:
    path = os.fsdecode(path)
    what = f"({path!r})"
    if is_address(path):
        raise ImageError(
            f"{what} is an address; descscore downloads nothing: save the image, give its path"
        )
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ImageError(f"{what} is a device or a pipe; give the path of an image file")
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageNotFoundError(f"{what} does not exist; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{what} is a folder; give the path of one image") from None
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{what} cannot be read: {reason}") from None
    return _from_encoded(content, what)


def _from_encoded(content: bytes, what: str) -> Image.Image:
    if not content:
        raise ImageError(f"{what} is empty (0 bytes); replace the file")
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ImageError(
            f"{what} is in no image format that Pillow reads; convert it to PNG"
        ) from None
    except Exception as error:
        raise _unreadable(what, error) from None
    with image:
        if image.format in _DRAWINGS:
            # Pillow hands some of these to other programs, which strangers' files should not reach.
            raise ImageError(f"{what} is a drawing in {image.format}; export it as PNG")
        return _to_rgb(image, what)


def _to_rgb(image: Image.Image, what: str) -> Image.Image:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise _too_large(f"{what} has {image.width} x {image.height} pixels and")
    if not image.width or not image.height:
        raise ImageError(f"{what} has {image.width} x {image.height} pixels; give one with content")
    try:
        image.load()
        image = _upright(image)
        if image.mode.startswith("I") or image.mode == "F":
            return _from_deep_grey(image, what)
        if image.has_transparency_data:
            image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image).convert("RGB")
        return image if image.mode == "RGB" else image.convert("RGB")
    except ImageError:
        raise
    except Exception as error:
        raise _unreadable(what, error) from None


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
        raise ImageError(f"{what} holds NaN or infinite pixels; repair or remove them")
    low, high = values.min(), values.max()
    for top in (1, 255, 65535) if image.mode == "F" else (255, 65535):
        if low >= 0 and high <= top:
            # Sixteen-bit files stay sixteen-bit however dark they are.
            top = 65535 if image.mode.startswith("I;16") else top
            grey = np.rint(values * (255 / top)).astype(np.uint8)
            return Image.fromarray(grey).convert("RGB")
    raise ImageError(
        f"{what} holds values from {low:g} to {high:g}; scale them to 0..255 and convert to mode L"
    )


def _from_array(array: np.ndarray) -> Image.Image:
    what = f"(an array of shape {array.shape}, {array.dtype})"
    if array.dtype != np.uint8:
        raise ImageError(
            f"{what} is not uint8; give values 0..255 as uint8, or a float tensor in [0, 1]"
        )
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {3, 4})):
        raise ImageError(f"{what} has not the shape (H, W, 3); transpose or reshape it")
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), what)


def _from_tensor(tensor: Tensor) -> Image.Image:
    what = f"(a tensor of shape {tuple(tensor.shape)}, {str(tensor.dtype).removeprefix('torch.')})"
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.numel():
        raise ImageError(f"{what} has not the shape (3, H, W); permute or reshape it")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not torch.isfinite(tensor).all():
            raise ImageError(f"{what} holds NaN or infinite pixels; repair or remove them")
        low, high = tensor.min().item(), tensor.max().item()
        # Resizing and the like leave values a rounding error outside.
        if low < -_BESIDE or high > 1 + _BESIDE:
            raise ImageError(
                f"{what} holds values from {low:g} to {high:g}; give floats in [0, 1], not "
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
