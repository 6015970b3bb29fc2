"""A CLIP of transformers as towers, with its rule for the purpose site."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from descscore.errors import OptionError
from descscore.towers import clip, clip_pooled, clip_text
from descscore.towers.clip_embeddings import EmbeddingTower
from descscore.towers.protocol import TextRun, Towers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor


class ClipTowers(Towers):
    """CLIP: a causal text tower that is pooled at the end token."""

    family: ClassVar[str] = "clip"
    prefix: ClassVar[str] = "CLIP"
    padded: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self.model.visual_projection.out_features

    def embed_images(
        self, pixels: Float[Tensor, "image 3 row column"]
    ) -> Float[Tensor, "image width"]:
        """Unit embeddings of normalised images, in float32."""
        return clip_pooled.image_embeddings(self.model, pixels.to(self.dtype))

    def text_features(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "text width"]:
        """Embeddings of token ids before they are normalised, in float32."""
        return self.run_texts(tokens, self.layers, keep=False).features

    @property
    def layers(self) -> int:
        """Blocks of the text tower."""
        return len(clip.blocks(self.model))

    @property
    def text_width(self) -> int:
        """Width of the text tower's residual stream."""
        return clip.text_width(self.model)

    def run_texts(
        self, tokens: Sequence[Sequence[int]], layer: int, *, keep: bool = True
    ) -> TextRun:
        """Embed texts, keeping what `run_on` needs."""
        ends = torch.tensor([len(text) - 1 for text in tokens], device=self.device)
        return clip_pooled.run_texts(
            self.model, clip.pad(tokens, self.device), ends, layer, keep=keep
        )

    def run_on(
        self, run: TextRun, states: Float[Tensor, "text width"], layer: int
    ) -> Float[Tensor, "text embedding"]:
        """Unit embeddings of a run's texts with other activations at the site."""
        return clip_text.run_on(self.model, run, states, layer)

    def from_embeddings(self, start: int) -> EmbeddingTower:
        """The text tower as a function of token embeddings, for gradients.

        Raises:
            OptionError: the towers compute in integers, which have no gradients.
        """
        if self.precision == torch.int8:
            raise OptionError(
                "dtype is 'int8', of which no gradients can be taken; explain with dtype='float32'"
            )
        return EmbeddingTower(self.model, start=start)
