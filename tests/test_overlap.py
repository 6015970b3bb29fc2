"""Decoding goes on beside encoding, so scoring takes as long as the slower of the two."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descscore import DescriptionScore
from descscore.inputs import decode as decoding
from descscore.inputs.transform import TextTransform

BATCHES, SIZE = 8, 4
SLOW = 0.1
"""Seconds for a batch: sleeping, which needs no core, as a GPU does not."""


@pytest.fixture
def slow(tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A metric of which each part can be made slow, and when each was at work."""
    metric = DescriptionScore(tiny_clip, batch_size=SIZE, num_workers=1)
    metric([np.zeros((32, 32, 3), np.uint8)], "a text")
    pauses = {"decode": 0.0, "encode": 0.0, "tokenise": 0.0}
    decode, encoder = decoding.decode, metric._pipeline.encoder
    images, tokenise = encoder.images, TextTransform.__call__

    def slow_decode(image: Any) -> Any:
        time.sleep(pauses["decode"] / SIZE)
        return decode(image)

    def slow_images(pixels: torch.Tensor) -> torch.Tensor:
        time.sleep(pauses["encode"])
        return images(pixels)

    def slow_tokenise(self: TextTransform, texts: list[str]) -> Any:
        time.sleep(pauses["tokenise"])
        return tokenise(self, texts)

    monkeypatch.setattr(decoding, "decode", slow_decode)
    monkeypatch.setattr(encoder, "images", slow_images)
    monkeypatch.setattr(TextTransform, "__call__", slow_tokenise)
    return {"metric": metric, "pauses": pauses}


def seconds(slow: dict[str, Any], **pauses: float) -> float:
    slow["pauses"].update({"decode": 0.0, "encode": 0.0, "tokenise": 0.0} | pauses)
    generator = np.random.default_rng(0)
    photos = list(generator.integers(0, 256, (BATCHES * SIZE, 32, 32, 3), np.uint8))
    start = time.perf_counter()
    slow["metric"](photos, "a text")
    return time.perf_counter() - start


def test_scoring_takes_the_longer_of_decoding_and_encoding(slow: dict[str, Any]) -> None:
    decoding, encoding = seconds(slow, decode=SLOW), seconds(slow, encode=SLOW)
    both = seconds(slow, decode=SLOW, encode=SLOW)
    assert min(decoding, encoding) > BATCHES * SLOW
    # The first batch is decoded before anything is encoded, and the last is encoded after all else.
    assert both < max(decoding, encoding) + 2.5 * SLOW
    assert both < 0.75 * (decoding + encoding)


def test_tokenising_goes_on_beside_encoding(slow: dict[str, Any]) -> None:
    half = BATCHES * SLOW / 2
    encoding = seconds(slow, encode=SLOW)
    assert seconds(slow, encode=SLOW, tokenise=half) < encoding + 0.5 * half
