"""What a checkpoint is measured to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descscore.results import Embeddings, Scores
from descscore_training.card import measured_table
from descscore_training.measure import measure_flickr8k, own_above_others
from tests import benchmarks_made as made


class SameForAll(made.KnownMetric):
    """A metric, such as that of a collapsed CLIP, that tells nothing apart."""

    def __call__(self, *given: Any, **options: Any) -> Scores:
        scores = super().__call__(*given, **options)
        return replace(scores, scores=np.full_like(scores.scores, 0.5))

    def embed_images(self, items: list[Any]) -> Embeddings:
        return Embeddings(values=np.ones((len(items), 1), np.float32), errors=(None,) * len(items))

    embed_texts = embed_images


def test_an_undefined_correlation_is_none_and_not_zero(tmp_path: Path):
    names = made.flickr8k(tmp_path)
    made.make_images(tmp_path / "images", names)
    (tmp_path / "Flickr_8k.testImages.txt").write_text("\n".join(names))
    found = measure_flickr8k(SameForAll(), tmp_path)
    assert found["flickr8k-expert tau_c"] is None
    assert found["flickr8k-cf tau_b"] is None
    assert "| flickr8k-expert tau-c | undefined |" in measured_table({"": {"flickr8k": found}})


def test_own_texts_are_compared_with_those_of_other_images_alone():
    # The first image's texts (0.9, 0.2) are above 2 and 1 of (0.5, 0.1); the second's (0.4, 0.3)
    # above none and none of (0.6, 0.4), where a tie counts for nothing.
    similarity = np.array([[0.9, 0.2, 0.5, 0.1], [0.6, 0.4, 0.4, 0.3]])
    own = np.array([0, 0, 1, 1])
    assert own_above_others(similarity, own) == pytest.approx((3 / 4 + 0) / 2)
