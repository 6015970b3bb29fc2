"""Integrated gradients equal a plain implementation with whole models and hooks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from descscore.explain import integrated_gradients
from descscore.explain.integrated_gradients import IntegratedGradients
from descscore.purpose.probe import Purpose
from descscore.purpose.subspace import Site, random_basis
from descscore.towers.clip_embeddings import EmbeddingTower
from tests.plain_gradients import PARTS, plain_integral, plain_log_odds, plain_score
from tests.small_clip import BLOCKS, END, START, WIDTH, random_texts, small_clip

LENGTHS = [9, 3, 14, 9]
PADDING = 7


def texts(seed: int = 1) -> list[list[int]]:
    ids, ends = random_texts(LENGTHS, seed=seed)
    return [row[: end + 1].tolist() for row, end in zip(ids, ends, strict=True)]


def images(count: int, seed: int = 2) -> torch.Tensor:
    drawn = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=1)


def subspace(layer: int, basis: torch.Tensor | None = None) -> Purpose:
    basis = random_basis(WIDTH, 6, seed=3) if basis is None else basis
    rank = basis.shape[1]
    weight, mean = torch.randn(2, rank, generator=torch.Generator().manual_seed(4))
    return Purpose(
        site=Site(layer=layer),
        basis=basis,
        weight=weight,
        bias=torch.tensor(0.3),
        caption_mean=mean,
        description_mean=mean,
    )


@pytest.fixture(scope="module", params=[END, 2], ids=["eos", "legacy"])
def model(request: pytest.FixtureRequest):
    return small_clip(eos_token_id=request.param).requires_grad_(False)


def integrals(
    model,
    purpose: Purpose | None,
    tokens: Sequence[Sequence[int]],
    of_images: torch.Tensor | None,
    *,
    n_steps: int = 5,
    padding: int | None = PADDING,
):
    tower = EmbeddingTower(model, start=START)
    explain = IntegratedGradients(tower=tower, purpose=purpose, padding=padding, n_steps=n_steps)
    return explain(tokens, of_images)


def plain(model, ids, image, *, n_steps=5, padding=PADDING, **site):
    row = torch.tensor([ids])
    if isinstance(image, Purpose):
        explained = partial(plain_log_odds, model, row, image)
    else:
        explained = partial(plain_score, model, row, image, **site)
    # From [-1, 1] to [0, 1].
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    points = (nodes + 1) / 2
    return plain_integral(
        model, ids, explained, padding=padding, points=points, weights=weights / 2
    )


@pytest.mark.parametrize("layer", range(1, BLOCKS + 1))
def test_each_part_is_what_hooks_that_detach_the_rest_give(model, layer: int) -> None:
    purpose = subspace(layer)
    for ids, image, found in zip(
        texts(), images(4), integrals(model, purpose, texts(), images(4)), strict=True
    ):
        for part in PARTS[:3]:
            expected = plain(model, ids, image, part=part, layer=layer, basis=purpose.basis)
            torch.testing.assert_close(getattr(found, part), expected, atol=1e-5, rtol=1e-5)
        # The three are not the same for a trivial reason.
        assert min(found.through.abs().max(), found.around.abs().max()) > 1e-3


@pytest.mark.parametrize("padding", [PADDING, None])
def test_total_needs_no_subspace(model, padding: int | None) -> None:
    options = {"padding": padding, "n_steps": 4}
    for ids, image, found in zip(
        texts(), images(4), integrals(model, None, texts(), images(4), **options), strict=True
    ):
        expected = plain(model, ids, image, **options)
        torch.testing.assert_close(found.total, expected, atol=1e-5, rtol=1e-5)
        assert found.through is found.around is None


@pytest.mark.parametrize("n_steps", [1, 2, 50])
def test_through_and_around_make_the_total_at_any_number_of_steps(model, n_steps: int) -> None:
    options = {"n_steps": n_steps}
    split = integrals(model, subspace(2), texts(), images(4), **options)
    whole = integrals(model, None, texts(), images(4), **options)
    for parts, total in zip(split, whole, strict=True):
        torch.testing.assert_close(parts.through + parts.around, total.total, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(parts.total, total.total, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [1, 2, BLOCKS])
def test_around_the_full_space_is_what_passes_other_positions(model, layer: int) -> None:
    purpose = subspace(layer, torch.eye(WIDTH))
    for ids, image, found in zip(
        texts(), images(4), integrals(model, purpose, texts(), images(4)), strict=True
    ):
        expected = plain(model, ids, image, part="other positions", layer=layer)
        torch.testing.assert_close(found.around, expected, atol=1e-5, rtol=1e-5)
        assert bool((found.around.abs() < 1e-5).all()) == (layer == BLOCKS)


def test_nothing_flows_through_an_empty_subspace(model) -> None:
    found = integrals(model, subspace(2, torch.zeros(WIDTH, 0)), texts(), images(4))
    assert all((of_text.through == 0).all() for of_text in found)
    assert all((of_text.total != 0).all() for of_text in found)


@pytest.mark.parametrize("layer", [1, 3, BLOCKS])
def test_the_probe_is_explained_through_the_subspace_alone(model, layer: int) -> None:
    purpose = subspace(layer)
    for ids, found in zip(texts(), integrals(model, purpose, texts(), None), strict=True):
        expected = plain(model, ids, purpose)
        torch.testing.assert_close(found.through, expected, atol=1e-5, rtol=1e-5)
        assert (found.around == 0).all()
        assert found.total.tolist() == found.through.tolist()
        value = plain_log_odds(model, torch.tensor([ids]), purpose).item()
        assert found.value == pytest.approx(value, rel=1e-5)


def test_values_are_the_models_own(model) -> None:
    found = integrals(model, subspace(2), texts(), images(4))
    for ids, image, of_text in zip(texts(), images(4), found, strict=True):
        row = torch.tensor([ids])
        assert of_text.value == pytest.approx(plain_score(model, row, image).item(), abs=1e-5)
        embeddings = model.text_model.embeddings.token_embedding(row)
        embeddings[:, 1:-1] = model.text_model.embeddings.token_embedding.weight[PADDING]
        at_baseline = plain_score(model, row, image, embeddings=embeddings)
        assert of_text.baseline_value == pytest.approx(at_baseline.item(), abs=1e-5)


def test_attributions_sum_to_the_change_from_the_baseline(model) -> None:
    for found in integrals(model, subspace(2), texts(), images(4), n_steps=100):
        change = found.value - found.baseline_value
        assert found.total.sum().item() == pytest.approx(change, rel=1e-3)


@pytest.mark.parametrize("tokens", [1, 20, 10_000])
def test_the_size_of_batches_changes_nothing(
    model, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_default = integrals(model, subspace(2), texts(), images(4))
    monkeypatch.setattr(integrated_gradients, "_TOKENS_ON_CPU", tokens)
    for expected, found in zip(
        by_default, integrals(model, subspace(2), texts(), images(4)), strict=True
    ):
        for part in PARTS[:3]:
            torch.testing.assert_close(
                getattr(found, part), getattr(expected, part), atol=1e-5, rtol=1e-5
            )


def test_order_and_company_of_other_texts_change_nothing(model) -> None:
    together = integrals(model, subspace(2), texts(), images(4))
    backwards = integrals(model, subspace(2), texts()[::-1], images(4).flip(0))[::-1]
    alone = [
        integrals(model, subspace(2), [ids], image[None])[0]
        for ids, image in zip(texts(), images(4), strict=True)
    ]
    for one, other, third in zip(together, backwards, alone, strict=True):
        for part in PARTS[:3]:
            expected = getattr(third, part)
            torch.testing.assert_close(getattr(one, part), expected, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(getattr(other, part), expected, atol=1e-5, rtol=1e-5)


def test_the_start_token_is_run_once_for_all_steps(model) -> None:
    tower = EmbeddingTower(model, start=START)
    lengths: list[int] = []
    block = model.text_model.encoder.layers[0]
    hook = block.layer_norm1.register_forward_hook(
        lambda _module, inputs, _output: lengths.append(inputs[0].shape[1])
    )
    explain = IntegratedGradients(tower=tower, purpose=None, padding=PADDING, n_steps=5)
    explain(texts()[:1], images(1))
    hook.remove()
    assert lengths == [LENGTHS[0] - 1] * 2  # both ends of the path, and all steps


def test_half_precision_is_explained_in_float32() -> None:
    half = small_clip().requires_grad_(False).half()
    rounded = small_clip().requires_grad_(False).half().float()
    for ids, image, found in zip(
        texts(), images(4), integrals(half, subspace(2), texts(), images(4)), strict=True
    ):
        assert found.total.dtype == torch.float32
        expected = plain(rounded, ids, image)
        torch.testing.assert_close(found.total, expected, atol=1e-5, rtol=1e-5)
    assert next(half.parameters()).dtype == torch.float16


def test_explaining_works_where_gradients_are_off() -> None:
    expected = integrals(small_clip(), subspace(2), texts(), images(4))
    with torch.inference_mode():
        inside = integrals(small_clip(), subspace(2), texts(), images(4))
    with torch.no_grad():
        without = integrals(small_clip(), subspace(2), texts(), images(4))
    for one, other, third in zip(expected, inside, without, strict=True):
        assert one.total.tolist() == other.total.tolist() == third.total.tolist()
    with torch.inference_mode():
        integrals(small_clip(), subspace(2), texts(), None)
