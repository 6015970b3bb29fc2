"""What an encoder keeps in a cache: embeddings of pixels and tokens, and the pixels of files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING, cast

import numpy as np
import PIL
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from descscore.checkpoints.attach import Clip
    from descscore.checkpoints.store import Checkpoint
    from descscore.errors import ImageError
    from descscore.inputs.items import ImageInput
    from descscore.towers.cache import EmbeddingCache
    from descscore.towers.protocol import EncodedTexts

_SETTLED_NS = 2 * 10**9
"""A file that changed later than this ago could change again within one tick of its clock."""


def digest_of(values: np.ndarray) -> bytes:
    """Of the content of an array; arrays of one kind have one shape."""
    return blake2b(np.ascontiguousarray(values).data, digest_size=16).digest()


class EncoderCache:
    """The part of a cache that belongs to one checkpoint, in one dtype on one kind of device.

    Args:
        store: the cache.
        checkpoint: what embeddings depend on beside pixels or tokens: weights, dtype, device.
        transform: what pixels depend on beside the image: the steps of preprocessing.
    """

    def __init__(self, store: EmbeddingCache, *, checkpoint: str, transform: str) -> None:
        self._store = store
        self._checkpoint = checkpoint
        steps = f"{transform}|pillow-{PIL.__version__}|descscore-{version('descscore')}"
        self._key = blake2b(steps.encode(), digest_size=32).digest()
        self._seen: dict[int, bytes] = {}
        self._noted: dict[bytes, tuple[bytes, str]] = {}

    @classmethod
    def of(
        cls, store: EmbeddingCache | None, checkpoint: Checkpoint, clip: Clip
    ) -> EncoderCache | None:
        """The part of a cache that belongs to a loaded checkpoint; None without a cache."""
        if store is None:
            return None
        base, towers = checkpoint.base or checkpoint, clip.towers
        depends_on = (checkpoint.identity, base.identity, towers.precision, towers.device.type)
        return cls(store, checkpoint="|".join(map(str, depends_on)), transform=repr(clip.images))

    def seen(
        self, images: Sequence[ImageInput | ImageError], width: int
    ) -> tuple[Int[np.ndarray, " found"], Float[np.ndarray, "found width"]]:
        """Embeddings of images that were decoded and encoded before, without decoding them.

        Known are paths, by the file's place, size and times, and encoded bytes, by their content.

        Returns:
            The positions in `images` of those found, and their embeddings.
        """
        identities = [self._identity(image) for image in images]
        self._seen = {row: one[1] for row, one in enumerate(identities) if one is not None}
        pixels = self._store.pixels_of([*self._seen.values()])
        rows = [row for row, identity in self._seen.items() if identity in pixels]
        keys = [pixels[self._seen[row]] for row in rows]
        found, values = self._store.get(self._space("images"), keys, width)
        return np.array(rows, dtype=np.int64)[found], values

    def note(self, row: int, image: ImageInput | ImageError, pixels: bytes) -> None:
        """Keep the digest of an image's pixels, if its file is what it was in the last `seen`."""
        before = self._seen.get(row)
        if before is None:
            return
        path, identity, changed = self._identity(image) or (b"", b"", 0)
        if identity == before and time.time_ns() - changed > _SETTLED_NS:
            self._noted[identity] = pixels, path.decode("utf-8", "replace")

    def save(self) -> None:
        """Write what was noted."""
        self._store.remember_files(self._noted)
        self._noted = {}

    def images(
        self,
        pixels: UInt8[Tensor, "image row column 3"],
        encode: Callable[[UInt8[Tensor, "image row column 3"]], Float[Tensor, "image width"]],
        blank: Float[Tensor, "image width"],
    ) -> Float[Tensor, "image width"]:
        """Unit embeddings of cropped images; those that are not here are encoded and kept."""
        keys = [digest_of(each) for each in pixels.cpu().numpy()]
        return self._complete("images", keys, blank, lambda rows: encode(pixels[rows]))

    def texts(
        self,
        tokens: Sequence[Sequence[int]],
        encode: Callable[[Sequence[Sequence[int]]], EncodedTexts],
        blank: EncodedTexts,
    ) -> EncodedTexts:
        """What is known of texts; those that are not here are encoded and kept."""
        parts = {field.name: getattr(blank, field.name) for field in fields(blank)}
        parts = {name: part for name, part in parts.items() if part is not None}
        widths = [part[0].numel() for part in parts.values()]
        keys = [digest_of(np.array(ids, dtype=np.int32)) for ids in tokens]

        def join(texts: EncodedTexts) -> Float[Tensor, "text width"]:
            return torch.cat([_flat(getattr(texts, name)) for name in parts], 1)

        whole = self._complete(
            f"texts with {', '.join(parts)}",
            keys,
            join(blank),
            lambda rows: join(encode([tokens[row] for row in rows])),
        )
        columns = zip(parts.items(), whole.split(widths, 1), strict=True)
        return replace(blank, **{name: part.view_as(old) for (name, old), part in columns})

    def _complete(
        self,
        kind: str,
        keys: Sequence[bytes],
        values: Float[Tensor, "row width"],
        encode: Callable[[list[int]], Float[Tensor, "missing width"]],
    ) -> Float[Tensor, "row width"]:
        found, known = self._store.get(self._space(kind), keys, values.shape[1])
        values[found] = torch.from_numpy(known).to(values.device)
        missing = sorted({*range(len(keys))} - {*found.tolist()})
        if missing:
            made = encode(missing)
            values[missing] = made
            array = made.cpu().numpy()
            good = np.flatnonzero(np.isfinite(array).all(1)).tolist()
            self._store.put(self._space(kind), [keys[missing[i]] for i in good], array[good])
        return values

    def _space(self, kind: str) -> str:
        return f"{kind}|{self._checkpoint}"

    def _identity(self, image: ImageInput | ImageError) -> tuple[bytes, bytes, int] | None:
        """The path of a file, its identity, and when it changed; None for what has no identity."""
        if isinstance(image, Mapping):  # of `datasets`
            content = image.get("bytes")
            image = cast("ImageInput", image.get("path") if content is None else content)
        if isinstance(image, bytes | bytearray):
            return b"", blake2b(image, digest_size=16, key=self._key, person=b"bytes").digest(), 0
        if not isinstance(image, str | os.PathLike):
            return None
        try:
            path = os.path.abspath(os.fsencode(os.fspath(image)))
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        about = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino)
        digest = blake2b(path, digest_size=16, key=self._key, person=b"file")
        digest.update(repr(about).encode())
        return path, digest.digest(), max(found.st_mtime_ns, found.st_ctime_ns)


def _flat(values: Tensor) -> Float[Tensor, "row width"]:
    return values.reshape(len(values), -1)
