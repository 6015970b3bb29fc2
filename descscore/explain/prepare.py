"""Images and texts -> what each pair needs to be explained."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from descscore.assemble import assemble
from descscore.errors import InputError, TextError
from descscore.inputs.decode import decode
from descscore.inputs.pairs import pair_up, unique_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

    from descscore.inputs.pairs import ImageInput
    from descscore.inputs.texts import TextUnits
    from descscore.purpose.probe import Purpose
    from descscore.scorer import Scorer

_LONGER_SIDE, _QUALITY = 512, 90


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """Pairs of images and texts, in the order of the input.

    Attributes:
        texts: each pair's, as encoded; empty if it is no text.
        tokens: each pair's ids; None if the pair cannot be explained.
        images: each pair's, as JPEG; None if it cannot be read or none was given.
        embeddings: each pair's unit image embedding; None without images.
        scores: on the metric's scale; None without images.
        purposes: P(description); None without a purpose subspace.
        errors: why a pair cannot be explained.
    """

    texts: list[str]
    tokens: list[list[int] | None]
    images: list[bytes | None]
    embeddings: Float[Tensor, "pair embedding"] | None
    scores: Float[np.ndarray, " pair"] | None
    purposes: Float[np.ndarray, " pair"] | None
    errors: list[str | None]


def prepare(
    scorer: Scorer,
    images: ImageInput | Sequence[ImageInput] | None,
    texts: str | Sequence[str] | Sequence[Sequence[str]],
) -> Prepared:
    """Tokenise, embed and score; each distinct image and text once.

    Args:
        scorer: of the metric.
        images: as in a call of the metric; None for texts alone.
        texts: as in a call of the metric; without images a text or a flat list.

    Raises:
        PairingError: numbers or nesting that do not fit, or nothing to explain.
        ImageError, TextError: if the scorer raises, the first item that fails.
    """
    if images is None:
        return _without_images(scorer, texts)  # pyright: ignore[reportArgumentType]
    pairs = pair_up(images, texts)
    units, errors = _units(scorer, pairs.texts, pairs.text_errors, pairs.text_places)
    embeddings, image_errors = scorer.embed_distinct(pairs)
    encoded = scorer.embedder.texts(units.tokens)
    scored = assemble(
        pairs,
        units,
        embeddings,
        encoded,
        scale=scorer.scale,
        purpose=None,
        readouts=(),
        image_errors=image_errors,
        text_errors=errors,
        signature="",
    )
    if scored.failed and scorer.raise_errors:
        raise InputError(next(filter(None, scored.errors)))
    thumbnails = [
        None if row in image_errors else thumbnail(image) for row, image in enumerate(pairs.images)
    ]
    return Prepared(
        texts=_whole(scorer.prefix, pairs.texts, pairs.text_of),
        tokens=_tokens(units, pairs.text_of, scored.errors),
        images=[thumbnails[row] for row in pairs.image_of],
        embeddings=embeddings[torch.as_tensor(pairs.image_of, device=embeddings.device)],
        scores=scored.scores,
        purposes=_purposes(scorer.purpose, units, encoded.coordinates, pairs.text_of),
        errors=list(scored.errors),
    )


def _without_images(scorer: Scorer, texts: str | Sequence[str]) -> Prepared:
    unique = unique_texts(texts)
    units, errors = _units(scorer, unique.texts, unique.errors, unique.places)
    encoded = scorer.embedder.texts(units.tokens)
    rows = unique.rows
    failures = [
        f"text {place} {errors[row]}" if row in errors else None for place, row in enumerate(rows)
    ]
    return Prepared(
        texts=_whole(scorer.prefix, unique.texts, rows),
        tokens=_tokens(units, rows, failures),
        images=[None] * len(rows),
        embeddings=None,
        scores=None,
        purposes=_purposes(scorer.purpose, units, encoded.coordinates, rows),
        errors=failures,
    )


def _units(
    scorer: Scorer, texts: Sequence[str], failed: Mapping[int, TextError], places: Sequence[str]
) -> tuple[TextUnits, dict[int, TextError]]:
    """Tokens of distinct texts, and which of the texts cannot be explained."""
    units = scorer.units(texts, failed, long_text="truncate")
    errors = dict(units.errors)
    for row, text in enumerate(texts):
        if row in errors:
            continue
        if units.truncated[row]:
            errors[row] = TextError(
                f"({text[:40]!r}...) has {units.counts[row]} tokens and the window is "
                f"{scorer.transform.window}; words beyond it have no part in the score: shorten "
                "the text to explain it"
            )
        elif units.counts[row] <= 2:
            errors[row] = TextError(
                f"({text[:40]!r}) has no token that could be explained; give a text with words"
            )
    scorer.raise_first(errors, places)
    return units, errors


def _whole(prefix: str, texts: Sequence[str], rows: Sequence[int] | np.ndarray) -> list[str]:
    return [f"{prefix}{texts[row]}" if texts[row] else "" for row in rows]


def _purposes(
    purpose: Purpose | None,
    units: TextUnits,
    coordinates: Float[Tensor, "unit rank"] | None,
    rows: Sequence[int] | np.ndarray,
) -> Float[np.ndarray, " pair"] | None:
    if purpose is None or coordinates is None:
        return None
    return units.readouts(coordinates, purpose)["purpose"].cpu().numpy()[rows]


def _tokens(
    units: TextUnits, rows: Sequence[int] | np.ndarray, errors: Sequence[str | None]
) -> list[list[int] | None]:
    return [
        units.tokens[units.of_text[row][0]] if error is None else None
        for row, error in zip(rows, errors, strict=True)
    ]


def thumbnail(image: ImageInput) -> bytes:
    """An image as JPEG, upright, at most 512 pixels on its longer side.

    Raises:
        ImageError: it cannot be read.
    """
    small = decode(image).copy()
    small.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
