"""A checkpoint's settings for images and texts -> transforms that do what transformers does."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from descscore.checkpoints.files import IMAGE_PROCESSOR, TOKENIZER, read_json
from descscore.errors import CheckpointError
from descscore.inputs.transform import ImageTransform, TextTransform
from descscore.strings import quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PROBE_SIZES = ((97, 23), (31, 60))
"""Width and height of odd pictures that show most differences between two ways to crop."""

_PROBE_TEXTS = ("A photo of two cats, it's café no. 2!", "an old clock")

_LARGEST = 1e9
"""Means and deviations are below it; with larger ones all pixels would become the same."""

_LONGEST_SIDE = 10_000
"""Pixels of a side at most, far beyond any tower."""


def load_image_transform(folder: Path, *, processor: str) -> ImageTransform:
    """Read a checkpoint's image processor; it must give transformers' own pixels of two pictures.

    transformers' processor is the one on Pillow, which needs no torchvision and which published
    scores were computed with.

    Args:
        folder: with `preprocessor_config.json` or `processor_config.json`.
        processor: class in transformers for a file that names none.

    Raises:
        CheckpointError: the settings cannot be read, make no sense, or ask for steps that descscore
            does not take; the message names the setting without which all would be well.
    """
    path, settings = _image_settings(folder)
    kind = _processor_class(path, settings, processor)
    transform = _transform(kind, settings)
    if isinstance(transform, ImageTransform):
        return transform
    for key, value in settings.items():
        rest = {name: other for name, other in settings.items() if name != key}
        if isinstance(_transform(kind, rest), ImageTransform):
            raise CheckpointError(f"{path} has {key} {quoted(value)}, {transform}; correct it")
    raise CheckpointError(f"{path} has settings {transform}; correct them")


def _image_settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file that transformers takes an image processor's settings from, and they."""
    single, whole = (folder / file for file in IMAGE_PROCESSOR)
    if whole.is_file():
        settings = read_json(whole).get("image_processor")
        if isinstance(settings, dict):
            return whole, settings
    if not single.is_file():
        raise CheckpointError(f"{folder} has no image processor: {single.name} is missing")
    return single, read_json(single)


def _processor_class(path: Path, settings: dict[str, Any], default: str) -> Any:
    import transformers

    name = settings.get("image_processor_type") or default
    found = getattr(transformers, f"{str(name).removesuffix('Fast')}Pil", None)
    if found is None:
        raise CheckpointError(
            f"{path} has image_processor_type {quoted(name)}, which transformers has no processor "
            "on Pillow for; correct it"
        )
    return found


def _transform(kind: Any, settings: dict[str, Any]) -> ImageTransform | str:
    """The steps that settings ask for, or what is wrong with them."""
    try:
        processor = kind.from_dict(settings)
        transform = _steps(processor)
    # transformers raises errors of any class.
    except Exception as error:
        why = f" ({error})" if isinstance(error, ValueError) else ""  # others name our code alone
        return f"which cannot be read{why}"

    def process(picture: Image.Image) -> Any:
        return processor(picture, return_tensors="np")["pixel_values"][0]

    return difference(transform, process, f"transformers' {kind.__name__}") or transform


def _steps(processor: Any) -> ImageTransform:
    """The steps of one of transformers' processors.

    Raises:
        ValueError, TypeError: they make no sense.
    """
    resizes, crops, normalises = (
        _switch(processor, key) for key in ("do_resize", "do_center_crop", "do_normalize")
    )
    resize, longest, filtering = None, None, Image.Resampling.BICUBIC
    if resizes:
        resize, longest = _resize(processor.size)
        filtering = Image.Resampling(processor.resample)
    crop = _rectangle(processor.crop_size) if crops else resize
    if not isinstance(crop, tuple):
        raise ValueError("it leaves pictures in different sizes")
    mean, std = (
        tuple(1.0 * part for part in ((value,) * 3 if isinstance(value, int | float) else value))
        for value in ((processor.image_mean, processor.image_std) if normalises else (0, 1))
    )
    # NaN fails both comparisons.
    if not (min(std) > 0 and max(map(abs, mean + std)) < _LARGEST):
        raise ValueError("means and deviations must be numbers, deviations above 0")
    return ImageTransform(
        resize=resize, longest=longest, crop=crop, resample=filtering, mean=mean, std=std
    )


def _switch(processor: Any, key: str) -> bool:
    value = getattr(processor, key, None)
    if value not in (None, True, False):
        raise ValueError(f"{key} is neither true nor false")
    return bool(value)


def _resize(size: Any) -> tuple[int | tuple[int, int], int | None]:
    """The shorter side, or both; and the longest that the longer side may become."""
    if size.height is not None or size.width is not None:
        return _rectangle(size), None
    return _side(size.shortest_edge), size.longest_edge and _side(size.longest_edge)


def _rectangle(size: Any) -> tuple[int, int]:
    return _side(size.height), _side(size.width)


def _side(value: object) -> int:
    if not isinstance(value, int) or not 0 < value <= _LONGEST_SIDE:
        raise ValueError(f"a side is {quoted(value)}, not 1 to {_LONGEST_SIDE} pixels")
    return value


def difference(
    transform: ImageTransform, process: Callable[[Image.Image], Any], name: str
) -> str | None:
    """How pixels of two odd pictures differ from those of another library; None if they do not.

    Args:
        transform: the steps that are meant to be the same.
        process: makes the other's pixels of a picture.
        name: what messages call the other.
    """
    for size in _PROBE_SIZES:
        picture = noise(size)
        try:
            pixels = torch.from_numpy(transform.crop_pixels(picture).copy())
            expected = np.asarray(process(picture))
        # Other libraries raise errors of any class.
        except Exception as error:
            return f"with which no picture can be prepared ({error})"
        found = transform.normalise(pixels[None])[0].numpy()
        if expected.shape != found.shape or not np.allclose(found, expected, rtol=0, atol=1e-5):
            return f"with which {name} makes other pixels than descscore"
    return None


def noise(size: tuple[int, int]) -> Image.Image:
    """A random picture of a width and height, the same each time."""
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def load_text_transform(folder: Path, *, window: int, padded: bool = False) -> TextTransform:
    """Read a checkpoint's tokenizer, and see that it marks where texts start and end.

    Args:
        folder: with its files.
        window: tokens of a text at most.
        padded: whether the model expects every text to be padded to the window, rather than begun
            with a start token.

    Raises:
        CheckpointError: the tokenizer is missing, cannot be read, or gives other tokens than CLIP's
            text tower needs.
    """
    from transformers import AutoTokenizer

    sources = (["tokenizer.json"], ["vocab.json", "merges.txt"], ["spiece.model"])
    if not any(all((folder / file).is_file() for file in files) for files in sources):
        # transformers would go on with an empty vocabulary.
        raise CheckpointError(f"{folder} has no tokenizer: tokenizer.json is missing")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        transform = TextTransform(tokenizer, window=window, padded=padded)
        encoded = tokenizer(list(_PROBE_TEXTS), return_attention_mask=False)
        probes: Any = encoded["input_ids"]
    # transformers raises errors of any class.
    except Exception as error:
        for name in TOKENIZER:  # names the file, where it is that which cannot be read
            if (folder / name).is_file():
                read_json(folder / name)
        raise CheckpointError(f"the tokenizer in {folder} cannot be read: {error}") from error
    read = _ids_of_the_file(folder / "tokenizer.json")
    kind, note = type(tokenizer).__name__, ""
    if read is not None and read != probes:
        note = f" (its tokenizer.json and the class {kind} of transformers give different tokens)"
    if padded and transform.padding is None:
        raise CheckpointError(f"the tokenizer in {folder} has no pad token; correct its pad_token")
    marks = [(0, transform.start, "start", tokenizer.bos_token)] * (not padded)
    for place, token, name, spelled in [*marks, (-1, transform.end, "end", tokenizer.eos_token)]:
        if token is None or any(ids[place] != token for ids in probes):
            raise CheckpointError(
                f"the tokenizer in {folder} puts no {name} token ({spelled!r}) at the {name} of a "
                f"text, and the model could not tell texts apart{note}; correct the "
                "post_processor in tokenizer.json"
            )
    inner = {token for ids in probes for token in ids[not padded : -1]}
    if probes[0] == probes[1] or transform.controls & inner:
        raise CheckpointError(
            f"the tokenizer in {folder} reads {_PROBE_TEXTS[0]!r} as {probes[0]}, without a token "
            f"for what it says{note}; use the tokenizer that the model was trained with"
        )
    if note:
        warnings.warn(
            f"scores follow the tokenizer in {folder} as transformers loads it{note}; other "
            "software may follow the file",
            stacklevel=2,
        )
    return transform


def _ids_of_the_file(path: Path) -> list[list[int]] | None:
    """Tokens of the probes by tokenizer.json alone; None if there is none that can be read."""
    from tokenizers import Tokenizer

    if not path.is_file():
        return None
    load: Callable[[str], Any] = Tokenizer.from_file
    try:
        tokenizer = load(str(path))
    except Exception:
        return None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [tokenizer.encode(text).ids for text in _PROBE_TEXTS]
