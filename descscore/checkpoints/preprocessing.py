"""A checkpoint's settings for images and texts -> transforms that do what transformers does."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from descscore.checkpoints.files import IMAGE_PROCESSOR, TOKENIZER, read_json
from descscore.errors import CheckpointError, ImageError
from descscore.inputs.transform import ImageTransform, TextTransform
from descscore.strings import quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROBE_SIZES = ((97, 23), (31, 60))
"""Width and height of odd pictures that show most differences between two ways to crop."""

_PROBE_TEXTS = ("A photo of two cats, it's café no. 2!", "an old clock")

_LONGEST_SIDE = 10_000
"""Pixels of a crop's side at most, far beyond any tower."""


def load_image_transform(folder: Path, *, processor: str) -> ImageTransform:
    """Read a checkpoint's image processor; it must give transformers' own pixels of two pictures.

    transformers' processor is the one on Pillow, which needs no torchvision and which published
    scores were computed with.

    Args:
        folder: with `preprocessor_config.json` or `processor_config.json`.
        processor: class in transformers for a file that names none.

    Raises:
        CheckpointError: the settings cannot be read, make no sense, or ask for steps that descscore
            does not take.
    """
    path, settings = _image_settings(folder)
    reader = _Settings(path, settings, _processor_class(path, settings, processor))
    transform = reader.transform()
    for size in PROBE_SIZES:
        if (problem := reader.difference(transform, noise(size))) is not None:
            raise reader.refused(reader.culprit(), problem)
    return transform


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


class _Settings:
    """An image processor's settings, as transformers completes them.

    Args:
        path: of the file that they come from.
        settings: as the file has them.
        kind: transformers' class.
    """

    def __init__(self, path: Path, settings: dict[str, Any], kind: Any) -> None:
        self.path = path
        self.settings = settings
        self.kind = kind
        try:
            self.processor: Any = kind.from_dict(settings)
        # transformers raises errors of any class.
        except Exception as error:
            raise CheckpointError(
                f"{path} cannot be read by transformers' {kind.__name__}: {error}"
            ) from error

    def refused(self, key: str | None, problem: str) -> CheckpointError:
        """The error for one setting."""
        if key is None:
            return CheckpointError(f"{self.path} has settings {problem}; correct them")
        value = self.settings.get(key, getattr(self.kind, key, None))
        return CheckpointError(f"{self.path} has {key} {quoted(value)}, {problem}; correct it")

    def culprit(self) -> str | None:
        """The key without which all would be well."""
        for key in self.settings:
            rest = {name: value for name, value in self.settings.items() if name != key}
            try:
                reader = _Settings(self.path, rest, self.kind)
                transform = reader.transform()
            except CheckpointError:
                continue
            if not any(reader.difference(transform, noise(size)) for size in PROBE_SIZES):
                return key
        return None

    def transform(self) -> ImageTransform:
        """The steps that the settings ask for."""
        if not self._switch("do_rescale"):
            raise self.refused(
                "do_rescale", "which leaves pixels unscaled; descscore divides by 255"
            )
        factor = self.processor.rescale_factor
        if not _is_number(factor) or not math.isclose(factor, 1 / 255, rel_tol=1e-5):
            raise self.refused("rescale_factor", "which is not 1/255")
        resize, longest = self._resize() if self._switch("do_resize") else (None, None)
        if self._switch("do_center_crop"):
            crop = self._sides("crop_size")
            if crop is None:
                raise self.refused("crop_size", "which has no height and width")
        elif isinstance(resize, tuple):
            crop = resize
        else:
            raise self.refused("do_center_crop", "which crops nothing to one size")
        if max(crop) > _LONGEST_SIDE:
            raise self.refused("crop_size", f"which is more than {_LONGEST_SIDE} pixels")
        resample = self.processor.resample if resize is not None else Image.Resampling.BICUBIC
        if not isinstance(resample, int) or resample not in set(Image.Resampling):
            raise self.refused("resample", "which is no number of a filter (3 is bicubic)")
        plain = not self._switch("do_normalize")
        return ImageTransform(
            resize=resize,
            longest=longest,
            crop=crop,
            resample=resample,
            mean=(0.0, 0.0, 0.0) if plain else self._channels("image_mean"),
            std=(1.0, 1.0, 1.0) if plain else self._channels("image_std"),
        )

    def difference(self, transform: ImageTransform, image: Image.Image) -> str | None:
        """How our pixels of a picture differ from transformers'; None if they do not."""
        name = f"transformers' {self.kind.__name__}"
        try:
            pixels = torch.from_numpy(transform.crop_pixels(image).copy())
        except ImageError as error:
            return f"with which a picture {error}"
        found = transform.normalise(pixels[None]).numpy()[0]
        try:
            expected = self.processor(image, return_tensors="np")["pixel_values"][0]
        except Exception as error:
            return f"with which {name} fails ({error})"
        if expected.shape != found.shape or not np.allclose(found, expected, rtol=0, atol=1e-5):
            return f"with which {name} does what descscore does not do"
        return None

    def _switch(self, key: str) -> bool:
        value = getattr(self.processor, key, None)
        if value is not None and not isinstance(value, bool):
            raise self.refused(key, "which is neither true nor false")
        return bool(value)

    def _resize(self) -> tuple[int | tuple[int, int], int | None]:
        """The shorter side, or both; and the longest that the longer side may become."""
        size = self.processor.size
        if (sides := self._sides("size")) is not None:
            return sides, None
        shortest, longest = size and size.shortest_edge, size and size.longest_edge
        for side in (shortest, longest):
            if side is not None and not _is_length(side):
                raise self.refused("size", "which has a side that is no number of pixels")
        if not shortest:
            raise self.refused("size", "which has neither height and width nor shortest_edge")
        return shortest, longest

    def _sides(self, key: str) -> tuple[int, int] | None:
        size = getattr(self.processor, key, None)
        sides: list[Any] = [getattr(size, side, None) for side in ("height", "width")]
        if sides == [None, None]:
            return None
        if not all(map(_is_length, sides)):
            raise self.refused(key, "which has a side that is no number of pixels")
        return sides[0], sides[1]

    def _channels(self, key: str) -> tuple[float, ...]:
        value: Any = getattr(self.processor, key, None)
        numbers: Any = (value,) * 3 if _is_number(value) else value
        if (
            not isinstance(numbers, list | tuple)
            or len(numbers) != 3
            or not all(map(_is_number, numbers))
        ):
            raise self.refused(key, "which is not one number, or one for each of 3 channels")
        if key == "image_std" and min(numbers) <= 0:
            raise self.refused(key, "which is not above zero")
        return tuple(map(float, numbers))


def _is_number(value: object) -> bool:
    # A comparison, since NaN fails it, and an integer of any length can be compared.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def noise(size: tuple[int, int]) -> Image.Image:
    """A random picture of a width and height, the same each time."""
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def load_text_transform(
    folder: Path, *, window: int, starts: bool = True, padded: bool = False
) -> TextTransform:
    """Read a checkpoint's tokenizer, and see that it marks where texts start and end.

    Args:
        folder: with its files.
        window: tokens of a text at most.
        starts: whether the model expects a start token.
        padded: whether it expects every text to be padded to the window.

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
        transform = TextTransform(tokenizer, window=window, starts=starts, padded=padded)
        encoded = tokenizer(list(_PROBE_TEXTS), return_attention_mask=False)
        probes: Any = encoded["input_ids"]
    # transformers raises errors of any class.
    except Exception as error:
        for name in TOKENIZER:  # names the file, where it is that which cannot be read
            if (folder / name).is_file():
                read_json(folder / name)
        raise CheckpointError(f"the tokenizer in {folder} cannot be read: {error}") from error
    read = _ids_of_the_file(folder / "tokenizer.json")
    differs = read is not None and read != probes
    note = (
        f" (its tokenizer.json and the class {type(tokenizer).__name__} that transformers loads "
        "give different tokens)"
        if differs
        else ""
    )
    marks = [(-1, transform.end, "end")]
    if starts:
        marks.insert(0, (0, transform.start, "start"))
    if padded and transform.padding is None:
        raise CheckpointError(f"the tokenizer in {folder} has no pad token; correct its pad_token")
    for place, token, name in marks:
        if token is None or any(ids[place] != token for ids in probes):
            raise CheckpointError(
                f"the tokenizer in {folder} puts no {name} token "
                f"({getattr(tokenizer, 'bos_token' if place == 0 else 'eos_token')!r}) at the "
                f"{name} of a text, and the model could not tell texts apart{note}; correct the "
                "post_processor in tokenizer.json"
            )
    if probes[0] == probes[1] or any(transform.controls & set(ids[starts:-1]) for ids in probes):
        raise CheckpointError(
            f"the tokenizer in {folder} reads {_PROBE_TEXTS[0]!r} as {probes[0]}, without a token "
            f"for what it says{note}; use the tokenizer that the model was trained with"
        )
    if differs:
        warnings.warn(
            f"the tokenizer.json in {folder} and the class {type(tokenizer).__name__} that "
            f"transformers loads give different tokens for {_PROBE_TEXTS[0]!r}: scores follow the "
            "class, other software may follow the file",
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
