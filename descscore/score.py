"""`Encoded` -> `Scores`: cosines, scales, references and what is read from the subspace."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F

from descscore.errors import OptionError
from descscore.inputs.texts import flatten
from descscore.results import Scores
from descscore.towers.clip import without_autocast

if TYPE_CHECKING:
    from collections.abc import Collection

    from jaxtyping import Float, Int
    from torch import Tensor

    from descscore.pipeline import Encoded
    from descscore.purpose.probe import Readout

Scale = Literal["clipscore", "clip100", "cosine"]
SCALES: tuple[str, ...] = get_args(Scale)

_ROWS_GATHERED = 65_536


def check_references(scale: Scale, purpose_weight: float | None) -> None:
    """Refuse options with which references have no meaning.

    Raises:
        OptionError: another scale than "clipscore", or a purpose weight.
    """
    if scale == "clipscore" and purpose_weight is None:
        return
    other = f"purpose_weight is {purpose_weight}"
    if scale != "clipscore":
        other = f"the scale is {scale!r}"
    raise OptionError(
        f"references are given and {other}; RefCLIPScore is defined for plain scores on the scale "
        "'clipscore' (Hessel et al. 2021): drop one of them"
    )


def score(
    encoded: Encoded,
    *,
    scale: Scale,
    readouts: Collection[Readout],
    purpose_weight: float | None = None,
    signature: str,
) -> Scores:
    """Score every pair; those that failed have NaN and an error.

    A text of several units, such as its sentences, scores the mean of its units' scores, each
    clamped by itself; its readouts are means over its units too.

    Args:
        encoded: the pairs, with images.
        scale: of the scores; "clipscore" if the pairs have references.
        readouts: what to return beside the scores.
        purpose_weight: what a unit of the text's purpose logit adds to its score.
        signature: everything that the scores depend on.
    """
    pairs, units, texts = encoded.pairs, encoded.units, encoded.texts
    on_device = partial(torch.as_tensor, device=encoded.images.device)
    text_of = on_device(pairs.text_of)
    found: dict[str, Tensor] = {}
    with without_autocast(encoded.images.device):
        pair, unit = map(on_device, units.flatten(pairs.text_of))
        image = on_device(pairs.image_of)[pair]

        def mean(values: Float[Tensor, " pair_unit"]) -> Float[Tensor, " pair"]:
            return mean_by(values, pair, len(text_of))

        cosine = cosines(encoded.images, texts.embeddings, image, unit)
        found["scores"] = alone = mean(to_scale(cosine, scale))
        if texts.as_captions is not None:
            as_captions = cosines(encoded.images, texts.as_captions, image, unit)
            found["purpose_effect"] = alone - mean(to_scale(as_captions, scale))
        if pairs.references_of is not None:
            whole = F.normalize(units.mean(texts.embeddings), dim=1)
            of_pair, reference = map(on_device, flatten(pairs.references_of))
            similar = cosines(whole, whole, text_of[of_pair], reference)
            found["image_scores"] = alone
            found["reference_scores"] = max_by(similar, of_pair, len(text_of))
            found["scores"] = reference_augmented(alone, found["reference_scores"])
        if encoded.contexts is not None and pairs.context_of is not None:
            context = on_device(pairs.context_of)[pair]
            features = encoded.contexts.texts.embeddings * encoded.contexts.texts.lengths[:, None]
            whole = encoded.contexts.units.mean(features)
            to_context = cosines(F.normalize(whole, dim=1), texts.embeddings, context, unit)
            lengths = torch.linalg.vector_norm(whole, dim=1)[context], texts.lengths[unit]
            found["context_scores"] = mean(contextual(cosine, to_context, *lengths))
        if encoded.purposes is not None:
            purposes = encoded.purposes[text_of]
            if "purpose" in readouts or purpose_weight is not None:
                found["purpose"] = purposes
            if purpose_weight is not None:
                found["image_scores"] = alone
                found["scores"] = alone + purpose_weight * clipped_logit(purposes)
        if texts.coordinates is not None and "subspace" in readouts:
            found["subspace"] = units.mean(texts.coordinates)[text_of]
    errors = encoded.errors
    failed = np.array([error is not None for error in errors])

    def finished(values: Float[Tensor, "pair ..."]) -> Float[np.ndarray, "..."]:
        array = values.cpu().numpy()
        absent = failed.reshape(-1, *[1] * (array.ndim - 1))
        return np.where(absent, np.float32("nan"), array).reshape(*pairs.shape, *array.shape[1:])

    return Scores(
        **{name: finished(values) for name, values in found.items()},
        truncated=encoded.truncated[pairs.text_of].reshape(pairs.shape),
        n_tokens=np.array(units.counts, dtype=np.int32)[pairs.text_of].reshape(pairs.shape),
        image_index=pairs.image_index.reshape(pairs.shape),
        text_index=pairs.text_index.reshape(pairs.shape),
        errors=tuple(errors),
        signature=signature,
    )


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


def contextual(
    image: Float[Tensor, " pair"],
    context: Float[Tensor, " pair"],
    context_length: Float[Tensor, " pair"],
    text_length: Float[Tensor, " pair"],
) -> Float[Tensor, " pair"]:
    """Contextual CLIPScore: how well texts fit an image and the text around it.

    c·d/‖d‖ + d·(i/‖i‖ - c/‖c‖) with embeddings c of the context, d of the description and i of the
    image, none of them normalised (Kreiss et al. 2022a, section on integrating context).

    Args:
        image: cosine of description and image.
        context: cosine of description and context.
        context_length: ‖c‖.
        text_length: ‖d‖.
    """
    return context_length * context + text_length * (image - context)


LARGEST_LOGIT = 4.0
"""Bound of a purpose logit in a weighted score, so that no text wins on purpose alone."""


def clipped_logit(probability: Float[Tensor, " text"]) -> Float[Tensor, " text"]:
    """log(P / (1 - P)), clipped to [-4, 4] (P in [0.018, 0.982])."""
    return torch.logit(probability).clamp(-LARGEST_LOGIT, LARGEST_LOGIT)


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
