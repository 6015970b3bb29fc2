"""Images and texts -> scores, readings and embeddings: the steps of a metric, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.assemble import assemble
from descscore.errors import InputError, OptionError, PairingError, TextError
from descscore.inputs.pairs import unique_images, unique_texts
from descscore.inputs.texts import text_units
from descscore.results import Embeddings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from descscore.embed import Embedder
    from descscore.errors import ImageError
    from descscore.inputs.pairs import ImageInput, Pairs, UniqueTexts
    from descscore.inputs.texts import LongText, TextUnits
    from descscore.inputs.transform import TextTransform
    from descscore.purpose.probe import Purpose, Readout
    from descscore.purpose.subspace import Site
    from descscore.results import Scores
    from descscore.score import Scale


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """What a metric does, with one checkpoint and by one set of options.

    Attributes:
        embedder: of the checkpoint.
        transform: its tokeniser.
        purpose: its subspace, if it has one.
        scale: of the scores.
        prefix: put before every text.
        long_text: what becomes of texts beyond the window.
        readouts: what to say of a text beside its score.
        raise_errors: raise at the first item that fails, rather than record it.
    """

    embedder: Embedder
    transform: TextTransform
    purpose: Purpose | None
    scale: Scale
    prefix: str
    long_text: LongText
    readouts: Collection[Readout]
    raise_errors: bool

    def score(self, pairs: Pairs, *, signature: str) -> Scores:
        """Score pairs; each distinct image and text is encoded once.

        Raises:
            OptionError: references on another scale than "clipscore".
            ImageError, TextError, InputError: with `raise_errors`, the first item that fails.
        """
        if pairs.references_of is not None and self.scale != "clipscore":
            raise OptionError(
                f"references are given and the scale is {self.scale!r}; the reference-augmented "
                "score is defined on scale 'clipscore' (Hessel et al. 2021)"
            )
        units = self.units(pairs.texts, pairs.text_errors)
        self.raise_first(units.errors, pairs.text_places)
        image_embeddings, image_errors = self.embed_distinct(pairs)
        scores = assemble(
            pairs,
            units,
            image_embeddings,
            self.embedder.texts(units.tokens),
            scale=self.scale,
            purpose=self.purpose,
            readouts=self.readouts,
            image_errors=image_errors,
            text_errors=units.errors,
            signature=signature,
        )
        if self.raise_errors and (failed := next(filter(None, scores.errors), None)):
            raise InputError(failed)
        return scores

    def read(self, texts: str | Sequence[str], purpose: Purpose) -> Float[np.ndarray, " text"]:
        """P(description) of texts; NaN for one that failed.

        Raises:
            PairingError: there is no text.
            TextError, InputError: with `raise_errors`, the first text that fails.
        """
        unique, units = self._unique(texts)
        coordinates = self.embedder.texts(units.tokens).coordinates
        read = units.readouts(coordinates, purpose)  # pyright: ignore[reportArgumentType]
        values = read["purpose"].cpu().numpy()
        overflown = set(np.flatnonzero(~np.isfinite(values)).tolist()) - units.errors.keys()
        if overflown and self.raise_errors:
            raise InputError(
                f"{unique.places[min(overflown)]} has no finite purpose: the "
                "checkpoint overflows in this dtype; choose dtype='float32'"
            )
        values[list(units.errors)] = np.nan
        return values[unique.rows]

    def embed_images(self, images: ImageInput | Sequence[ImageInput]) -> Embeddings:
        """Embed one image or a list.

        Raises:
            PairingError: there is no image.
            ImageError, InputError: with `raise_errors`, the first image that fails.
        """
        distinct, of_image = unique_images(images)
        values, failed = self.embedder.images(distinct, stop_at_error=self.raise_errors)
        rows = of_image.tolist()
        errors = {place: failed[row] for place, row in enumerate(rows) if row in failed}
        places = [f"image {place}" for place in range(len(rows))]
        self.raise_first(errors, places)
        return self._embeddings(values[of_image], errors, places)

    def embed_texts(self, texts: str | Sequence[str]) -> Embeddings:
        """Embed one text or a list, each as a whole.

        Raises:
            PairingError: there is no text.
            TextError, InputError: with `raise_errors`, the first text that fails.
        """
        unique, units = self._unique(texts)
        whole = units.whole_texts(self.embedder.texts(units.tokens).embeddings)
        rows = unique.rows.tolist()
        errors = {place: units.errors[row] for place, row in enumerate(rows) if row in units.errors}
        places = [f"text {i}" for i in range(len(rows))]
        return self._embeddings(whole[unique.rows], errors, places)

    def interchange(
        self,
        texts: str | Sequence[str],
        sources: str | Sequence[str],
        site: Site,
        basis: Float[Tensor, "width rank"],
    ) -> Embeddings:
        """Embed texts that have their sources' coordinates in a subspace, each as a whole.

        Raises:
            PairingError: there is no text or no source, or their numbers do not fit.
            TextError, InputError: with `raise_errors`, the first text or source that fails.
        """
        whole = "error" if self.long_text == "error" else "truncate"
        sides = [unique_texts(texts), unique_texts(sources, "source")]
        units = [self.units(side.texts, side.errors, whole) for side in sides]
        for side, of_side in zip(sides, units, strict=True):
            self.raise_first(of_side.errors, side.places)
        rows, source_rows = (side.rows.tolist() for side in sides)
        if isinstance(sources, str):
            source_rows *= len(rows)
        if len(rows) != len(source_rows):
            raise PairingError(
                f"{len(rows)} texts and {len(source_rows)} sources; give as many of each, or one "
                "source, not in a list, for all texts"
            )
        errors: dict[int, InputError] = {}
        for place, (row, source) in enumerate(zip(rows, source_rows, strict=True)):
            if row in units[0].errors:
                errors[place] = units[0].errors[row]
            elif source in units[1].errors:
                errors[place] = TextError(f"has a source that {units[1].errors[source]}")
        good = [place for place in range(len(rows)) if place not in errors]
        values = self.embedder.encoder.empty(len(rows))
        values[good] = self.embedder.interchanged(
            [units[0].tokens[units[0].of_text[rows[place]][0]] for place in good],
            [units[1].tokens[units[1].of_text[source_rows[place]][0]] for place in good],
            site,
            basis,
        )
        return self._embeddings(values, errors, [f"text {place}" for place in range(len(rows))])

    def embed_distinct(
        self, pairs: Pairs
    ) -> tuple[Float[Tensor, "image width"], dict[int, ImageError]]:
        """Embeddings of the distinct images of pairs, and for each row that failed, why.

        Raises:
            ImageError: with `raise_errors`, the first image that fails.
        """
        embeddings, errors = self.embedder.images(pairs.images, stop_at_error=self.raise_errors)
        self.raise_first(errors, [f"image {i}" for i in pairs.image_positions])
        return embeddings, errors

    def units(
        self,
        texts: Sequence[str],
        failed: Mapping[int, TextError],
        long_text: LongText | None = None,
    ) -> TextUnits:
        """What is encoded of distinct texts; `long_text` is the scorer's own by default."""
        return text_units(
            texts,
            self.transform,
            prefix=self.prefix,
            long_text=long_text or self.long_text,
            failed=failed,
        )

    def raise_first(self, errors: Mapping[int, InputError], places: Sequence[str]) -> None:
        """With `raise_errors`, raise the error of the first row, after that row's place."""
        if errors and self.raise_errors:
            first = min(errors)
            raise type(errors[first])(f"{places[first]} {errors[first]}")

    def _unique(self, texts: str | Sequence[str]) -> tuple[UniqueTexts, TextUnits]:
        unique = unique_texts(texts)
        units = self.units(unique.texts, unique.errors)
        self.raise_first(units.errors, unique.places)
        return unique, units

    def _embeddings(
        self,
        values: Float[Tensor, "item width"],
        errors: Mapping[int, InputError],
        places: Sequence[str],
    ) -> Embeddings:
        array = values.float().cpu().numpy()
        said = [f"{place} {errors[i]}" if i in errors else None for i, place in enumerate(places)]
        for row in np.flatnonzero(~np.isfinite(array).all(1)).tolist():
            said[row] = said[row] or (
                f"{places[row]} has no finite embedding: the checkpoint overflows in this dtype; "
                "choose dtype='float32'"
            )
        first = next(filter(None, said), None)
        if first is not None and self.raise_errors:
            raise InputError(first)
        array[[error is not None for error in said]] = np.nan
        return Embeddings(values=array, errors=tuple(said))
