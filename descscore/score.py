"""Unit embeddings -> cosines -> scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

Scale = Literal["clipscore", "clip100", "cosine"]
SCALES: tuple[str, ...] = get_args(Scale)

_ROWS_GATHERED = 65_536


def cosines(
    left: Float[Tensor, "left width"],
    right: Float[Tensor, "right width"],
    left_rows: Int[Tensor, " pair"],
    right_rows: Int[Tensor, " pair"],
) -> Float[Tensor, " pair"]:
    """Cosine of each pair of rows of unit embeddings, in [-1, 1], multiplied in float32."""
    if len(left) * len(right) <= 4 * len(left_rows):
        # Most rows meet most others: one matrix product reads each row far less often.
        return (left.float() @ right.float().T)[left_rows, right_rows]
    parts = zip(left_rows.split(_ROWS_GATHERED), right_rows.split(_ROWS_GATHERED), strict=True)
    products = [(left[rows].float() * right[others].float()).sum(1) for rows, others in parts]
    return torch.cat(products)


def to_scale(cosines: Float[Tensor, " pair"], scale: Scale) -> Float[Tensor, " pair"]:
    """Put cosines on a scale, each pair clamped by itself.

    - `clipscore`: 2.5 max(cos, 0), in [0, 2.5] (Hessel et al. 2021, CLIPScore, equation 1).
    - `clip100`: 100 max(cos, 0), in [0, 100].
    - `cosine`: cos, in [-1, 1].
    """
    if scale == "clipscore":
        return 2.5 * cosines.clamp(min=0)
    if scale == "clip100":
        return 100 * cosines.clamp(min=0)
    return cosines


def reference_augmented(
    scores: Float[Tensor, " pair"], references: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    """Harmonic mean of CLIPScore and the similarity to the nearest reference (RefCLIPScore).

    Hessel et al. 2021, section 3. Zero if either is zero.

    Args:
        scores: on the scale `clipscore`.
        references: max over a pair's references of max(cos(text, reference), 0).
    """
    return 2 * scores * references / (scores + references).clamp(min=1e-12)


def mean_by(
    values: Float[Tensor, " value"], group: Int[Tensor, " value"], groups: int
) -> Float[Tensor, " group"]:
    """Mean of the values of each group; 0 for a group without values."""
    total = values.new_zeros(groups).index_add_(0, group, values)
    return total / torch.bincount(group, minlength=groups).clamp(min=1)


def max_by(
    values: Float[Tensor, " value"], group: Int[Tensor, " value"], groups: int
) -> Float[Tensor, " group"]:
    """Largest value of each group, and at least 0."""
    return values.new_zeros(groups).scatter_reduce_(0, group, values, reduce="amax")
