"""`Encoded` -> `Scores`: cosines, scales, references and what is read from the subspace."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F

from descscore.inputs.texts import flatten
from descscore.results import Scores
from descscore.towers.clip import without_autocast

if TYPE_CHECKING:
    from collections.abc import Collection

    from jaxtyping import Float, Int
    from torch import Tensor

    from descscore.pipeline import Encoded
    from descscore.purpose.probe import Purpose, Readout

Scale = Literal["clipscore", "clip100", "cosine"]
SCALES: tuple[str, ...] = get_args(Scale)

_ROWS_GATHERED = 65_536


def score(
    encoded: Encoded,
    *,
    scale: Scale,
    purpose: Purpose | None,
    readouts: Collection[Readout],
    signature: str,
) -> Scores:
    """Score every pair; those that failed have NaN and say why.

    A text of several units, such as its sentences, scores the mean of its units' scores, each
    clamped by itself; its readouts are means over its units too.

    Args:
        encoded: the pairs, with images.
        scale: of the scores; "clipscore" if the pairs have references.
        purpose: the subspace that the texts' coordinates are in.
        readouts: what to read from it.
        signature: what the scores depend on.
    """
    pairs, units = encoded.pairs, encoded.units
    on_device = partial(torch.as_tensor, device=encoded.images.device)
    count = len(pairs.text_of)
    similar = effect = None
    with without_autocast(encoded.images.device):
        pair, unit = units.flatten(pairs.text_of)
        rows = on_device(pairs.image_of[pair]), on_device(unit)
        of_units = cosines(encoded.images, encoded.texts.embeddings, *rows)
        alone = scores = mean_by(to_scale(of_units, scale), on_device(pair), count)
        if encoded.texts.as_captions is not None:
            of_units = cosines(encoded.images, encoded.texts.as_captions, *rows)
            effect = alone - mean_by(to_scale(of_units, scale), on_device(pair), count)
        if pairs.references_of is not None:
            whole = F.normalize(units.mean(encoded.texts.embeddings), dim=1)
            pair, reference = flatten(pairs.references_of)
            of_texts = cosines(whole, whole, on_device(pairs.text_of[pair]), on_device(reference))
            similar = max_by(of_texts, on_device(pair), count)
            scores = reference_augmented(alone, similar)
    errors = encoded.errors
    failed = np.array([error is not None for error in errors])

    def finished(values: Float[Tensor, "pair ..."]) -> Float[np.ndarray, "..."]:
        array = values.cpu().numpy()
        absent = failed.reshape(-1, *[1] * (array.ndim - 1))
        return np.where(absent, np.float32("nan"), array).reshape(*pairs.shape, *array.shape[1:])

    of_text = {} if purpose is None else read(encoded, purpose)
    text_of = on_device(pairs.text_of)
    return Scores(
        scores=finished(scores),
        truncated=np.array(units.truncated, dtype=bool)[pairs.text_of].reshape(pairs.shape),
        n_tokens=np.array(units.counts, dtype=np.int32)[pairs.text_of].reshape(pairs.shape),
        image_index=pairs.image_index.reshape(pairs.shape),
        text_index=pairs.text_index.reshape(pairs.shape),
        errors=tuple(errors),
        image_scores=None if similar is None else finished(alone),
        reference_scores=None if similar is None else finished(similar),
        purpose_effect=None if effect is None else finished(effect),
        **{name: finished(of_text[name][text_of]) for name in of_text if name in readouts},
        signature=signature,
    )


def read(encoded: Encoded, purpose: Purpose) -> dict[str, Float[Tensor, "text ..."]]:
    """`purpose` and `subspace` of each distinct text, means over its units; 0 where it failed."""
    coordinates = encoded.texts.coordinates
    if coordinates is None:
        return {}
    probability = encoded.units.mean(purpose.probability(coordinates)[:, None])
    return {"purpose": probability[:, 0], "subspace": encoded.units.mean(coordinates)}


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
