"""A CLIP of transformers as towers: of the last block only the pooled position is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F

from descscore.errors import OptionError
from descscore.towers import clip_text
from descscore.towers.clip import blocks, pad, text_width
from descscore.towers.clip_blocks import at, by_head, feed_forward, linear, project, run_block
from descscore.towers.clip_embeddings import EmbeddingTower
from descscore.towers.protocol import TextRun, Towers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor


class ClipTowers(Towers):
    """CLIP: a causal text tower that is pooled at the end token.

    For models that are not in training; `clip_text` has runs with gradients.
    """

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
        """Unit embeddings of normalised images, in float32; CLIP pools them at its class token."""
        tower: Any = self.model.vision_model
        stream = tower.pre_layrnorm(_patches(tower.embeddings, pixels.to(self.dtype)))
        *earlier, last = tower.encoder.layers
        for block in earlier:
            stream, _, _ = run_block(block, stream, causal=False)
        start = torch.zeros(len(stream), dtype=torch.int64, device=stream.device)
        state, _, _ = _pooled(last, stream, start, None)
        return F.normalize(self.model.visual_projection(tower.post_layernorm(state)).float(), dim=1)

    def text_features(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "text width"]:
        """Embeddings of token ids before they are normalised, in float32."""
        return self.run_texts(tokens, self.layers, keep=False).features

    @property
    def layers(self) -> int:
        """Blocks of the text tower."""
        return len(blocks(self.model))

    @property
    def text_width(self) -> int:
        """Width of the text tower's residual stream."""
        return text_width(self.model)

    def run_texts(
        self, tokens: Sequence[Sequence[int]], layer: int, *, keep: bool = True
    ) -> TextRun:
        """Embed texts, keeping what `run_on` needs."""
        ends = torch.tensor([len(text) - 1 for text in tokens], device=self.device)
        tower: Any = self.model.text_model
        stream = tower.embeddings(input_ids=pad(tokens, self.device))
        *earlier, last = blocks(self.model)
        keys: list[Tensor] = []
        values: list[Tensor] = []
        site = None
        for number, block in enumerate(earlier, 1):
            stream, *attended = run_block(block, stream, causal=True)
            if keep and number > layer:
                keys.append(attended[0])
                values.append(attended[1])
            if number == layer:
                site = at(stream, ends)
        seen = torch.arange(stream.shape[1], device=stream.device) <= ends[:, None]
        state, *of_last = _pooled(last, stream, ends, seen)
        if site is None:
            site = state
        elif keep:
            keys.append(of_last[0])
            values.append(of_last[1])
        features = self.model.text_projection(tower.final_layer_norm(state)).float()
        return TextRun(
            features=features, site=site.float(), ends=ends, keys=tuple(keys), values=tuple(values)
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


def _patches(embeddings: Any, pixels: Float[Tensor, "image 3 row column"]) -> Tensor:
    """The patches' embeddings behind the class token's, with those of positions.

    As one product of matrices, which is several times as fast as a convolution on CPUs.
    """
    kernel = embeddings.patch_embedding.weight
    side = kernel.shape[-1]
    cut = pixels.unflatten(3, (-1, side)).unflatten(2, (-1, side))
    flat = cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    patches = linear(flat, kernel.flatten(1), embeddings.patch_embedding.bias)
    start = embeddings.class_embedding.expand(len(pixels), 1, -1)
    return torch.cat([start, patches], 1).add_(embeddings.position_embedding.weight)


def _pooled(
    block: Any,
    stream: Float[Tensor, "row token width"],
    positions: Int[Tensor, " row"],
    seen: Any,
) -> tuple[Float[Tensor, "row width"], Tensor, Tensor]:
    """One position of each row after a block, and the block's keys and values.

    Args:
        block: of transformers.
        stream: before the block.
        positions: which of each row.
        seen: what each row's position attends to, [row, token]; None for all.
    """
    attention = block.self_attn
    inputs = block.layer_norm1(stream)
    pooled = at(inputs, positions)[:, None]
    keys, values = project(inputs, attention.k_proj, attention.v_proj)
    (queries,) = project(pooled, attention.q_proj)
    mixed = F.scaled_dot_product_attention(
        by_head(attention, queries),
        by_head(attention, keys),
        by_head(attention, values),
        attn_mask=None if seen is None else seen[:, None, None],
        scale=attention.scale,
    )
    (update,) = project(mixed.flatten(1), attention.out_proj)
    return feed_forward(block, update.add_(at(stream, positions))), keys, values
