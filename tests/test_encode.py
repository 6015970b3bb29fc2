"""Batches of texts, and the exactness of padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.towers.clip import batches_by_length
from descscore.towers.encoder import Encoder


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Encoder, list[list[int]]]:
    """An encoder, and token ids of texts of very different lengths."""
    clip = load_clip(resolve_checkpoint(folder), dtype=dtype, device=torch.device("cpu"))
    texts = ["a dog", "a cat on the sofa", "a very " + "very " * 30 + "long text", "x " * 200]
    return Encoder(clip.towers, clip.images), [tokens.ids for tokens in clip.texts(texts)]


def by_transformers(encoder: Encoder, ids: list[list[int]], *, masked: bool) -> torch.Tensor:
    """The model's own text embeddings, padded to 77, with an attention mask if asked for."""
    # OpenAI's own padding: zeros.
    padded = torch.zeros(len(ids), 77, dtype=torch.int64)
    mask = torch.zeros_like(padded)
    for row, of_text in enumerate(ids):
        padded[row, : len(of_text)] = torch.tensor(of_text)
        mask[row, : len(of_text)] = 1
    options = {"attention_mask": mask} if masked else {}
    with torch.no_grad():
        output = encoder.towers.model.get_text_features(input_ids=padded, **options)
    return F.normalize(output.pooler_output, dim=1)


@pytest.mark.parametrize("masked", [True, False])
def test_padding_to_the_longest_equals_padding_to_77(tiny_clip: Path, masked: bool) -> None:
    encoder, ids = loaded(tiny_clip)
    expected = by_transformers(encoder, ids, masked=masked)
    torch.testing.assert_close(encoder.texts(ids).embeddings, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(encoder.texts(ids[:2]).embeddings, expected[:2], rtol=0, atol=1e-6)
    # The texts differ far more than that.
    assert (expected @ expected.T).triu(1).max() < 0.999


def test_padding_to_the_longest_equals_padding_to_77_in_vit_b32(vit_b32: Path) -> None:
    encoder, ids = loaded(vit_b32)
    expected = by_transformers(encoder, ids, masked=True)
    torch.testing.assert_close(encoder.texts(ids).embeddings, expected, rtol=0, atol=2e-6)
    assert (expected @ expected.T).triu(1).max() < 0.999


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_embeddings_are_normalised_in_float32_whatever_the_dtype(
    tiny_clip: Path, dtype: torch.dtype
) -> None:
    encoder, ids = loaded(tiny_clip, dtype)
    assert encoder.towers.model.dtype == dtype
    pixels = torch.randint(256, (2, 32, 32, 3), dtype=torch.uint8)
    for embeddings in (encoder.texts(ids).embeddings, encoder.images(pixels)):
        assert embeddings.dtype == torch.float32
        assert not embeddings.requires_grad
        # Normalised in half precision, lengths would be off by a thousandth.
        lengths = embeddings.double().norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0, atol=1e-6)


def test_batches_take_each_row_once_and_keep_within_the_budget() -> None:
    lengths = [5, 77, 3, 12, 9, 77, 4, 30, 8, 8, 77, 1]
    batches = list(batches_by_length(lengths, budget=80))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[row] for row in batch) <= 80 for batch in batches)
    # Similar lengths go together: the longest of a batch is never shorter than any that follow.
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(lengths, reverse=True)


def test_a_text_beyond_the_budget_is_a_batch_of_its_own() -> None:
    assert list(batches_by_length([50, 90], budget=60)) == [[1], [0]]
    assert list(batches_by_length([], budget=60)) == []
