"""A metric without a model, whose digits depend on what is scored together, as a real one's do."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from descscore.results import Problem, Scores


class FakeMetric:
    """Scores from checksums; an image "missing…" and a text "bad" fail, a text "long…" is cut.

    An image's value depends on how many images it comes with: so do embeddings, in their last
    digits, when batches differ in size.

    Args:
        signature: of its scores.
        readouts: that it has.
    """

    def __init__(
        self,
        signature: str = "fake",
        *,
        readouts: Sequence[str] = (),
    ) -> None:
        self.signature = signature
        self.readouts = frozenset(readouts)
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
        failed = np.array(errors) != None  # noqa: E711

        def finished(values: Sequence[float]) -> np.ndarray:
            return np.where(failed, np.nan, values).astype(np.float32)

        purpose = finished([zlib.crc32(text[::-1].encode()) / 2**32 for text in texts])
        return Scores(
            scores=finished(scores),
            truncated=np.array([text.startswith("long") for text in texts]),
            n_tokens=np.ones(len(images), dtype=np.int32),
            image_index=places,
            text_index=places,
            errors=errors,
            purpose=purpose if "purpose" in self.readouts else None,
            purpose_effect=-purpose if "purpose_effect" in self.readouts else None,
            signature=self.signature,
        )


def _error(place: int, image: str, text: str) -> Problem | None:
    name = Path(image).name
    if name.startswith("missing"):
        return Problem("image", place, f"({name!r}) does not exist; check the path")
    return Problem("text", place, "is bad; give a good one") if text == "bad" else None
