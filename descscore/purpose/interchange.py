"""Distributed interchange interventions: one text with another's coordinates in a subspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.towers.clip import without_autocast

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


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
