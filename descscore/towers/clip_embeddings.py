"""The text tower from token embeddings on, in float32, differentiable in them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from descscore.towers.clip import without_autocast
from descscore.towers.clip_blocks import at, by_head

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor
    from transformers import CLIPModel


class EmbeddingTower:
    """CLIP's text tower as a function of token embeddings after the start token.

    The tower is causal, so what the start token's stream is depends on nothing else: it is computed
    here once, and every run attends to its keys and values. Of the last block that is run, only the
    end token's output is computed.

    Runs and gradients are in float32: weights of another dtype are copied to it. Positions in the
    arguments are counted without the start token: a text's first content token is at 0.

    Args:
        model: whose text tower, projection and logit scale to use.
        start: id of the start token.
    """

    def __init__(self, model: CLIPModel, *, start: int) -> None:
        weights: Any = model.text_projection.weight
        tower: Any = model.text_model
        projection: Any = model.text_projection
        with torch.inference_mode(False):
            # What was made in inference mode takes no part in gradients; a copy does. Nothing else
            # is copied: of a large CLIP that is a second text tower in memory.
            if weights.dtype != torch.float32 or weights.is_inference():
                tower, projection = (copy.deepcopy(part).float() for part in (tower, projection))
            self.scale = model.logit_scale.detach().clone().float().exp()
        self._embeddings = tower.embeddings
        self._blocks = list(tower.encoder.layers)
        self._norm = tower.final_layer_norm
        self._projection = projection
        with torch.inference_mode(False), without_autocast(self.scale.device):
            self._first = self._keys_and_values(start)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self._blocks)

    def embed(self, ids: Int[Tensor, "text token"]) -> Float[Tensor, "text token width"]:
        """Token embeddings, without those of positions."""
        return self._embeddings.token_embedding(ids)

    def place(self, embeddings: Float[Tensor, "row token width"]) -> Float[Tensor, "..."]:
        """Add position embeddings to token embeddings after the start token."""
        return embeddings + self._embeddings.position_embedding.weight[1 : embeddings.shape[1] + 1]

    def run(
        self,
        stream: Float[Tensor, "row token width"],
        ends: Int[Tensor, " row"],
        *,
        after: int,
        until: int,
        pool: bool,
    ) -> Float[Tensor, "row ... width"]:
        """Take residual streams through some blocks.

        Args:
            stream: after block `after`, or, with 0, what `place` gives.
            ends: position of each row's end token.
            after: blocks that are already behind the stream.
            until: the last block to run.
            pool: return the end token's stream only, [row, width].
        """
        count = stream.shape[1]
        columns = torch.arange(count + 1, device=stream.device)
        # Column 0 is the start token, column p + 1 position p.
        causal = columns <= columns[1:, None]
        for number in range(after, until):
            if pool and number == until - 1:
                stream = self._block(number, stream, (columns <= ends[:, None] + 1)[:, None], ends)
            else:
                stream = self._block(number, stream, causal[None])
        return stream

    def project(self, states: Float[Tensor, "row width"]) -> Float[Tensor, "row embedding"]:
        """Unit embeddings from the end token's stream after the last block."""
        return F.normalize(self._projection(self._norm(states)), dim=1)

    def _block(
        self,
        number: int,
        stream: Float[Tensor, "row token width"],
        seen: Any,
        ends: Int[Tensor, " row"] | None = None,
    ) -> Float[Tensor, "row ... width"]:
        """One block; with `ends`, at the end tokens only.

        Args:
            number: of the block, from 0.
            stream: before the block.
            seen: what each query attends to, [1 or row, query, 1 + token].
            ends: position of each row's end token.
        """
        block = self._blocks[number]
        attention = block.self_attn
        inputs = block.layer_norm1(stream)
        keys, values = (
            by_head(attention, torch.cat([first.expand(len(stream), -1, -1), project(inputs)], 1))
            for first, project in zip(
                self._first[number], (attention.k_proj, attention.v_proj), strict=True
            )
        )
        if ends is not None:
            stream, inputs = at(stream, ends)[:, None], at(inputs, ends)[:, None]
        mixed = F.scaled_dot_product_attention(
            by_head(attention, attention.q_proj(inputs)),
            keys,
            values,
            attn_mask=seen[:, None],
            scale=attention.scale,
        )
        stream = stream + attention.out_proj(mixed.transpose(1, 2).flatten(2))
        stream = stream + block.mlp(block.layer_norm2(stream))
        return stream if ends is None else stream[:, 0]

    @torch.no_grad()
    def _keys_and_values(
        self, start: int
    ) -> list[tuple[Float[Tensor, "1 1 width"], Float[Tensor, "1 1 width"]]]:
        """Of the start token, in every block; it attends to itself alone."""
        device = self._projection.weight.device
        stream = self._embeddings(input_ids=torch.tensor([[start]], device=device))
        kept = []
        for block in self._blocks:
            inputs = block.layer_norm1(stream)
            value = block.self_attn.v_proj(inputs)
            kept.append((block.self_attn.k_proj(inputs), value))
            stream = stream + block.self_attn.out_proj(value)
            stream = stream + block.mlp(block.layer_norm2(stream))
        return kept
