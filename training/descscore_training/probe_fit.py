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

    def states(side: list[str]) -> Float[Tensor, "text width"]:
        tokens = [text.ids for text in texts(side)]
        return run_by_length(
            model,
            tokens,
            lambda ids, ends: run_texts(model, ids, ends, site.layer, keep=False).site,
        )

    return (
        states([text for part in parts for text in part.captions]),
        states([text for part in parts for text in part.descriptions]),
    )


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

    states = torch.cat([captions, descriptions]).cpu()
    logits = (purpose.coordinates(states) @ purpose.weight + purpose.bias).double().numpy()
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
    caption, description = (
        purpose.coordinates(states.cpu()) @ purpose.weight for states in (captions, descriptions)
    )
    return (description > caption).float().mean().item()


def probe_accuracy(
    purpose: Purpose,
    captions: Float[Tensor, "caption width"],
    descriptions: Float[Tensor, "description width"],
) -> float:
    """Share of single texts that the probe tells right, half of them captions."""
    right = [
        (purpose.probability(purpose.coordinates(states.cpu())) > 0.5).float().mean().item()
        for states in (captions, descriptions)
    ]
    return (1 - right[0] + right[1]) / 2
