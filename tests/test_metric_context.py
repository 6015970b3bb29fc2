"""Contextual CLIPScore equals Kreiss et al.'s formula on transformers' own embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from descscore import DescriptionScore
from descscore.errors import PairingError, TextError
from tests.conftest import ROOT

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))[:3]
TEXTS = ["a dog on the beach", "Cat in 1907.", "Two clocks!"]
CONTEXTS = ["The dog (Canis familiaris) is a mammal.", "Cats", "A clock measures time. " * 30]


def by_formula(
    folder: Path, images: np.ndarray, texts: list[str], contexts: list[str]
) -> np.ndarray:
    """c·d/‖d‖ + d·(i/‖i‖ - c/‖c‖), with the unit embeddings of images given."""
    model: Any
    model, tokenizer = CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)

    def embed(text: str) -> torch.Tensor:
        tokens = tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
        with torch.no_grad():
            return model.get_text_features(**tokens).pooler_output[0].double()

    scores = []
    for image, text, context in zip(torch.tensor(images).double(), texts, contexts, strict=True):
        d, c = embed(text), embed(context)
        scores.append((c @ d / d.norm() + d @ (image - c / c.norm())).item())
    return np.array(scores)


def test_it_is_the_published_formula_beside_the_plain_score(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    found = metric(PHOTOS, TEXTS, context=CONTEXTS)
    expected = by_formula(tiny_clip, metric.embed_images(PHOTOS).values, TEXTS, CONTEXTS)
    np.testing.assert_allclose(found.context_scores, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected) > 0.1
    plain = metric(PHOTOS, TEXTS)
    np.testing.assert_array_equal(found.scores, plain.scores)
    assert plain.context_scores is None
    assert found.to_records()[0]["context_score"] == found.context_scores[0]


def test_the_prefix_is_put_before_texts_and_not_before_contexts(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, prefix="A photo depicts ")
    found = metric(PHOTOS, TEXTS, context=CONTEXTS).context_scores
    texts = [f"A photo depicts {text}" for text in TEXTS]
    expected = by_formula(tiny_clip, metric.embed_images(PHOTOS).values, texts, CONTEXTS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_contexts_belong_to_images(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    pairwise = metric(PHOTOS, TEXTS, context=CONTEXTS, pairwise=True).context_scores
    assert pairwise.shape == (3, 3)
    for row, photo in enumerate(PHOTOS):
        singly = metric(photo, TEXTS, context=CONTEXTS[row]).context_scores
        np.testing.assert_allclose(pairwise[row], singly, rtol=0, atol=1e-5)
    shared = metric(PHOTOS, TEXTS, context="Cats").context_scores
    np.testing.assert_allclose(
        shared, metric(PHOTOS, TEXTS, context=["Cats"] * 3).context_scores, rtol=0, atol=1e-6
    )


def test_sentences_of_a_long_text_count_alike(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, long_text="sentences")
    sentences = [f"Number {i} is a {'very ' * 20}big dog." for i in range(4)]
    whole = metric(PHOTOS[0], " ".join(sentences), context="Cats")
    assert whole.context_scores is not None
    [found] = whole.context_scores
    singly = metric(PHOTOS[0], sentences, context="Cats").context_scores
    assert found == pytest.approx(singly.mean(), abs=1e-4)


def test_a_bad_context_fails_its_pairs_by_name(tiny_clip: Path) -> None:
    with pytest.raises(TextError, match=r"^context 1 is empty"):
        DescriptionScore(tiny_clip)(PHOTOS, TEXTS, context=["a", " ", "b"])
    metric = DescriptionScore(tiny_clip, on_error="record")
    metric.update(PHOTOS[:1], TEXTS[:1], context="a")
    metric.update(PHOTOS[1:], TEXTS[1:], context=["b", " "])
    found = metric.compute()
    assert [error is None for error in found.errors] == [True, True, False]
    assert found.errors[2].startswith("context 2 is empty")
    assert np.isnan(found.context_scores).tolist() == [False, False, True]


def test_numbers_that_do_not_fit_are_refused(tiny_clip: Path) -> None:
    with pytest.raises(PairingError, match="3 images and 2 contexts; give one context per image"):
        DescriptionScore(tiny_clip)(PHOTOS, TEXTS, context=["a", "b"])
