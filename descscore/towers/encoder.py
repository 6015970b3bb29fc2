"""Cropped pixels and token ids -> unit embeddings and coordinates in the purpose subspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from descscore.purpose.subspace import interchange
from descscore.towers.clip import without_autocast
from descscore.towers.protocol import EncodedTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from descscore.inputs.transform import ImageTransform
    from descscore.purpose.probe import Purpose
    from descscore.purpose.subspace import Site
    from descscore.towers.cached import EncoderCache
    from descscore.towers.protocol import Towers


class Encoder:
    """A model's two towers, and the purpose subspace.

    Args:
        towers: on the device and in the dtype to compute in.
        transform: the image transform, for the mean and deviation.
        purpose: read its coordinates from the run that gives a text's embedding.
        effect: also embed texts with the coordinates of the mean caption.
        cache: where embeddings are looked up and kept.
    """

    def __init__(
        self,
        towers: Towers,
        transform: ImageTransform,
        purpose: Purpose | None = None,
        *,
        effect: bool = False,
        cache: EncoderCache | None = None,
    ) -> None:
        self.towers = towers
        self.transform = transform
        self.purpose = purpose
        self.effect = effect
        self.cache = cache

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
        if self.cache is None:
            return self._images(pixels)
        return self.cache.images(pixels, self._images, self.empty(len(pixels)))

    def _images(self, pixels: UInt8[Tensor, "image row column 3"]) -> Float[Tensor, "image width"]:
        pixels = pixels.to(self.device)
        with without_autocast(self.device):
            return self.towers.embed_images(self.transform.normalise(pixels))

    @torch.inference_mode()
    def texts(self, tokens: Sequence[Sequence[int]]) -> EncodedTexts:
        """Unit embeddings of texts and what is read from the subspace, on the model's device."""
        if self.cache is None:
            return self._texts(tokens)
        return self.cache.texts(tokens, self._texts, self.empty_texts(len(tokens)))

    def _texts(self, tokens: Sequence[Sequence[int]]) -> EncodedTexts:
        coordinates = as_captions = None
        with without_autocast(self.device):
            if self.purpose is None:
                features = self.towers.text_features(tokens)
            else:
                layer = self.purpose.site.layer
                run = self.towers.run_texts(tokens, layer, keep=self.effect)
                features, coordinates = run.features, self.purpose.coordinates(run.site)
                if self.effect:
                    states = self.purpose.as_captions(run.site)
                    as_captions = self.towers.run_on(run, states, layer)
            return EncodedTexts(
                embeddings=F.normalize(features, dim=1),
                lengths=torch.linalg.vector_norm(features, dim=1),
                coordinates=coordinates,
                as_captions=as_captions,
            )

    @torch.inference_mode()
    def interchanged(
        self,
        texts: Sequence[Sequence[int]],
        sources: Sequence[Sequence[int]],
        site: Site,
        basis: Float[Tensor, "width dimension"],
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
            dimension = self.purpose.basis.shape[1]
            coordinates = torch.zeros(rows, dimension, dtype=torch.float32, device=self.device)
        return EncodedTexts(
            embeddings=self.empty(rows),
            lengths=self.empty(rows)[:, 0],
            coordinates=coordinates,
            as_captions=self.empty(rows) if self.effect else None,
        )
