"""Pairs -> `Encoded`: tokens, batches and embeddings, each distinct image and text once."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from descscore.errors import ImageError, InputError, OptionError, PairingError
from descscore.inputs.decode import decoded
from descscore.inputs.pairs import texts_alone
from descscore.inputs.texts import clean_pairs, text_units
from descscore.purpose.subspace import orthonormality_error
from descscore.results import Embeddings, Problem
from descscore.towers.cached import digest_of
from descscore.towers.clip import batches_by_length
from descscore.towers.protocol import EncodedTexts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Bool, Float, UInt8
    from torch import Tensor

    from descscore.inputs.items import ImageInput
    from descscore.inputs.pairs import Pairs, Place
    from descscore.inputs.texts import LongText, TextUnits
    from descscore.inputs.transform import TextTransform
    from descscore.purpose.subspace import Site
    from descscore.towers.encoder import Encoder

# Beyond these, activations of a ViT-B/32 fall out of a CPU's cache, and a batch takes longer than
# its parts.
_IMAGES_IN_CACHE = 32
_TOKENS_IN_CACHE = 2464

_OVERFLOW = (
    "has no finite embedding: the checkpoint overflows in this dtype; choose dtype='float32'"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """Pairs and their embeddings: the only input of scoring and explaining.

    Attributes:
        pairs: which images and texts belong together.
        units: the tokens that were encoded of each distinct text.
        images: unit embeddings of `pairs.images`; zeros where one failed.
        texts: embeddings of `units.tokens`, with their coordinates in the purpose subspace.
        purposes: P(description) of `pairs.texts`, 0 where one failed; None if nothing reads it.
        truncated: whether each of `pairs.texts` lost tokens to a window.
        contexts: `pairs.contexts`, encoded; None without contexts.
        image_errors: for rows of `pairs.images` that failed, why.
        text_errors: for rows of `pairs.texts` that failed, why.
    """

    pairs: Pairs
    units: TextUnits
    images: Float[Tensor, "image width"]
    texts: EncodedTexts
    purposes: Float[Tensor, " text"] | None
    truncated: Bool[np.ndarray, " text"]
    contexts: Encoded | None = None
    image_errors: Mapping[int, InputError]
    text_errors: Mapping[int, InputError]

    @property
    def errors(self) -> list[Problem | None]:
        """Why each pair failed: because of its image, text, context, or one of its references."""
        pairs = self.pairs
        found: list[Problem | None] = [None] * len(pairs.text_of)
        if self.contexts is not None and pairs.context_of is not None:
            places, failed = self.contexts.pairs.text_places, self.contexts.text_errors
            for pair in np.flatnonzero(np.isin(pairs.context_of, list(failed))).tolist():
                row = int(pairs.context_of[pair])
                found[pair] = Problem(*places[row], failed[row].reason)
        for pair, rows in enumerate(pairs.references_of or ()):
            for row in self.text_errors.keys() & {*rows}:
                found[pair] = Problem(*pairs.text_places[row], self.text_errors[row].reason)
        for places, of_pair, index, failed in (
            (pairs.text_places, pairs.text_of, pairs.text_index, self.text_errors),
            (pairs.image_places, pairs.image_of, pairs.image_index, self.image_errors),
        ):
            for pair in np.flatnonzero(np.isin(of_pair, list(failed))).tolist():
                row = int(of_pair[pair])
                found[pair] = Problem(places[row][0], int(index[pair]), failed[row].reason)
        return found

    @property
    def pair_purposes(self) -> Float[np.ndarray, " pair"] | None:
        """P(description) of each pair's text, NaN where it failed; None if nothing reads it."""
        if self.purposes is None:
            return None
        values = self.purposes.cpu().numpy()[self.pairs.text_of]
        values[[error is not None for error in self.errors]] = np.nan
        return values


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Encodes pairs with one checkpoint and one set of options.

    Attributes:
        encoder: the checkpoint's towers.
        transform: its tokenizer.
        prefix: put before every text.
        long_text: how texts beyond the window are handled.
        clean: clean texts as OpenAI's tokenizer does.
        batch_size: images, and texts of full length, encoded together; on a CPU less, if that is
            faster.
        workers: threads that decode images; 0 uses none.
        progress: show bars on stderr.
        raise_errors: raise at the first item that fails, rather than record it.
    """

    encoder: Encoder
    transform: TextTransform
    prefix: str
    long_text: LongText
    batch_size: int
    workers: int
    progress: bool
    raise_errors: bool
    clean: bool = False

    @property
    def images_together(self) -> int:
        """Maximum images encoded together."""
        return self._limited(self.batch_size, _IMAGES_IN_CACHE)

    @property
    def token_budget(self) -> int:
        """Maximum tokens encoded together."""
        return self._limited(self.batch_size * self.transform.window, _TOKENS_IN_CACHE)

    def _limited(self, count: int, in_cache: int) -> int:
        return min(count, in_cache) if self.encoder.device.type == "cpu" else count

    def encode(self, pairs: Pairs, *, long_text: LongText | None = None) -> Encoded:
        """Encode pairs, or images or texts alone.

        Args:
            pairs: what to encode.
            long_text: in place of the pipeline's own.

        Raises:
            ImageError, TextError, InputError: with `raise_errors`, the first item that fails.
        """
        if self.clean:
            pairs = clean_pairs(pairs)
        # The prefix introduces a text about the image, which a context is not.
        contexts = pairs.contexts and replace(self, prefix="").encode(pairs.contexts)
        with ThreadPoolExecutor(1, thread_name_prefix="descscore-tokenize") as pool:
            tokenized = pool.submit(self.tokenize, pairs, long_text or self.long_text)
            images, unread = embed_images(
                self.encoder,
                pairs.images,
                batch_size=self.images_together,
                workers=self.workers,
                progress=self.progress,
                stop_at_error=self.raise_errors,
            )
            units = tokenized.result()
        text_errors: dict[int, InputError] = {**units.errors}
        image_errors: dict[int, InputError] = {**unread}
        self.raise_first(image_errors, pairs.image_places)
        texts = embed_tokens(
            self.encoder, units.tokens, budget=self.token_budget, progress=self.progress
        )
        for row in _overflown(images):
            image_errors.setdefault(row, InputError(_OVERFLOW))
        overflown = {*_overflown(texts.embeddings)}
        if texts.as_captions is not None:
            overflown |= {*_overflown(texts.as_captions)}
        if overflown:
            for row, rows in enumerate(units.of_text):
                if not overflown.isdisjoint(rows):
                    text_errors[row] = InputError(_OVERFLOW)
        self.raise_first(image_errors, pairs.image_places)
        self.raise_first(text_errors, pairs.text_places)
        purposes = None
        if self.encoder.purpose is not None and texts.coordinates is not None:
            of_units = self.encoder.purpose.probability(texts.coordinates)
            purposes = units.mean(of_units[:, None])[:, 0]
        return Encoded(
            pairs=pairs,
            units=units,
            images=images,
            texts=texts,
            purposes=purposes,
            truncated=np.array(units.truncated, dtype=bool),
            contexts=contexts,
            image_errors=image_errors,
            text_errors=text_errors,
        )

    def interchange(
        self,
        texts: str | Sequence[str],
        sources: str | Sequence[str],
        site: Site,
        basis: Float[Tensor | np.ndarray, "width dimension"],
    ) -> Embeddings:
        """Unit embeddings of texts that were given their sources' coordinates in a subspace.

        Texts beyond the window are cut, whatever `long_text`, unless it is "error".

        Args:
            texts: a text or a list.
            sources: a source for all texts, or a list with one per text.
            site: where the subspace is.
            basis: of the subspace.

        Raises:
            OptionError: the towers have no such site, or the basis does not fit them.
            PairingError: there is no text or source, or their numbers do not match.
            TextError, InputError: with `raise_errors`, the first text or source that fails.
        """
        site.check(self.encoder.towers)
        width = self.encoder.towers.text_width
        basis = torch.as_tensor(basis).float().to(self.encoder.device)
        fits = basis.ndim == 2 and len(basis) == width and basis.shape[1] > 0
        # In this order, since NaN is not at most anything.
        if not (fits and orthonormality_error(basis) <= 1e-4):
            raise OptionError(
                f"basis has the shape {tuple(basis.shape)}; give orthonormal columns of {width} "
                "values each"
            )
        pairs = [texts_alone(texts)]
        alike = isinstance(sources, str)
        pairs.append(texts_alone([sources] * len(pairs[0].text_of) if alike else sources, "source"))
        if len({len(side.text_of) for side in pairs}) > 1:
            raise PairingError(
                f"{len(pairs[0].text_of)} texts and {len(pairs[1].text_of)} sources; give as many "
                "of each, or one source, not in a list, for all texts"
            )
        if self.clean:
            pairs = list(map(clean_pairs, pairs))
        long_text = "error" if self.long_text == "error" else "truncate"
        base, source = sides = [self.tokenize(side, long_text) for side in pairs]
        rows = list(zip(*(side.text_of.tolist() for side in pairs), strict=True))
        errors: list[Problem | None] = [None] * len(rows)
        for place, (row, other) in enumerate(rows):
            if row in base.errors:
                errors[place] = Problem("text", place, base.errors[row].reason)
            elif other in source.errors:
                reason = f"has a source that {source.errors[other].reason}"
                errors[place] = Problem("text", place, reason)
        good = [place for place, error in enumerate(errors) if error is None]
        tokens, others = (
            [units.tokens[units.of_text[rows[place][side]][0]] for place in good]
            for side, units in enumerate(sides)
        )
        embeddings = self.encoder.empty(len(rows))
        # Both sides of a batch are run at once.
        for batch in batches_by_length(
            [len(ids) for ids in tokens], max(1, self.token_budget // 2)
        ):
            embeddings[[good[i] for i in batch]] = self.encoder.interchanged(
                [tokens[i] for i in batch], [others[i] for i in batch], site, basis
            )
        for place in _overflown(embeddings):
            errors[place] = errors[place] or Problem("text", place, _OVERFLOW)
            if self.raise_errors:
                raise InputError(_OVERFLOW).at("text", place)
        return Embeddings.of(embeddings, errors)

    def tokenize(self, pairs: Pairs, long_text: LongText) -> TextUnits:
        """The tokens of distinct texts.

        Raises:
            TextError: with `raise_errors`, the first text that fails.
        """
        units = text_units(
            pairs.texts,
            self.transform,
            prefix=self.prefix,
            long_text=long_text,
            failed=pairs.text_errors,
        )
        self.raise_first(units.errors, pairs.text_places)
        return units

    def raise_first(self, errors: Mapping[int, InputError], places: Sequence[Place]) -> None:
        """With `raise_errors`, raise the error of the first row, with that row's place."""
        if errors and self.raise_errors:
            first = min(errors)
            raise errors[first].at(*places[first])


def embed_images(
    encoder: Encoder,
    images: Sequence[ImageInput | ImageError],
    *,
    batch_size: int,
    workers: int,
    progress: bool = False,
    stop_at_error: bool = False,
) -> tuple[Float[Tensor, "image width"], dict[int, ImageError]]:
    """Embed images in batches, decoding beside encoding; those with the same pixels once.

    Args:
        encoder: of the checkpoint.
        images: what to decode and embed; an error is passed on.
        batch_size: images encoded together.
        workers: threads that decode; 0 uses none.
        progress: show a bar on stderr.
        stop_at_error: return at the first image that cannot be read.

    Returns:
        Embeddings, zeros for images that cannot be read; and for each of those rows, why.
    """
    embeddings = encoder.empty(len(images))
    errors: dict[int, ImageError] = {}
    first_with: dict[bytes, int] = {}
    twin_of: dict[int, int] = {}
    batch: dict[int, UInt8[np.ndarray, "row column 3"]] = {}

    def encode_batch() -> None:
        pixels = torch.from_numpy(np.stack(list(batch.values())))
        embeddings[list(batch)] = encoder.images(pixels)
        batch.clear()

    waiting = [*range(len(images))]
    if encoder.cache is not None:
        rows, values = encoder.cache.seen(images, encoder.width)
        embeddings[rows] = torch.from_numpy(values).to(embeddings.device)
        waiting = sorted({*waiting} - {*rows.tolist()})
    pixels = decoded(
        [images[row] for row in waiting],
        encoder.transform,
        workers=min(workers, len(waiting)),
        ahead=2 * batch_size,
    )
    bar = tqdm(total=len(waiting), desc="images", unit="image", disable=not progress, leave=False)
    with bar, contextlib.closing(pixels):
        for row, result in zip(waiting, pixels, strict=True):
            bar.update()
            if isinstance(result, ImageError):
                errors[row] = result
                if stop_at_error:
                    return embeddings, errors
                continue
            digest = digest_of(result)
            if encoder.cache is not None:
                encoder.cache.note(row, images[row], digest)
            first = first_with.setdefault(digest, row)
            if first != row:
                twin_of[row] = first
                continue
            batch[row] = result
            if len(batch) == batch_size:
                encode_batch()
    if batch:
        encode_batch()
    if encoder.cache is not None:
        encoder.cache.save()
    for row, first in twin_of.items():
        embeddings[row] = embeddings[first]
    return embeddings, errors


def embed_tokens(
    encoder: Encoder, tokens: Sequence[Sequence[int]], *, budget: int, progress: bool = False
) -> EncodedTexts:
    """Embed texts in batches of similar length.

    Args:
        encoder: of the checkpoint.
        tokens: ids of each text, from its start to its end token.
        budget: tokens encoded together at most, padding included.
        progress: show a bar on stderr.
    """
    encoded = encoder.empty_texts(len(tokens))
    bar = tqdm(total=len(tokens), desc="texts", unit="text", disable=not progress, leave=False)
    with bar:
        for rows in batches_by_length([len(ids) for ids in tokens], budget):
            part = encoder.texts([tokens[row] for row in rows])
            for field in fields(EncodedTexts):
                whole = getattr(encoded, field.name)
                if whole is not None:
                    whole[rows] = getattr(part, field.name)
            bar.update(len(rows))
    return encoded


def _overflown(embeddings: Float[Tensor, "row width"]) -> list[int]:
    """Rows without a unit embedding: NaN, or zeros where the length was infinite."""
    lengths = torch.linalg.vector_norm(embeddings, dim=1)
    return (~((lengths - 1).abs() < 0.01)).nonzero()[:, 0].tolist()
