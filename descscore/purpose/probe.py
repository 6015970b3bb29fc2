"""The purpose subspace of a checkpoint with its probe, which reads P(description) from it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, get_args

import torch

from descscore.towers.clip import without_autocast

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from descscore.purpose.subspace import Site

Readout = Literal["purpose", "subspace", "purpose_effect"]
READOUTS: tuple[str, ...] = get_args(Readout)


@dataclass(frozen=True, kw_only=True, eq=False)
class Purpose:
    """A purpose subspace with its probe.

    Attributes:
        site: where activations are read.
        basis: orthonormal basis, float32.
        weight: weights of the probe, a logistic regression from the subspace to P(description).
        bias: bias of the probe.
        caption_mean: mean coordinates of the training split's captions.
        description_mean: mean coordinates of its descriptions.
    """

    site: Site
    basis: Float[Tensor, "width dimension"]
    weight: Float[Tensor, " dimension"]
    bias: Float[Tensor, ""]
    caption_mean: Float[Tensor, " dimension"]
    description_mean: Float[Tensor, " dimension"]

    def __repr__(self) -> str:
        width, dimension = self.basis.shape
        return f"Purpose({self.site}, width={width}, dimension={dimension})"

    def to(self, device: torch.device) -> Purpose:
        """The same on another device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if field.name != "site"
        }
        return Purpose(site=self.site, **moved)

    def coordinates(self, states: Float[Tensor, "text width"]) -> Float[Tensor, "text dimension"]:
        """Z = RᵀH of activations at the site."""
        with without_autocast(states.device):
            return states.float() @ self.basis

    def probability(self, coordinates: Float[Tensor, "text dimension"]) -> Float[Tensor, " text"]:
        """P(description) in [0, 1]."""
        with without_autocast(coordinates.device):
            return torch.sigmoid(coordinates @ self.weight + self.bias)

    def as_captions(self, states: Float[Tensor, "text width"]) -> Float[Tensor, "text width"]:
        """Activations whose coordinates are the mean caption's, all else unchanged."""
        with without_autocast(states.device):
            moved = self.caption_mean - self.coordinates(states)
            return states.float() + moved @ self.basis.T
