"""A metric without a model, whose digits depend on what is scored together, as a real one's do."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from descscore.results import Scores


class FakeMetric:
    """Scores from checksums; an image "missing…" and a text "bad" fail, a text "long…" is cut.

    An image's value depends on how many images it comes with: so do embeddings, in their last
    digits, when batches differ in size.
    """

    def __init__(self, signature: str = "fake") -> None:
        self.signature = signature
        self.calls: list[int] = []

    def __call__(self, images: Sequence[str], texts: Sequence[str]) -> Scores:
        self.calls.append(len(images))
        known = {
            image: zlib.crc32(Path(image).name.encode()) / 2**32 + 1e-6 * len(set(images))
            for image in images
        }
        errors = tuple(map(_error, range(len(images)), images, texts))
        scores = [
            known[image] + zlib.crc32(text.encode()) / 2**32
            for image, text in zip(images, texts, strict=True)
        ]
        places = np.arange(len(images))
        return Scores(
            scores=np.where(np.array(errors) == None, scores, np.nan).astype(np.float32),  # noqa: E711
            truncated=np.array([text.startswith("long") for text in texts]),
            n_tokens=np.ones(len(images), dtype=np.int32),
            image_index=places,
            text_index=places,
            errors=errors,
            signature=self.signature,
        )


def _error(place: int, image: str, text: str) -> str | None:
    name = Path(image).name
    if name.startswith("missing"):
        return f"image {place} ({name!r}) does not exist; check the path"
    return f"text {place} is bad; give a good one" if text == "bad" else None
