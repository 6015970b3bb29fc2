"""Embeddings of distinct images and texts -> the scores of their pairs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from descscore.inputs.texts import flatten
from descscore.results import Scores
from descscore.score import Scale, cosines, max_by, mean_by, reference_augmented, to_scale
from descscore.towers.clip import without_autocast

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jaxtyping import Float
    from torch import Tensor

    from descscore.embed import EncodedTexts
    from descscore.errors import ImageError, TextError
    from descscore.inputs.pairs import Pairs
    from descscore.inputs.texts import TextUnits
    from descscore.purpose.probe import Purpose, Readout

_OVERFLOWN = (
    "image {} or its text has no finite embedding: the checkpoint overflows in this dtype; choose "
    "dtype='float32'"
)


def assemble(
    pairs: Pairs,
    units: TextUnits,
    images: Float[Tensor, "image width"],
    texts: EncodedTexts,
    *,
    scale: Scale,
    purpose: Purpose | None,
    readouts: Collection[Readout],
    image_errors: Mapping[int, ImageError],
    text_errors: Mapping[int, TextError],
    signature: str,
) -> Scores:
    """Score every pair, and say of each pair that failed why.

    A text of several units scores the mean of its units' scores, each clamped by itself; its
    readouts are means over its units too.

    Args:
        pairs: which images and texts to score with each other.
        units: what was encoded of each text.
        images: unit embeddings of `pairs.images`.
        texts: what the encoder made of `units.tokens`.
        scale: of the scores; "clipscore" if the pairs have references.
        purpose: the subspace that the texts' coordinates are in.
        readouts: what to say of it.
        image_errors: for rows of `pairs.images` that failed, why, to be read after "image 3".
        text_errors: for rows of `pairs.texts` that failed, why, to be read after "text 3".
        signature: what the scores depend on.
    """
    on_device = partial(torch.as_tensor, device=images.device)
    count = len(pairs.text_of)
    similar = effect = None
    with without_autocast(images.device):
        pair, unit = units.flatten(pairs.text_of)
        rows = on_device(pairs.image_of[pair]), on_device(unit)
        of_units = cosines(images, texts.embeddings, *rows)
        alone = scores = mean_by(to_scale(of_units, scale), on_device(pair), count)
        if texts.as_captions is not None:
            of_units = cosines(images, texts.as_captions, *rows)
            effect = alone - mean_by(to_scale(of_units, scale), on_device(pair), count)
        if pairs.references_of is not None:
            whole = units.whole_texts(texts.embeddings)
            pair, reference = flatten(pairs.references_of)
            of_texts = cosines(whole, whole, on_device(pairs.text_of[pair]), on_device(reference))
            similar = max_by(of_texts, on_device(pair), count)
            scores = reference_augmented(alone, similar)
    errors = _pair_errors(pairs, image_errors, text_errors)
    for row in np.flatnonzero(~torch.isfinite(scores).cpu().numpy()):
        errors[row] = errors[row] or _OVERFLOWN.format(pairs.image_index[row])
    failed = np.array([error is not None for error in errors])

    def finished(values: Float[Tensor, "pair ..."]) -> Float[np.ndarray, "..."]:
        array = values.cpu().numpy()
        absent = failed.reshape(-1, *[1] * (array.ndim - 1))
        return np.where(absent, np.float32("nan"), array).reshape(*pairs.shape, *array.shape[1:])

    read = {}
    if purpose is not None and texts.coordinates is not None:
        of_text = units.readouts(texts.coordinates, purpose)
        wanted = [name for name in of_text if name in readouts]
        read = {name: finished(of_text[name][on_device(pairs.text_of)]) for name in wanted}

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
        **read,
        signature=signature,
    )


def _pair_errors(
    pairs: Pairs, image_errors: Mapping[int, ImageError], text_errors: Mapping[int, TextError]
) -> list[str | None]:
    """For each pair why it cannot be scored: its image, its text, or one of its references."""
    errors: list[str | None] = [None] * len(pairs.text_of)
    if text_errors:
        for pair, references in enumerate(pairs.references_of or ()):
            for row in references:
                if row in text_errors:
                    errors[pair] = f"{pairs.text_places[row]} {text_errors[row]}"
    for pair in np.flatnonzero(np.isin(pairs.text_of, list(text_errors))):
        errors[pair] = f"text {pairs.text_index[pair]} {text_errors[pairs.text_of[pair]]}"
    for pair in np.flatnonzero(np.isin(pairs.image_of, list(image_errors))):
        errors[pair] = f"image {pairs.image_index[pair]} {image_errors[pairs.image_of[pair]]}"
    return errors
