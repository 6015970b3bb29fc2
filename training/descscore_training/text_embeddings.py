"""Unit embeddings of many texts, without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from descscore.towers.clip import batches_by_length, embed_texts, pad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor
    from transformers import CLIPModel

_TOKENS_TOGETHER = 4096


@torch.no_grad()
def embed_token_ids(
    model: CLIPModel, tokens: Sequence[Sequence[int]]
) -> Float[Tensor, "text width"]:
    """Unit embeddings of texts of any lengths, in float32 on the model's device."""
    device = model.logit_scale.device
    parts, rows = [], []
    for batch in batches_by_length([len(ids) for ids in tokens], _TOKENS_TOGETHER):
        parts.append(embed_texts(model, pad([tokens[row] for row in batch], device)))
        rows += batch
    return torch.cat(parts)[torch.tensor(rows, device=device).argsort()]
