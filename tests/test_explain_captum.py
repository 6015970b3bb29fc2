"""Totals equal captum's integrated gradients of transformers' own model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerIntegratedGradients

from descscore import DescriptionScore
from tests.conftest import ROOT
from tests.plain_gradients import plain_score

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = ["A smiling astronaut, in an orange suit!", "Cat.", "A cup of coffee\non a WOODEN table"]


def captums(metric: DescriptionScore, image: Path, text: str, *, n_steps: int) -> np.ndarray:
    """LayerIntegratedGradients at the token embeddings, the padding token's as the baseline."""
    model, tokenizer = metric._pipeline.encoder.towers.model, metric._pipeline.transform.tokenizer
    ids = tokenizer([text], return_tensors="pt").input_ids
    baseline = ids.clone()
    baseline[:, 1:-1] = tokenizer.pad_token_id
    of_image = torch.from_numpy(metric.embed_images(image).values[0])

    def score(rows):
        return plain_score(model, rows, of_image)

    layer = LayerIntegratedGradients(score, model.text_model.embeddings.token_embedding)
    found: Any = layer.attribute(
        ids, baseline, n_steps=n_steps, method="gausslegendre", internal_batch_size=10
    )
    return found.sum(2)[0, 1:-1].detach().numpy()


@pytest.fixture(params=["tiny", "mini"])
def metric(request: pytest.FixtureRequest) -> DescriptionScore:
    name = request.param
    return DescriptionScore("mini" if name == "mini" else request.getfixturevalue("tiny_clip"))


def test_total_is_captums(metric: DescriptionScore) -> None:
    found = metric.explain(PHOTOS[:3], TEXTS, n_steps=20)
    for image, text, explanation in zip(PHOTOS, TEXTS, found, strict=False):
        expected = captums(metric, image, text, n_steps=20)
        np.testing.assert_allclose(explanation.of_tokens.total, expected, atol=1e-4, rtol=0)
        assert np.abs(expected).max() > 0.1


def test_total_is_captums_for_vit_b32(vit_b32: Path) -> None:
    metric = DescriptionScore(vit_b32)
    found = metric.explain(PHOTOS[0], TEXTS[0], n_steps=10)
    expected = captums(metric, PHOTOS[0], TEXTS[0], n_steps=10)
    np.testing.assert_allclose(found.of_tokens.total, expected, atol=1e-4, rtol=0)
    assert np.abs(expected).max() > 0.1


def test_total_with_zeros_is_captums(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    model = metric._pipeline.encoder.towers.model
    ids = metric._pipeline.transform.tokenizer([TEXTS[0]], return_tensors="pt").input_ids
    of_image = torch.from_numpy(metric.embed_images(PHOTOS[0]).values[0])
    embeddings = model.text_model.embeddings.token_embedding(ids).detach()
    baseline = embeddings.clone()
    baseline[:, 1:-1] = 0

    def score(rows):
        return plain_score(model, ids.expand(len(rows), -1), of_image, embeddings=rows)

    expected = IntegratedGradients(score).attribute(embeddings, baseline, n_steps=20)
    found = metric.explain(PHOTOS[0], TEXTS[0], n_steps=20, baseline="zero")
    np.testing.assert_allclose(
        found.of_tokens.total, expected.sum(2)[0, 1:-1].detach().numpy(), atol=1e-4, rtol=0
    )
    # The other baseline gives others.
    other = metric.explain(PHOTOS[0], TEXTS[0], n_steps=20)
    assert np.abs(found.of_tokens.total - other.of_tokens.total).max() > 0.01
