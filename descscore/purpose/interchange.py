"""Distributed interchange interventions in CLIP's text tower, and the runs that they share.

The tower is causal and pools at the end token, so an intervention there changes nothing but that
one position's stream. `run_texts` therefore keeps the keys and values of the blocks after the site,
and `run_on` takes one position through those blocks; `interchange_by_hooks` does the same the plain
way, by running whole texts again.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from descscore.towers.clip import embed_texts, without_autocast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Int
    from torch import Tensor, nn
    from transformers import CLIPModel

    from descscore.purpose.subspace import Site


def interchange(
    base: Float[Tensor, "text width"],
    source: Float[Tensor, "text width"],
    basis: Float[Tensor, "width rank"],
) -> Float[Tensor, "text width"]:
    """Give base the coordinates that source has in the subspace.

    base + (source - base) R Rᵀ with R orthonormal (Geiger et al. 2023, "Finding Alignments Between
    Interpretable Causal Variables and Distributed Neural Representations"), in float32.
    """
    with without_autocast(base.device):
        base, source, basis = base.float(), source.float(), basis.float()
        return base + (source - base) @ basis @ basis.T


@dataclass(frozen=True, kw_only=True)
class TextRun:
    """One run of the text tower over some texts.

    Attributes:
        embeddings: unit embeddings, float32.
        site: residual stream at the site, float32.
        ends: each text's end token.
        keys: of each block after the site, at every position.
        values: likewise.
    """

    embeddings: Float[Tensor, "text embedding"]
    site: Float[Tensor, "text width"]
    ends: Int[Tensor, " text"]
    keys: tuple[Float[Tensor, "text token width"], ...]
    values: tuple[Float[Tensor, "text token width"], ...]


def run_texts(
    model: CLIPModel,
    ids: Int[Tensor, "text token"],
    ends: Int[Tensor, " text"],
    site: Site,
    *,
    keep: bool = True,
) -> TextRun:
    """Embed texts, keeping what `run_on` needs.

    Args:
        model: whose text tower to run.
        ids: token ids, padded after the end token.
        ends: position of each text's end token.
        site: where activations are read.
        keep: whether to keep keys and values; without them only embeddings and site are there.
    """
    layers = _blocks(model)
    after = layers[site.layer :] if keep else []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    states: list[Tensor] = []
    with contextlib.ExitStack() as hooks:
        hooks.enter_context(_kept(layers[site.layer - 1], states))
        for block in after:
            hooks.enter_context(_kept(block.self_attn.k_proj, keys))
            hooks.enter_context(_kept(block.self_attn.v_proj, values))
        embeddings = embed_texts(model, ids)
    return TextRun(
        embeddings=embeddings,
        site=_at(states[0], ends).float(),
        ends=ends,
        keys=tuple(keys),
        values=tuple(values),
    )


def run_on(
    model: CLIPModel, run: TextRun, states: Float[Tensor, "text width"], site: Site
) -> Float[Tensor, "text embedding"]:
    """Embed a run's texts again with other activations at the site.

    Only the end token goes through the blocks after the site; it attends to the run's keys and
    values of earlier tokens.

    Args:
        model: that made the run.
        run: of the base texts.
        states: residual stream to put at the site.
        site: where the run was read.
    """
    tower: Any = model.text_model
    stream = states.to(tower.final_layer_norm.weight.dtype)
    for block, keys, values in zip(_blocks(model)[site.layer :], run.keys, run.values, strict=True):
        earlier = torch.arange(keys.shape[1], device=keys.device) < run.ends[:, None]
        stream = stream + _attend(block.self_attn, block.layer_norm1(stream), keys, values, earlier)
        stream = stream + block.mlp(block.layer_norm2(stream))
    pooled = model.text_projection(tower.final_layer_norm(stream))
    return F.normalize(pooled.float(), dim=1)


def interchange_by_hooks(
    model: CLIPModel,
    base: tuple[Int[Tensor, "text base_token"], Int[Tensor, " text"]],
    source: tuple[Int[Tensor, "text source_token"], Int[Tensor, " text"]],
    basis: Float[Tensor, "width rank"],
    site: Site,
) -> Float[Tensor, "text embedding"]:
    """DII(base, source) by two whole runs, the base's with its activation replaced by a hook.

    What `run_texts` and `run_on` are tested against.

    Args:
        model: whose text tower to run.
        base: token ids and the position of each text's end token.
        source: likewise.
        basis: of the subspace.
        site: where to intervene.
    """
    block = _blocks(model)[site.layer - 1]
    (base_ids, base_ends), (source_ids, source_ends) = base, source
    states: list[Tensor] = []
    with _kept(block, states):
        embed_texts(model, source_ids)
    source_states = _at(states[0], source_ends)

    def replace(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        changed = interchange(_at(output, base_ends), source_states, basis).to(output.dtype)
        rows = torch.arange(len(output), device=output.device)
        return output.index_put((rows, base_ends), changed)

    handle = block.register_forward_hook(replace)
    try:
        return embed_texts(model, base_ids)
    finally:
        handle.remove()


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


def _blocks(model: CLIPModel) -> Any:
    return model.text_model.encoder.layers


def _at(states: Tensor, positions: Tensor) -> Tensor:
    """Each text's state at its own position."""
    return states[torch.arange(len(states), device=states.device), positions]


@contextlib.contextmanager
def _kept(module: nn.Module, outputs: list[Tensor]) -> Iterator[None]:
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
