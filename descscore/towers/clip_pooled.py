"""CLIP's towers for scoring: of the last block only the position that is pooled is computed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from descscore.towers.clip import blocks
from descscore.towers.clip_text import at, kept
from descscore.towers.protocol import TextRun

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor
    from transformers import CLIPModel


def image_embeddings(
    model: CLIPModel, pixels: Float[Tensor, "image 3 row column"]
) -> Float[Tensor, "image width"]:
    """Unit embeddings of normalised images, in float32; CLIP pools them at its class token."""
    tower: Any = model.vision_model
    stream = tower.pre_layrnorm(tower.embeddings(pixels))
    *earlier, last = tower.encoder.layers
    for block in earlier:
        stream = block(stream, None)
    start = torch.zeros(len(stream), dtype=torch.int64, device=stream.device)
    state, _, _ = _pooled(last, stream, start, None)
    return F.normalize(model.visual_projection(tower.post_layernorm(state)).float(), dim=1)


def run_texts(
    model: CLIPModel,
    ids: Int[Tensor, "text token"],
    ends: Int[Tensor, " text"],
    layer: int,
    *,
    keep: bool = True,
) -> TextRun:
    """What `clip_text.run_texts` gives, for models that are not in training.

    Args:
        model: whose text tower to run.
        ids: token ids, padded after the end token.
        ends: position of each text's end token.
        layer: block, counted from 1, after which activations are read at the end token.
        keep: whether to keep keys and values of the blocks after the site.
    """
    from transformers.masking_utils import create_causal_mask

    tower: Any = model.text_model
    stream = tower.embeddings(input_ids=ids)
    mask = create_causal_mask(
        config=tower.config, inputs_embeds=stream, attention_mask=None, past_key_values=None
    )
    *earlier, last = blocks(model)
    keys: list[Tensor] = []
    values: list[Tensor] = []
    site = None
    for number, block in enumerate(earlier, 1):
        with contextlib.ExitStack() as hooks:
            if keep and number > layer:
                hooks.enter_context(kept(block.self_attn.k_proj, keys))
                hooks.enter_context(kept(block.self_attn.v_proj, values))
            stream = block(stream, mask, is_causal=True)
        if number == layer:
            site = at(stream, ends)
    seen = torch.arange(stream.shape[1], device=stream.device) <= ends[:, None]
    state, *of_last = _pooled(last, stream, ends, seen)
    if site is None:
        site = state
    elif keep:
        keys.append(of_last[0])
        values.append(of_last[1])
    features = model.text_projection(tower.final_layer_norm(state)).float()
    return TextRun(
        features=features, site=site.float(), ends=ends, keys=tuple(keys), values=tuple(values)
    )


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
    heads = (attention.num_heads, attention.head_dim)
    inputs = block.layer_norm1(stream)
    keys, values = attention.k_proj(inputs), attention.v_proj(inputs)
    mixed = F.scaled_dot_product_attention(
        attention.q_proj(at(inputs, positions)).unflatten(1, heads)[:, :, None],
        keys.unflatten(2, heads).transpose(1, 2),
        values.unflatten(2, heads).transpose(1, 2),
        attn_mask=None if seen is None else seen[:, None, None],
        scale=attention.scale,
    )
    state = at(stream, positions) + attention.out_proj(mixed.flatten(1))
    return state + block.mlp(block.layer_norm2(state)), keys, values
