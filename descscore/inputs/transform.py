"""PIL image -> pixels; text -> token ids (end token kept, truncation flagged)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from PIL import Image

from descscore.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

# The space after a mark and its closing quotes, unless a small letter goes on; or, where sentences
# are not spaced, after an ideographic full stop, exclamation or question mark.
_SENTENCE_END = re.compile(
    r"""(?<=[.!?\u2026]) (?=[^a-z])|(?<=[.!?\u2026]["')\]\u201d\u2019]) (?=[^a-z])"""
    r"""|(?<=[\u3002\uff01\uff1f]) ?"""
)


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """Resize, crop the centre, scale to [0, 1], normalise (Radford et al. 2021).

    Gives the pixels of transformers' `CLIPImageProcessorPil`, without its copies between PIL and
    numpy.

    Attributes:
        resize: length of the shorter side after resizing, or (height, width), in pixels; None keeps
            it.
        longest: length that the longer side may have after resizing; then the shorter gives way.
        crop: (height, width) of the centre crop, in pixels; black fills what the image lacks.
        rounded: whether a crop that cannot be central is put where rounding does, as torchvision
            has it, rather than above and left of the centre.
        resample: PIL's resampling filter.
        mean: per channel, subtracted after scaling to [0, 1].
        std: per channel, divided by last.
        jpeg_draft: let JPEG's decoder shrink large files, to twice the size at least.
    """

    resize: int | tuple[int, int] | None
    longest: int | None = None
    crop: tuple[int, int]
    rounded: bool = False
    resample: int = Image.Resampling.BICUBIC
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD
    jpeg_draft: bool = False

    @property
    def draft(self) -> int | None:
        """Pixels a side that a JPEG must keep when it is decoded; None decodes it whole."""
        if not self.jpeg_draft or self.resize is None:
            return None
        return 2 * (self.resize if isinstance(self.resize, int) else max(self.resize))

    def crop_pixels(self, image: Image.Image) -> UInt8[np.ndarray, "row column 3"]:
        """Resize and crop an RGB image.

        Raises:
            ImageError: the image is so elongated that resizing it would not fit in memory.
        """
        size = self._size(*image.size)
        limit = Image.MAX_IMAGE_PIXELS
        if not min(size) or (limit is not None and size[0] * size[1] > limit):
            raise ImageError(
                f"of {image.width} x {image.height} pixels is too elongated: resized it would have "
                f"{size[0]} x {size[1]}; crop it"
            )
        if size != image.size:
            image = image.resize(size, resample=self.resample)
        width, height = size
        crop_height, crop_width = self.crop
        left, top = (width - crop_width) / 2, (height - crop_height) / 2
        place = round if self.rounded else math.floor
        left, top = place(left), place(top)
        return np.asarray(image.crop((left, top, left + crop_width, top + crop_height)))

    def normalise(
        self, pixels: UInt8[Tensor, "image row column 3"]
    ) -> Float[Tensor, "image 3 row column"]:
        """Scale to [0, 1], subtract the mean and divide by the deviation, in float32."""
        mean = torch.tensor(self.mean, dtype=torch.float32, device=pixels.device)
        std = torch.tensor(self.std, dtype=torch.float32, device=pixels.device)
        return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        if self.resize is None:
            return width, height
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        short, long = min(width, height), max(width, height)
        # The longer side is cut to whole pixels, not rounded, as in OpenAI's preprocessing.
        size = self.resize, int(self.resize * long / short)
        if self.longest is not None and long / short * self.resize > self.longest:
            exact = self.longest * short / long
            size = round(exact), int(exact * long / short)
            # As transformers has it, an image whose shorter side fits by chance is left alone.
            if short == size[0]:
                size = short, long
        return size if width <= height else (size[1], size[0])


_TEXTS_TOGETHER = 1024


class Tokens(NamedTuple):
    """A text as token ids.

    Attributes:
        ids: start token, content, end token; at most the model's window, or padded to it.
        length: number of ids before truncation and without padding.
        truncated: whether the text had more ids than the window.
    """

    ids: list[int]
    length: int
    truncated: bool


class TextTransform:
    """A checkpoint's tokenizer, with truncation that keeps the end token.

    CLIP pools a text at its end token, so a text cut short without one would be read at the wrong
    place.

    Args:
        tokenizer: of transformers.
        window: tokens of a text at most.
        padded: whether every text is padded to the window, rather than begun with a start token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, window: int, padded: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.window = window
        self.start = None if padded else cast("int | None", tokenizer.bos_token_id)
        self.end = cast("int | None", tokenizer.eos_token_id)
        self.padding = cast("int | None", tokenizer.pad_token_id) if padded else None
        self.controls = {self.start, self.end} - {None}
        # A text that spells a control token, such as <|endoftext|>, is a text all the same.
        tokenizer.split_special_tokens = True

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise, each text into at most `window` ids."""
        if not texts:
            return []
        encoded: list[list[int]] = []
        # In parts, since the tokenizer's results take several kilobytes a text until they are gone.
        for start in range(0, len(texts), _TEXTS_TOGETHER):
            part = list(texts[start : start + _TEXTS_TOGETHER])
            encoded += self.tokenizer(part, return_attention_mask=False, verbose=False)["input_ids"]
        return [Tokens(self._fit(ids), len(ids), len(ids) > self.window) for ids in encoded]

    def interrupts(self, tokens: Tokens) -> bool:
        """Whether a text has a control token inside, which another end would cut off there."""
        count = min(tokens.length, self.window)
        left = self.padding is not None and self.tokenizer.padding_side == "left"
        ids = tokens.ids[-count:] if left else tokens.ids[:count]
        return not self.controls.isdisjoint(ids[self.start is not None : -1])

    def _fit(self, ids: list[int]) -> list[int]:
        if len(ids) > self.window and self.end is not None:
            ids = [*ids[: self.window - 1], self.end]
        if self.padding is None:
            return ids
        filling = [self.padding] * (self.window - len(ids))
        return filling + ids if self.tokenizer.padding_side == "left" else ids + filling


def split_sentences(text: str) -> list[str]:
    """Split after a full stop, question or exclamation mark before white space, and at line ends.

    An abbreviation before a capital ("Dr. Brown") is split too: for a mean over sentences that is a
    slight change of weights, not an error.
    """
    # White space made single changes no token, and keeps the search linear in the text's length.
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [part for line in lines for part in _SENTENCE_END.split(line) if part]
