"""Embeddings of distinct images and texts -> the scores of their pairs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from descscore.results import Scores
from descscore.score import Scale, cosines, max_by, mean_by, reference_augmented, to_scale
from descscore.texts import flatten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from descscore.errors import ImageError, TextError
    from descscore.inputs import Pairs
    from descscore.texts import TextUnits


def assemble(
    pairs: Pairs,
    units: TextUnits,
    images: Float[Tensor, "image width"],
    texts: Float[Tensor, "unit width"],
    *,
    scale: Scale,
    image_errors: Mapping[int, ImageError],
    text_errors: Mapping[int, TextError],
    signature: str,
) -> Scores:
    """Score every pair, and say of each pair that failed why.

    A text of several units scores the mean of its units' scores, each clamped by itself.

    Args:
        pairs: which images and texts to score with each other.
        units: what was encoded of each text.
        images: unit embeddings of `pairs.images`.
        texts: unit embeddings of `units.tokens`.
        scale: of the scores; "clipscore" if the pairs have references.
        image_errors: for rows of `pairs.images` that failed, why, to be read after "image 3".
        text_errors: for rows of `pairs.texts` that failed, why, to be read after "text 3".
        signature: what the scores depend on.
    """
    errors = _pair_errors(pairs, image_errors, text_errors)
    failed = np.array([error is not None for error in errors])

    def finished(values: Float[Tensor, " pair"]) -> Float[np.ndarray, "..."]:
        array = values.cpu().numpy()
        return np.where(failed, np.float32("nan"), array).reshape(pairs.shape)

    on_device = partial(torch.as_tensor, device=images.device)
    count = len(pairs.text_of)
    pair, unit = units.flatten(pairs.text_of)
    of_units = cosines(images, texts, on_device(pairs.image_of[pair]), on_device(unit))
    scores = mean_by(to_scale(of_units, scale), on_device(pair), count)
    with_references = {}
    if pairs.references_of is not None:
        whole = units.whole_texts(texts)
        pair, reference = flatten(pairs.references_of)
        of_texts = cosines(whole, whole, on_device(pairs.text_of[pair]), on_device(reference))
        similar = max_by(of_texts, on_device(pair), count)
        with_references = {"image_scores": finished(scores), "reference_scores": finished(similar)}
        scores = reference_augmented(scores, similar)
    return Scores(
        scores=finished(scores),
        truncated=np.array(units.truncated, dtype=bool)[pairs.text_of].reshape(pairs.shape),
        n_tokens=np.array(units.counts, dtype=np.int32)[pairs.text_of].reshape(pairs.shape),
        image_index=pairs.image_index.reshape(pairs.shape),
        text_index=pairs.text_index.reshape(pairs.shape),
        errors=errors,
        signature=signature,
        **with_references,
    )


def _pair_errors(
    pairs: Pairs, image_errors: Mapping[int, ImageError], text_errors: Mapping[int, TextError]
) -> tuple[str | None, ...]:
    """For each pair why it cannot be scored: its image, its text, or one of its references."""
    errors: list[str | None] = [None] * len(pairs.text_of)
    if not image_errors and not text_errors:
        return tuple(errors)
    for pair, (image, text) in enumerate(zip(pairs.image_of, pairs.text_of, strict=True)):
        references = pairs.references_of[pair] if pairs.references_of is not None else ()
        wrong = [row for row in references if row in text_errors]
        if image in image_errors:
            errors[pair] = f"image {pairs.image_index[pair]} {image_errors[image]}"
        elif text in text_errors:
            errors[pair] = f"text {pairs.text_index[pair]} {text_errors[text]}"
        elif wrong:
            errors[pair] = f"{pairs.text_places[wrong[0]]} {text_errors[wrong[0]]}"
    return tuple(errors)
