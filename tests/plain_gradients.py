"""Integrated gradients the plain way: the whole text tower by transformers, and `detach` in hooks.

What `descscore.explain` is tested against; it shares no code with it.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import CLIPModel

    from descscore.purpose.probe import Purpose

PARTS = ("total", "through", "around", "other positions")


def plain_score(
    model: CLIPModel,
    ids: Tensor,
    image: Tensor,
    *,
    embeddings: Tensor | None = None,
    part: str = "total",
    layer: int = 1,
    basis: Tensor | None = None,
    end: int | None = None,
) -> Tensor:
    """exp(logit_scale) cos of some texts, through which gradients flow in part only.

    Args:
        model: all of it is run.
        ids: [row, token], each row with its end token at the same place.
        image: unit embedding.
        embeddings: put in the place of the token embeddings.
        part: what the gradient passes after block `layer`: all, only the subspace at the end token,
            everything but that, or only the other positions.
        layer: the site.
        basis: of the subspace.
        end: place of the end token; by default that of the largest id.
    """
    end = int(ids[0].argmax()) if end is None else end

    def put(_module, _inputs, output):
        return output if embeddings is None else embeddings

    def cut(_module, _inputs, output):
        if part == "total":
            return output
        fixed = output.detach()
        here = torch.zeros(output.shape[1], 1)
        here[end] = 1
        if part == "other positions":
            return torch.where(here.bool(), fixed, output)
        moved = (output - fixed) @ basis @ basis.T * here
        return fixed + moved if part == "through" else output - moved

    with ExitStack() as hooks:
        tower = model.text_model
        for module, hook in (
            (tower.embeddings.token_embedding, put),
            (tower.encoder.layers[layer - 1], cut),
        ):
            hooks.callback(module.register_forward_hook(hook).remove)
        output: Any = model.get_text_features(input_ids=ids)
    return model.logit_scale.exp() * (F.normalize(output.pooler_output, dim=1) @ image)


def plain_log_odds(
    model: CLIPModel,
    ids: Tensor,
    purpose: Purpose,
    *,
    embeddings: Tensor | None = None,
) -> Tensor:
    """The purpose probe's log-odds of some texts, whose end tokens are at the same place."""
    states: list[Tensor] = []
    tower = model.text_model

    def put(_module, _inputs, output):
        return output if embeddings is None else embeddings

    def keep(_module, _inputs, output):
        states.append(output)

    with ExitStack() as hooks:
        for module, hook in (
            (tower.embeddings.token_embedding, put),
            (tower.encoder.layers[purpose.site.layer - 1], keep),
        ):
            hooks.callback(module.register_forward_hook(hook).remove)
        model.get_text_features(input_ids=ids)
    return states[0][:, ids[0].argmax()] @ purpose.basis @ purpose.weight + purpose.bias


def plain_integral(
    model: CLIPModel,
    ids: Sequence[int],
    explained: Callable[..., Tensor],
    *,
    padding: int | None,
    points: Sequence[float],
    weights: Sequence[float],
) -> Tensor:
    """One value a content token, from one forward and one backward run a point.

    Args:
        model: whose token embeddings to begin with.
        ids: of one text.
        explained: a function of `embeddings`.
        padding: id of the token that the baseline has everywhere; None for zeros.
        points: of the quadrature.
        weights: likewise.
    """
    embedding = model.text_model.embeddings.token_embedding
    at_text = embedding(torch.tensor([list(ids)])).detach()
    at_baseline = at_text.clone()
    at_baseline[:, 1:-1] = 0 if padding is None else embedding.weight[padding].detach()
    total = torch.zeros_like(at_text)
    for point, weight in zip(points, weights, strict=True):
        here = (at_baseline + point * (at_text - at_baseline)).requires_grad_()
        total += weight * torch.autograd.grad(explained(embeddings=here).sum(), here)[0]
    return (total * (at_text - at_baseline)).sum(2)[0, 1:-1]
