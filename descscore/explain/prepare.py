"""Images and texts -> what each pair needs to be explained."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from descscore.assemble import assemble
from descscore.decode import decode
from descscore.errors import InputError, TextError
from descscore.inputs import pair_up, unique_texts
from descscore.texts import text_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

    from descscore.embed import Embedder
    from descscore.inputs import ImageInput
    from descscore.preprocess import TextTransform
    from descscore.purpose.probe import Purpose
    from descscore.score import Scale
    from descscore.texts import TextUnits

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


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The steps of a metric that come before explaining.

    Attributes:
        embedder: of the metric.
        transform: its tokeniser.
        purpose: its subspace, if it has one.
        prefix: put before every text.
        scale: of its scores.
        raise_errors: raise at the first item that fails, rather than record it.
    """

    embedder: Embedder
    transform: TextTransform
    purpose: Purpose | None
    prefix: str
    scale: Scale
    raise_errors: bool

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput] | None,
        texts: str | Sequence[str] | Sequence[Sequence[str]],
    ) -> Prepared:
        """Tokenise, embed and score; each distinct image and text once.

        Args:
            images: as in a call of the metric; None for texts alone.
            texts: as in a call of the metric; without images a text or a flat list.

        Raises:
            PairingError: numbers or nesting that do not fit, or nothing to explain.
            ImageError, TextError: with `raise_errors`, the first item that fails.
        """
        if images is None:
            unique = unique_texts(texts)  # pyright: ignore[reportArgumentType]
            units, errors = self._units(unique.texts, unique.errors, unique.places)
            encoded = self.embedder.texts(units.tokens)
            rows = unique.rows
            failures = [
                f"text {place} {errors[row]}" if row in errors else None
                for place, row in enumerate(rows)
            ]
            return Prepared(
                texts=self._texts(unique.texts, rows),
                tokens=_tokens(units, rows, failures),
                images=[None] * len(rows),
                embeddings=None,
                scores=None,
                purposes=self._purposes(units, encoded.coordinates, rows),
                errors=failures,
            )
        pairs = pair_up(images, texts)
        units, errors = self._units(pairs.texts, pairs.text_errors, pairs.text_places)
        embeddings, image_errors = self.embedder.images(
            pairs.images, stop_at_error=self.raise_errors
        )
        self._raise_first(image_errors, [f"image {place}" for place in pairs.image_positions])
        encoded = self.embedder.texts(units.tokens)
        scored = assemble(
            pairs,
            units,
            embeddings,
            encoded,
            scale=self.scale,
            purpose=None,
            readouts=(),
            image_errors=image_errors,
            text_errors=errors,
            signature="",
        )
        if scored.failed and self.raise_errors:
            raise InputError(next(filter(None, scored.errors)))
        thumbnails = [
            None if row in image_errors else thumbnail(image)
            for row, image in enumerate(pairs.images)
        ]
        return Prepared(
            texts=self._texts(pairs.texts, pairs.text_of),
            tokens=_tokens(units, pairs.text_of, scored.errors),
            images=[thumbnails[row] for row in pairs.image_of],
            embeddings=embeddings[torch.as_tensor(pairs.image_of, device=embeddings.device)],
            scores=scored.scores,
            purposes=self._purposes(units, encoded.coordinates, pairs.text_of),
            errors=list(scored.errors),
        )

    def _units(
        self, texts: Sequence[str], failed: Mapping[int, TextError], places: Sequence[str]
    ) -> tuple[TextUnits, dict[int, TextError]]:
        """Tokens of distinct texts, and which of the texts cannot be explained."""
        units = text_units(
            [None if row in failed else text for row, text in enumerate(texts)],
            self.transform,
            prefix=self.prefix,
            long_text="truncate",
        )
        errors = {**failed, **units.errors}
        for row, text in enumerate(texts):
            if row in errors:
                continue
            if units.truncated[row]:
                errors[row] = TextError(
                    f"({text[:40]!r}...) has {units.counts[row]} tokens and the window is "
                    f"{self.transform.window}; words beyond it have no part in the score: shorten "
                    "the text to explain it"
                )
            elif units.counts[row] <= 2:
                errors[row] = TextError(
                    f"({text[:40]!r}) has no token that could be explained; give a text with words"
                )
        self._raise_first(errors, places)
        return units, errors

    def _raise_first(self, errors: Mapping[int, InputError], places: Sequence[str]) -> None:
        if errors and self.raise_errors:
            first = min(errors)
            raise type(errors[first])(f"{places[first]} {errors[first]}")

    def _texts(self, texts: Sequence[str], rows: Sequence[int] | np.ndarray) -> list[str]:
        return [f"{self.prefix}{texts[row]}" if texts[row] else "" for row in rows]

    def _purposes(
        self,
        units: TextUnits,
        coordinates: Float[Tensor, "unit rank"] | None,
        rows: Sequence[int] | np.ndarray,
    ) -> Float[np.ndarray, " pair"] | None:
        if self.purpose is None or coordinates is None:
            return None
        return units.readouts(coordinates, self.purpose)["purpose"].cpu().numpy()[rows]


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
