"""Distinct images and texts -> their unit embeddings, in batches, decoding beside encoding."""

from __future__ import annotations

import contextlib
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from descscore.encode import batches_by_length
from descscore.errors import ImageError
from descscore.stream import decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from descscore.encode import Encoder
    from descscore.inputs import ImageInput


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

    def texts(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "text width"]:
        """Embed token ids, batched by length."""
        embeddings = self.encoder.empty(len(tokens))
        budget = self.batch_size * self.window
        bar = tqdm(
            total=len(tokens), desc="texts", unit="text", disable=not self.progress, leave=False
        )
        with bar:
            for rows in batches_by_length([len(ids) for ids in tokens], budget):
                embeddings[rows] = self.encoder.texts([tokens[row] for row in rows])
                bar.update(len(rows))
        return embeddings

    def _encode(
        self,
        batch: dict[int, UInt8[np.ndarray, "row column 3"]],
        embeddings: Float[Tensor, "image width"],
    ) -> None:
        """Fill in the rows of one batch."""
        pixels = torch.from_numpy(np.stack(list(batch.values())))
        embeddings[list(batch)] = self.encoder.images(pixels)
