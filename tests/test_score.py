"""Scales and aggregates against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from descscore import score
from descscore.score import cosines, max_by, mean_by, reference_augmented, to_scale


def unit_rows(rows: int, width: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, width))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("pairs", [1, 7, 500], ids=["few", "some", "nearly_all"])
def test_cosines_are_dot_products_however_many_pairs_there_are(
    pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "_ROWS_GATHERED", 3)
    left, right = unit_rows(20, 16, 0), unit_rows(30, 16, 1)
    generator = np.random.default_rng(2)
    rows, others = generator.integers(20, size=pairs), generator.integers(30, size=pairs)
    expected = [left[i] @ right[j] for i, j in zip(rows, others, strict=True)]
    found = cosines(
        torch.tensor(left, dtype=torch.float32),
        torch.tensor(right, dtype=torch.float32),
        torch.tensor(rows),
        torch.tensor(others),
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pairs", [1, 8], ids=["row_by_row", "as_a_matrix"])
def test_cosines_of_half_precision_embeddings_are_multiplied_in_float32(pairs: int) -> None:
    left = torch.tensor(unit_rows(8, 512, 0)).half()
    right = torch.tensor(unit_rows(4, 512, 1)).half()
    rows, others = torch.arange(pairs), torch.arange(pairs) % 4
    found = cosines(left, right, rows, others)
    assert found.dtype == torch.float32
    expected = (left[rows].double() * right[others].double()).sum(1)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("clipscore", [0.0, 0.0, 0.75, 2.5]),
        ("clip100", [0.0, 0.0, 30.0, 100.0]),
        ("cosine", [-1.0, 0.0, 0.3, 1.0]),
    ],
)
def test_scales_clamp_each_pair_by_itself(scale: str, expected: list[float]) -> None:
    found = to_scale(torch.tensor([-1.0, 0.0, 0.3, 1.0]), scale)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_reference_augmented_scores_are_harmonic_means() -> None:
    # Hessel et al. 2021, section 3: H-Mean(CLIP-S, max(max over references of cos, 0)).
    scores, references = [0.5, 1.0, 0.0, 0.7, 0.0], [0.8, 1.0, 0.9, 0.0, 0.0]
    expected = [2 / (1 / 0.5 + 1 / 0.8), 1.0, 0.0, 0.0, 0.0]
    found = reference_augmented(torch.tensor(scores), torch.tensor(references))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_groups_are_averaged_and_maximised() -> None:
    values, group = torch.tensor([0.2, -0.4, 0.9, -0.5]), torch.tensor([0, 2, 0, 3])
    np.testing.assert_allclose(mean_by(values, group, 5), [0.55, 0, -0.4, -0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(max_by(values, group, 5), [0.9, 0, 0, 0, 0], rtol=1e-6)
