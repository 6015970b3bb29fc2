"""A checkpoint's two towers, for measuring: images that are seen again are embedded once."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from descscore.checkpoints.attach import load_clip
from descscore.inputs.stream import default_workers
from descscore.pipeline import embed_images, embed_tokens
from descscore.towers.device import choose_device
from descscore.towers.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from descscore.checkpoints.store import Checkpoint
    from descscore.inputs.pairs import ImageInput

_IMAGES_READ = 2048
_BATCH = 256


class ImageStore:
    """Embeddings of data sets, by vision tower and data set."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Float[Tensor, "image width"]] = {}

    def get(self, tower: str, data: str) -> Float[Tensor, "image width"] | None:
        """What was kept of a data set for a tower."""
        return self._kept.get((tower, data))

    def keep(self, tower: str, data: str, embeddings: Float[Tensor, "image width"]) -> None:
        """Keep a data set's embeddings for all checkpoints with the same tower."""
        self._kept[tower, data] = embeddings


class Towers:
    """A checkpoint's towers, in float32.

    Args:
        checkpoint: whose.
        device: "auto" or a PyTorch device.
        store: where embeddings of images are kept; None keeps none.
        tower: what names its vision tower in the store: the base's identity, if that is its.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str, store: ImageStore | None, tower: str
    ) -> None:
        clip = load_clip(checkpoint, dtype=torch.float32, device=choose_device(device))
        self._transform = clip.texts
        self._store, self._tower = store, tower
        self._encoder = Encoder(clip.towers, clip.images)

    def images(self, images: Iterable[ImageInput], data: str) -> Float[Tensor, "image width"]:
        """Unit embeddings of images.

        Args:
            images: in order; read a few thousand at a time.
            data: what names them in the store.

        Raises:
            ImageError: one cannot be read.
        """
        kept = None if self._store is None else self._store.get(self._tower, data)
        if kept is not None:
            return kept
        parts = []
        for first, some in enumerate(_parts(images, _IMAGES_READ)):
            embeddings, errors = embed_images(
                self._encoder,
                some,
                batch_size=_BATCH,
                workers=default_workers(),
                stop_at_error=True,
            )
            if errors:
                row, error = next(iter(errors.items()))
                raise type(error)(f"image {first * _IMAGES_READ + row} of {data} {error}")
            parts.append(embeddings)
        embeddings = torch.cat(parts)
        if self._store is not None:
            self._store.keep(self._tower, data, embeddings)
        return embeddings

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "text width"]:
        """Unit embeddings of texts; what is beyond the window is cut."""
        tokens = [text.ids for text in self._transform(list(texts))]
        budget = _BATCH * self._transform.window
        return embed_tokens(self._encoder, tokens, budget=budget).embeddings


def _parts(values: Iterable[Any], length: int) -> Iterable[list[Any]]:
    iterator = iter(values)
    while part := list(islice(iterator, length)):
        yield part
