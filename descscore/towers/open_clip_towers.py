"""A model of open_clip as towers; it has no rule for a purpose site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch.nn.functional as F

from descscore.inputs.transform import TextTransform, Tokens
from descscore.towers.clip import pad
from descscore.towers.protocol import Towers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor


class OpenClipTowers(Towers):
    """Any model of open_clip with the tokenizer of CLIP.

    Args:
        model: of open_clip, on the device and in the dtype to compute in.
        width: of an embedding.
        window: tokens of a text, to which all are padded.
    """

    family: ClassVar[str] = "open_clip"

    def __init__(self, model: Any, *, width: int, window: int) -> None:
        super().__init__(model)
        self._width = width
        self._window = window

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self._width

    def embed_images(
        self, pixels: Float[Tensor, "image 3 row column"]
    ) -> Float[Tensor, "image width"]:
        """Unit embeddings of normalised images, in float32."""
        return F.normalize(self.model.encode_image(pixels.to(self.dtype)).float(), dim=1)

    def text_features(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "text width"]:
        """Embeddings of token ids before they are normalised, in float32."""
        ids = F.pad(pad(tokens, self.device), (0, self._window - max(map(len, tokens))))
        return self.model.encode_text(ids).float()


class OpenClipText(TextTransform):
    """open_clip's tokenizer of CLIP, which cleans texts, with a flag for what it cuts off.

    Args:
        tokenizer: of open_clip.
        window: tokens of a text at most.
    """

    def __init__(self, tokenizer: Any, *, window: int) -> None:
        self.tokenizer = tokenizer
        self.window = window
        self.start = tokenizer.sot_token_id
        self.end = tokenizer.eot_token_id
        self.padding = None
        self.controls = {self.start, self.end}

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise, each text into at most `window` ids."""
        encoded = [[self.start, *self.tokenizer.encode(text), self.end] for text in texts]
        return [Tokens(self._fit(ids), len(ids), len(ids) > self.window) for ids in encoded]
