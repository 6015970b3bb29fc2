"""What a text tower gives for many texts, without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from descscore.towers.clip import batches_by_length, embed_texts, pad

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor
    from transformers import CLIPModel

_TOKENS_TOGETHER = 4096


def embed_token_ids(
    model: CLIPModel, tokens: Sequence[Sequence[int]]
) -> Float[Tensor, "text width"]:
    """Unit embeddings of texts of any lengths, in float32 on the model's device."""
    return run_by_length(model, tokens, lambda ids, _: embed_texts(model, ids))


@torch.no_grad()
def run_by_length(
    model: CLIPModel,
    tokens: Sequence[Sequence[int]],
    run: Callable[[Int[Tensor, "text token"], Int[Tensor, " text"]], Float[Tensor, "text width"]],
) -> Float[Tensor, "text width"]:
    """What a function gives for texts of any lengths, called with those of similar length.

    Args:
        model: on whose device they are.
        tokens: of the texts.
        run: takes padded token ids and the position of each text's end.
    """
    device = model.logit_scale.device
    parts, rows = [], []
    for batch in batches_by_length([len(ids) for ids in tokens], _TOKENS_TOGETHER):
        ends = torch.tensor([len(tokens[row]) - 1 for row in batch], device=device)
        parts.append(run(pad([tokens[row] for row in batch], device), ends))
        rows += batch
    return torch.cat(parts)[torch.tensor(rows, device=device).argsort()]
