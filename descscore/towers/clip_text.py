"""Runs of CLIP's text tower that are kept at a site and continued from there.

The tower is causal and pools at the end token, so an intervention there changes nothing but that
one position's stream: `run_texts` keeps the keys and values of the blocks after the site, and
`run_on` takes one position through those blocks.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from descscore.towers.clip import blocks, text_features
from descscore.towers.clip_blocks import at
from descscore.towers.protocol import TextRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Int
    from torch import Tensor, nn
    from transformers import CLIPModel


def run_texts(
    model: CLIPModel,
    ids: Int[Tensor, "text token"],
    ends: Int[Tensor, " text"],
    layer: int,
    *,
    keep: bool = True,
) -> TextRun:
    """Embed texts, keeping what `run_on` needs.

    Args:
        model: whose text tower to run.
        ids: token ids, padded after the end token.
        ends: position of each text's end token.
        layer: block, counted from 1, after which activations are read at the end token.
        keep: whether to keep keys and values; without them only embeddings and site are there.
    """
    layers = blocks(model)
    after = layers[layer:] if keep else []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    states: list[Tensor] = []
    with contextlib.ExitStack() as hooks:
        hooks.enter_context(kept(layers[layer - 1], states))
        for block in after:
            hooks.enter_context(kept(block.self_attn.k_proj, keys))
            hooks.enter_context(kept(block.self_attn.v_proj, values))
        features = text_features(model, ids)
    return TextRun(
        features=features,
        site=at(states[0], ends).float(),
        ends=ends,
        keys=tuple(keys),
        values=tuple(values),
    )


def run_on(
    model: CLIPModel, run: TextRun, states: Float[Tensor, "text width"], layer: int
) -> Float[Tensor, "text embedding"]:
    """Embed a run's texts again with other activations at the site.

    Only the end token goes through the blocks after the site; it attends to the run's keys and
    values of earlier tokens.

    Args:
        model: that made the run.
        run: of the base texts.
        states: residual stream to put at the site.
        layer: block after which the run was read.
    """
    tower: Any = model.text_model
    stream = states.to(tower.final_layer_norm.weight.dtype)
    for block, keys, values in zip(blocks(model)[layer:], run.keys, run.values, strict=True):
        earlier = torch.arange(keys.shape[1], device=keys.device) < run.ends[:, None]
        stream = stream + _attend(block.self_attn, block.layer_norm1(stream), keys, values, earlier)
        stream = stream + block.mlp(block.layer_norm2(stream))
    pooled = model.text_projection(tower.final_layer_norm(stream))
    return F.normalize(pooled.float(), dim=1)


def _attend(
    attention: Any,
    inputs: Float[Tensor, "text width"],
    keys: Float[Tensor, "text token width"],
    values: Float[Tensor, "text token width"],
    earlier: Any,
) -> Float[Tensor, "text width"]:
    """Attention from one position to earlier ones and to itself."""
    heads = (attention.num_heads, attention.head_dim)
    query = attention.q_proj(inputs).unflatten(1, heads)
    key = attention.k_proj(inputs).unflatten(1, heads)
    value = attention.v_proj(inputs).unflatten(1, heads)
    before = torch.einsum("thd,tjhd->thj", query, keys.unflatten(2, heads))
    before = before.masked_fill(~earlier[:, None], float("-inf"))
    itself = (query * key).sum(2, keepdim=True)
    logits = torch.cat([before, itself.to(before.dtype)], 2) * attention.scale
    weights = logits.softmax(2, dtype=torch.float32).to(values.dtype)
    mixed = torch.einsum("thj,tjhd->thd", weights[:, :, :-1], values.unflatten(2, heads))
    return attention.out_proj((mixed + weights[:, :, -1:] * value).flatten(1))


@contextlib.contextmanager
def kept(module: nn.Module, outputs: list[Tensor]) -> Iterator[None]:
    """Keep what a module returns, to this thread: others may run the same model meanwhile."""
    here = threading.get_ident()

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if threading.get_ident() == here:
            outputs.append(output)

    handle = module.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
