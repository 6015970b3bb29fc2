"""Embeddings of images that were scored lately."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from jaxtyping import Float
    from torch import Tensor

    from descscore.inputs import ImageInput


class RecentImages:
    """The last image files' embeddings, so that tables scored in parts encode an image once.

    A file that was written to since counts as another image. Only paths are remembered: nothing
    else can be told apart without decoding it.

    Args:
        limit: embeddings kept at most, 2 kB each for ViT-B/32.
    """

    def __init__(self, limit: int = 4096) -> None:
        self.limit = limit
        self._embeddings: OrderedDict[Hashable, Float[Tensor, " width"]] = OrderedDict()

    def key(self, image: ImageInput) -> Hashable | None:
        """What an image is remembered by; None if it is not remembered."""
        if not isinstance(image, str | os.PathLike):
            return None
        try:
            status = os.stat(image)
        except (OSError, ValueError):
            return None
        return os.path.abspath(os.fspath(image)), status.st_mtime_ns, status.st_size

    def get(self, key: Hashable | None) -> Float[Tensor, " width"] | None:
        """The embedding of a key, which becomes the latest; None if it is not there."""
        if key not in self._embeddings:
            return None
        self._embeddings.move_to_end(key)
        return self._embeddings[key]

    def clear(self) -> None:
        """Forget all."""
        self._embeddings.clear()

    def put(self, key: Hashable | None, embedding: Float[Tensor, " width"]) -> None:
        """Remember an embedding, forgetting the oldest beyond the limit."""
        if key is None:
            return
        self._embeddings[key] = embedding.clone()
        if len(self._embeddings) > self.limit:
            self._embeddings.popitem(last=False)
