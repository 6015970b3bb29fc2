"""Orthonormal bases of subspaces of the text tower's residual stream, fixed and learnable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

from descscore.errors import OptionError
from descscore.towers.clip import without_autocast

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from descscore.towers.protocol import Towers

TOWER, POSITION = "text", "eos"
"""Of every site: the text tower's residual stream at the end token, the position CLIP pools.

Zur et al. (2024) name layer and size, not the position; this one is our choice.
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where activations are read and replaced: the end token, after a block of the text tower.

    Attributes:
        layer: the block, counted from 1; `hidden_states[layer]` in transformers.
    """

    layer: int

    def check(self, towers: Towers) -> None:
        """Refuse a layer that the text tower does not have.

        Raises:
            OptionError: the tower has fewer blocks.
        """
        layers = towers.layers
        if isinstance(self.layer, bool) or not isinstance(self.layer, int):
            raise OptionError(f"layer is {self.layer!r}; give a whole number from 1 to {layers}")
        if not 1 <= self.layer <= layers:
            raise OptionError(
                f"the site is after block {self.layer} of the text tower, which has {layers}; give "
                f"a layer from 1 to {layers}"
            )


class LearnedBasis(nn.Module):
    """A basis that stays orthonormal while it is trained.

    The first `dimension` columns of Q = Q0 (I + A/2)⁻¹ (I - A/2), with A skew-symmetric and
    learned, Q0 orthogonal and fixed (Cayley map; `torch.nn.utils.parametrizations.orthogonal`).

    Args:
        width: width of the residual stream.
        dimension: dimension of the subspace, less than `width`.
        seed: seed of the initial basis, drawn uniformly (Haar measure).

    Raises:
        OptionError: a dimension outside 1 to width - 1.
    """

    def __init__(self, width: int, dimension: int, *, seed: int = 0) -> None:
        super().__init__()
        _check_dimension(width, dimension)
        # In float64: the map's rounding would otherwise show as a basis that is not orthonormal.
        self.weight = nn.Parameter(random_basis(width, dimension, seed=seed).double())
        with torch.random.fork_rng(devices=[]):
            # PyTorch completes Q0 at random; from the same numbers as the basis it could not.
            torch.manual_seed(seed + 1)
            orthogonal(self, "weight", orthogonal_map="cayley")

    def forward(self) -> Float[Tensor, "width dimension"]:
        """The basis, in float32 even under autocast."""
        weight = self.weight
        with torch.autocast(weight.device.type, enabled=False):
            return weight.float()


def identity_basis(width: int, dimension: int) -> Float[Tensor, "width dimension"]:
    """The first `dimension` unit vectors: with them, interchange is plain IIT (Geiger et al. 2022).

    Raises:
        OptionError: a dimension outside 1 to width - 1.
    """
    _check_dimension(width, dimension)
    return torch.eye(width, dimension)


def random_basis(width: int, dimension: int, *, seed: int) -> Float[Tensor, "width dimension"]:
    """A basis drawn uniformly (Haar measure), the same for the same seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(width, dimension, dtype=torch.float64, generator=generator)
    basis, upper = torch.linalg.qr(drawn)
    return (basis * upper.diagonal().sign()).float()


def complement(basis: Float[Tensor, "width dimension"]) -> Float[Tensor, "width rest"]:
    """A basis of the orthogonal complement of a subspace."""
    whole = torch.linalg.svd(basis.double(), full_matrices=True).U
    return whole[:, basis.shape[1] :].float()


def interchange(
    base: Float[Tensor, "text width"],
    source: Float[Tensor, "text width"],
    basis: Float[Tensor, "width dimension"],
) -> Float[Tensor, "text width"]:
    """Replace the coordinates of `base` in a subspace by those of `source`, in float32.

    base + (source - base) R Rᵀ with R orthonormal (Geiger et al. 2023, "Finding Alignments Between
    Interpretable Causal Variables and Distributed Neural Representations").
    """
    with without_autocast(base.device):
        base, source, basis = base.float(), source.float(), basis.float()
        return base + (source - base) @ basis @ basis.T


def orthonormality_error(basis: Float[Tensor, "width dimension"]) -> float:
    """The largest entry of |RᵀR - I|."""
    basis = basis.cpu().double()
    identity = torch.eye(basis.shape[1], dtype=basis.dtype, device="cpu")
    return (basis.T @ basis - identity).abs().max().item()


def _check_dimension(width: int, dimension: int) -> None:
    if not 1 <= dimension < width:
        raise OptionError(
            f"the subspace's dimension is {dimension}; give one from 1 to {width - 1}, less than "
            f"the text tower's width {width}"
        )
