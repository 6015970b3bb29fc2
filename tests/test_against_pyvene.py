"""Interchange equals that of pyvene (Wu et al. 2024), which runs CLIP's text tower itself.

pyvene rotates by x R, swaps coordinates, and rotates back by Rᵀ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pyvene
import torch
import torch.nn.functional as F
from pyvene.models.layers import LowRankRotateLayer
from torch import Tensor
from transformers import CLIPModel

from descscore.errors import OptionError
from descscore.integrations.pyvene import from_pyvene, to_pyvene
from descscore.purpose.subspace import (
    Site,
    complement,
    interchange,
    orthonormality_error,
    random_basis,
)
from descscore.towers.clip_text import run_on, run_texts
from tests.small_clip import BLOCKS, END, WIDTH, WINDOW, random_texts, small_clip

RANK = 7
BASIS = random_basis(WIDTH, RANK, seed=3)
BASE = random_texts([9, 3, WINDOW, 20, 5], seed=1)
SOURCE = random_texts([31, 40, 4, 3, 12], seed=2)


@pytest.fixture(params=[2, END], ids=["legacy", "eos"])
def model(request: pytest.FixtureRequest) -> CLIPModel:
    """With OpenAI's legacy `eos_token_id`, and with the real one."""
    return small_clip(eos_token_id=request.param)


def by_pyvene(
    model: CLIPModel,
    base: tuple[Tensor, Tensor],
    source: tuple[Tensor, Tensor],
    intervention: pyvene.Intervention,
    layer: int,
) -> Tensor:
    """Unit embeddings of the base texts with what the intervention takes from the source texts."""
    where = {
        "component": f"encoder.layers[{layer - 1}].output",
        "unit": "pos",
        "intervention": intervention,
    }
    tower: Any = pyvene.IntervenableModel(where, model.text_model)
    tower.set_device("cpu")
    # pyvene freezes what it wraps.
    model.requires_grad_(True)
    of_base, of_source = ([[[end] for end in ends.tolist()]] for _, ends in (base, source))
    _, changed = tower(
        {"input_ids": base[0]},
        [{"input_ids": source[0]}],
        unit_locations={"sources->base": (of_source, of_base)},
    )
    return F.normalize(model.text_projection(changed.pooler_output), dim=1)


def by_one_position(
    model: CLIPModel,
    base: tuple[Tensor, Tensor],
    source: tuple[Tensor, Tensor],
    basis: Tensor,
    layer: int,
) -> Tensor:
    site = Site(layer=layer)
    run = run_texts(model, *base, site.layer)
    states = run_texts(model, *source, site.layer, keep=False).site
    return run_on(model, run, interchange(run.site, states, basis), site.layer)


def low_rank(basis: Tensor) -> pyvene.LowRankRotatedSpaceIntervention:
    width, rank = basis.shape
    intervention = pyvene.LowRankRotatedSpaceIntervention(embed_dim=width, low_rank_dimension=rank)
    intervention.rotate_layer.weight = basis
    return intervention


def rotation(basis: Tensor) -> pyvene.RotatedSpaceIntervention:
    """A rotation of the whole space, whose first columns are the basis."""
    width, rank = basis.shape
    intervention = pyvene.RotatedSpaceIntervention(embed_dim=width)
    intervention.rotate_layer.weight = torch.cat([basis, complement(basis)], 1)
    intervention.set_interchange_dim(rank)
    return intervention


@pytest.mark.parametrize("layer", [1, 2, BLOCKS])
@pytest.mark.parametrize("intervention", [low_rank, rotation])
@torch.no_grad()
def test_interchange_equals_that_of_pyvene(model: CLIPModel, layer: int, intervention: Any) -> None:
    expected = by_pyvene(model, BASE, SOURCE, intervention(BASIS), layer)
    found = by_one_position(model, BASE, SOURCE, BASIS, layer)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    unchanged = run_texts(model, *BASE, layer).embeddings
    assert (expected - unchanged).norm(dim=1).min() > 0.05


@torch.no_grad()
def test_interchange_in_a_full_size_clip_equals_that_of_pyvene(vit_b32: Path) -> None:
    model = CLIPModel.from_pretrained(vit_b32).eval()
    basis = random_basis(512, 256, seed=0)
    base = random_texts([20, 77, 5], seed=1, highest=49405)
    source = random_texts([60, 12, 33], seed=2, highest=49405)
    expected = by_pyvene(model, base, source, low_rank(basis), 10)
    found = by_one_position(model, base, source, basis, 10)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    unchanged = run_texts(model, *base, 10).embeddings
    assert (expected - unchanged).norm(dim=1).min() > 0.01


@pytest.mark.parametrize("layer", [1, 2, BLOCKS])
def test_gradients_equal_those_of_pyvene(model: CLIPModel, layer: int) -> None:
    mix = torch.randn(len(BASE[1]), WIDTH, generator=torch.Generator().manual_seed(0))
    parameters = [*model.text_model.parameters(), *model.text_projection.parameters()]
    basis = BASIS.clone().requires_grad_()
    found = torch.autograd.grad(
        (by_one_position(model, BASE, SOURCE, basis, layer) * mix).sum(), [basis, *parameters]
    )
    intervention = low_rank(BASIS)
    # A plain matrix in place of pyvene's parametrisation, which differs from ours.
    intervention.rotate_layer = LowRankRotateLayer(WIDTH, RANK)
    intervention.rotate_layer.weight.data = BASIS.clone()
    expected = torch.autograd.grad(
        (by_pyvene(model, BASE, SOURCE, intervention, layer) * mix).sum(),
        [intervention.rotate_layer.weight, *parameters],
    )
    for one, other in zip(found, expected, strict=True):
        size = max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * size)
    assert expected[0].abs().max() > 0.1


def test_a_basis_becomes_an_intervention_of_pyvene(model: CLIPModel) -> None:
    with torch.no_grad():
        expected = by_one_position(model, BASE, SOURCE, BASIS, 2)
        found = by_pyvene(model, BASE, SOURCE, to_pyvene(BASIS), 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("intervention", [low_rank, rotation, to_pyvene])
def test_an_intervention_of_pyvene_becomes_a_basis(intervention: Any) -> None:
    found = from_pyvene(intervention(BASIS))
    assert not found.requires_grad
    torch.testing.assert_close(found, BASIS, rtol=0, atol=1e-6)


def test_what_pyvene_trained_further_is_orthonormal() -> None:
    intervention = to_pyvene(BASIS)
    optimiser = torch.optim.Adam(intervention.parameters(), lr=0.1)
    base, source = torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(0))
    for _ in range(5):
        optimiser.zero_grad()
        intervention(base, source).square().sum().backward()
        optimiser.step()
    found = from_pyvene(intervention)
    assert (found - BASIS).abs().max() > 0.1
    assert orthonormality_error(found) < 1e-5


def test_an_intervention_of_another_kind_is_refused() -> None:
    whole = pyvene.VanillaIntervention(embed_dim=WIDTH)
    with pytest.raises(OptionError, match=r"VanillaIntervention.*RotatedSpaceIntervention"):
        from_pyvene(whole)
