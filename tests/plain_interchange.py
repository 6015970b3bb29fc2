"""Interchange the plain way, by running whole texts again, to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from descscore.purpose.subspace import interchange
from descscore.towers.clip import blocks, embed_texts
from descscore.towers.clip_blocks import at
from descscore.towers.clip_text import kept

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor, nn
    from transformers import CLIPModel

    from descscore.purpose.subspace import Site


def interchange_by_hooks(
    model: CLIPModel,
    base: tuple[Int[Tensor, "text base_token"], Int[Tensor, " text"]],
    source: tuple[Int[Tensor, "text source_token"], Int[Tensor, " text"]],
    basis: Float[Tensor, "width rank"],
    site: Site,
) -> Float[Tensor, "text embedding"]:
    """DII(base, source) by two whole runs, the base's with its activation replaced by a hook.

    Args:
        model: whose text tower to run.
        base: token ids and the position of each text's end token.
        source: likewise.
        basis: of the subspace.
        site: where to intervene.
    """
    block = blocks(model)[site.layer - 1]
    (base_ids, base_ends), (source_ids, source_ends) = base, source
    states: list[Tensor] = []
    with kept(block, states):
        embed_texts(model, source_ids)
    source_states = at(states[0], source_ends)

    def replace(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        changed = interchange(at(output, base_ends), source_states, basis).to(output.dtype)
        rows = torch.arange(len(output), device=output.device)
        return output.index_put((rows, base_ends), changed)

    handle = block.register_forward_hook(replace)
    try:
        return embed_texts(model, base_ids)
    finally:
        handle.remove()
