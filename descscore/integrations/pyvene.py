"""Converts bases to and from pyvene's interventions (Wu et al. 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from descscore.errors import OptionError
from descscore.extras import imports_of

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def to_pyvene(basis: Float[Tensor, "width dimension"]) -> Any:
    """A `LowRankRotatedSpaceIntervention` in a subspace, which pyvene can train further.

    In a `pyvene.IntervenableModel` of `model.text_model`, at unit "pos" of the component
    "encoder.layers[N].output", it intervenes at the site of layer N + 1.

    Raises:
        MissingExtraError: pyvene is not installed.
    """
    with imports_of("pyvene"):
        from pyvene import LowRankRotatedSpaceIntervention

    width, dimension = basis.shape
    intervention: Any = LowRankRotatedSpaceIntervention(
        embed_dim=width, low_rank_dimension=dimension
    )
    intervention.rotate_layer.weight = basis.detach().float().cpu()
    return intervention


def from_pyvene(intervention: Any) -> Float[Tensor, "width dimension"]:
    """The basis of the subspace in which pyvene's intervention swaps, in float32.

    Args:
        intervention: a `LowRankRotatedSpaceIntervention`, or the first `interchange_dim` columns of
            a `RotatedSpaceIntervention`.

    Raises:
        OptionError: the intervention is of another kind.
        MissingExtraError: pyvene is not installed.
    """
    with imports_of("pyvene"):
        from pyvene import LowRankRotatedSpaceIntervention, RotatedSpaceIntervention

    dimension: Any = None
    if isinstance(intervention, RotatedSpaceIntervention):
        dimension = intervention.interchange_dim
    elif not isinstance(intervention, LowRankRotatedSpaceIntervention):
        raise OptionError(
            f"the intervention is a {type(intervention).__name__}, which does not swap one "
            "subspace; give a LowRankRotatedSpaceIntervention or a RotatedSpaceIntervention"
        )
    rotation: Any = intervention.rotate_layer
    return rotation.weight.detach()[:, :dimension].float().clone()
