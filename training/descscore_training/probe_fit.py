"""Fits the purpose probe: which coordinates descriptions have, and which captions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from descscore.purpose.probe import Purpose
from descscore.towers.clip_text import run_texts
from descscore_training.step import run_by_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor
    from transformers import CLIPModel

    from descscore.inputs.transform import TextTransform
    from descscore.purpose.subspace import Site
    from descscore_training.pairs.sources import Pairs


def pair_states(
    model: CLIPModel, site: Site, texts: TextTransform, parts: Sequence[Pairs]
) -> tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]:
    """Activations of all captions and descriptions of some sources at a site, in float32."""
    captions, descriptions = (
        run_by_length(
            model,
            [text.ids for part in parts for text in texts(getattr(part, side))],
            lambda ids, ends: run_texts(model, ids, ends, site.layer, keep=False).site,
        )
        for side in ("captions", "descriptions")
    )
    return captions, descriptions


def fit_probe(
    captions: Float[Tensor, "caption width"],
    descriptions: Float[Tensor, "description width"],
    basis: Float[Tensor, "width dimension"],
    site: Site,
) -> Purpose:
    """A logistic regression from coordinates to P(description), on standardised coordinates.

    L2 regularisation of scikit-learn's default strength.

    Args:
        captions: activations of the training split's captions at the site.
        descriptions: of its descriptions.
        basis: of the subspace.
        site: where it is.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    low, high = (states.float() @ basis for states in (captions, descriptions))
    coordinates = torch.cat([low, high]).double().cpu().numpy()
    labels = np.repeat([0, 1], [len(low), len(high)])
    scaler = StandardScaler().fit(coordinates)
    fitted = LogisticRegression(max_iter=2000).fit(scaler.transform(coordinates), labels)
    weight = fitted.coef_[0] / scaler.scale_
    bias = fitted.intercept_[0] - (weight * scaler.mean_).sum()
    return Purpose(
        site=site,
        basis=basis.detach().cpu(),
        weight=torch.tensor(weight, dtype=torch.float32),
        bias=torch.tensor(bias, dtype=torch.float32),
        caption_mean=low.mean(0).cpu(),
        description_mean=high.mean(0).cpu(),
    )


def calibrate(
    purpose: Purpose,
    captions: Float[Tensor, "caption width"],
    descriptions: Float[Tensor, "description width"],
) -> Purpose:
    """Rescale and shift a probe's logit so that its probabilities fit other texts (Platt 1999).

    Args:
        purpose: with the probe.
        captions: activations at the site, of texts that the probe was not fitted on.
        descriptions: as many.
    """
    from sklearn.linear_model import LogisticRegression

    logits = _logits(purpose, torch.cat([captions, descriptions])).double().numpy()
    labels = np.repeat([0, 1], [len(captions), len(descriptions)])
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], labels)
    scale, shift = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return replace(purpose, weight=scale * purpose.weight, bias=scale * purpose.bias + shift)


def probe_ranking(
    purpose: Purpose,
    captions: Float[Tensor, "pair width"],
    descriptions: Float[Tensor, "pair width"],
) -> float:
    """Share of pairs whose description the probe finds likelier than the caption."""
    caption, description = (_logits(purpose, states) for states in (captions, descriptions))
    return (description > caption).float().mean().item()


def probe_accuracy(
    purpose: Purpose,
    captions: Float[Tensor, "caption width"],
    descriptions: Float[Tensor, "description width"],
) -> float:
    """Share of single texts that the probe tells right, captions counting half."""
    caption, description = (_logits(purpose, states) for states in (captions, descriptions))
    right = (caption <= 0).float().mean() + (description > 0).float().mean()
    return right.item() / 2


def _logits(purpose: Purpose, states: Float[Tensor, "text width"]) -> Float[Tensor, " text"]:
    return purpose.coordinates(states.cpu()) @ purpose.weight + purpose.bias
