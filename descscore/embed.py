"""Distinct images and texts -> their unit embeddings, in batches, decoding beside encoding."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from descscore.errors import ImageError
from descscore.inputs.stream import decoded
from descscore.purpose.interchange import interchange
from descscore.towers.clip import batches_by_length, without_autocast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from descscore.inputs.pairs import ImageInput
    from descscore.inputs.transform import ImageTransform
    from descscore.purpose.probe import Purpose
    from descscore.purpose.subspace import Site
    from descscore.towers.protocol import Towers


@dataclass(frozen=True, kw_only=True)
class EncodedTexts:
    """What is known of some texts, in float32.

    Attributes:
        embeddings: unit embeddings.
        coordinates: in the purpose subspace; None without one, or if nothing reads them.
        as_captions: unit embeddings with the mean caption's coordinates; None if not asked for.
    """

    embeddings: Float[Tensor, "text width"]
    coordinates: Float[Tensor, "text rank"] | None = None
    as_captions: Float[Tensor, "text width"] | None = None


class Encoder:
    """A model's two towers, and the purpose subspace.

    Args:
        towers: on the device and in the dtype to compute in.
        transform: the image transform, for the mean and deviation.
        purpose: read its coordinates from the run that gives a text's embedding.
        effect: also embed texts with the coordinates of the mean caption.
    """

    def __init__(
        self,
        towers: Towers,
        transform: ImageTransform,
        purpose: Purpose | None = None,
        *,
        effect: bool = False,
    ) -> None:
        self.towers = towers
        self.transform = transform
        self.purpose = purpose
        self.effect = effect

    @property
    def device(self) -> torch.device:
        """Where the towers compute and embeddings are."""
        return self.towers.device

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self.towers.width

    @torch.inference_mode()
    def images(self, pixels: UInt8[Tensor, "image row column 3"]) -> Float[Tensor, "image width"]:
        """Unit embeddings of cropped images, in float32 on the model's device."""
        pixels = pixels.to(self.device)
        with without_autocast(self.device):
            return self.towers.embed_images(self.transform.normalise(pixels))

    @torch.inference_mode()
    def texts(self, tokens: Sequence[Sequence[int]]) -> EncodedTexts:
        """Unit embeddings of texts and what is read from the subspace, on the model's device."""
        with without_autocast(self.device):
            if self.purpose is None:
                return EncodedTexts(embeddings=self.towers.embed_texts(tokens))
            return self._read(tokens, self.purpose)

    def _read(self, tokens: Sequence[Sequence[int]], purpose: Purpose) -> EncodedTexts:
        layer = purpose.site.layer
        run = self.towers.run_texts(tokens, layer, keep=self.effect)
        changed = None
        if self.effect:
            changed = self.towers.run_on(run, purpose.as_captions(run.site), layer)
        return EncodedTexts(
            embeddings=run.embeddings,
            coordinates=purpose.coordinates(run.site),
            as_captions=changed,
        )

    @torch.inference_mode()
    def interchanged(
        self,
        texts: Sequence[Sequence[int]],
        sources: Sequence[Sequence[int]],
        site: Site,
        basis: Float[Tensor, "width rank"],
    ) -> Float[Tensor, "text embedding"]:
        """Unit embeddings of texts that have their sources' coordinates in a subspace."""
        with without_autocast(self.device):
            run = self.towers.run_texts(texts, site.layer)
            source = self.towers.run_texts(sources, site.layer, keep=False)
            states = interchange(run.site, source.site, basis)
            return self.towers.run_on(run, states, site.layer)

    def empty(self, rows: int) -> Float[Tensor, "row width"]:
        """Zeros to be filled with embeddings."""
        return torch.zeros(rows, self.width, dtype=torch.float32, device=self.device)

    def empty_texts(self, rows: int) -> EncodedTexts:
        """Zeros to be filled with what `texts` returns."""
        coordinates = None
        if self.purpose is not None:
            rank = self.purpose.basis.shape[1]
            coordinates = torch.zeros(rows, rank, dtype=torch.float32, device=self.device)
        return EncodedTexts(
            embeddings=self.empty(rows),
            coordinates=coordinates,
            as_captions=self.empty(rows) if self.effect else None,
        )


class Embedder:
    """Batches inputs for an encoder.

    Args:
        encoder: the two towers.
        batch_size: images, and texts of full length, encoded together.
        workers: threads that decode images; 0 uses none.
        window: tokens of a text of full length.
        progress: show bars on stderr.
    """

    def __init__(
        self, encoder: Encoder, *, batch_size: int, workers: int, window: int, progress: bool
    ) -> None:
        self.encoder = encoder
        self.batch_size = batch_size
        self.workers = workers
        self.window = window
        self.progress = progress

    def images(
        self, images: Sequence[ImageInput], *, stop_at_error: bool
    ) -> tuple[Float[Tensor, "image width"], dict[int, ImageError]]:
        """Embed images; those with the same pixels are encoded once.

        Args:
            images: what to decode and embed.
            stop_at_error: leave off at the first image that cannot be read.

        Returns:
            Embeddings, zeros for images that cannot be read; and for each of those rows, why.
        """
        embeddings = self.encoder.empty(len(images))
        errors: dict[int, ImageError] = {}
        pixels = decoded(
            images,
            self.encoder.transform,
            workers=min(self.workers, len(images)),
            ahead=2 * self.batch_size,
        )
        first_with: dict[bytes, int] = {}
        twin_of: dict[int, int] = {}
        batch: dict[int, UInt8[np.ndarray, "row column 3"]] = {}
        bar = tqdm(
            total=len(images), desc="images", unit="image", disable=not self.progress, leave=False
        )
        with bar, contextlib.closing(pixels):
            for row, result in enumerate(pixels):
                bar.update()
                if isinstance(result, ImageError):
                    errors[row] = result
                    if stop_at_error:
                        return embeddings, errors
                    continue
                first = first_with.setdefault(blake2b(result.data, digest_size=16).digest(), row)
                if first != row:
                    twin_of[row] = first
                    continue
                batch[row] = result
                if len(batch) == self.batch_size:
                    self._encode(batch, embeddings)
                    batch = {}
        if batch:
            self._encode(batch, embeddings)
        for row, first in twin_of.items():
            embeddings[row] = embeddings[first]
        return embeddings, errors

    def texts(self, tokens: Sequence[Sequence[int]]) -> EncodedTexts:
        """Encode token ids, batched by length."""
        encoded = self.encoder.empty_texts(len(tokens))
        budget = self.batch_size * self.window
        bar = tqdm(
            total=len(tokens), desc="texts", unit="text", disable=not self.progress, leave=False
        )
        with bar:
            for rows in batches_by_length([len(ids) for ids in tokens], budget):
                part = self.encoder.texts([tokens[row] for row in rows])
                for field in fields(EncodedTexts):
                    whole = getattr(encoded, field.name)
                    if whole is not None:
                        whole[rows] = getattr(part, field.name)
                bar.update(len(rows))
        return encoded

    def interchanged(
        self,
        texts: Sequence[Sequence[int]],
        sources: Sequence[Sequence[int]],
        site: Site,
        basis: Float[Tensor, "width rank"],
    ) -> Float[Tensor, "text embedding"]:
        """Embed texts with the coordinates of their sources, batched by the texts' length."""
        embeddings = self.encoder.empty(len(texts))
        # Both sides of a batch are run at once.
        budget = max(1, self.batch_size * self.window // 2)
        for rows in batches_by_length([len(ids) for ids in texts], budget):
            embeddings[rows] = self.encoder.interchanged(
                [texts[row] for row in rows], [sources[row] for row in rows], site, basis
            )
        return embeddings

    def _encode(
        self,
        batch: dict[int, UInt8[np.ndarray, "row column 3"]],
        embeddings: Float[Tensor, "image width"],
    ) -> None:
        """Fill in the rows of one batch."""
        pixels = torch.from_numpy(np.stack(list(batch.values())))
        embeddings[list(batch)] = self.encoder.images(pixels)
