"""Interchange in the text tower: what one position gives is what whole texts give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel

from descscore.purpose.subspace import (
    LearnedBasis,
    Site,
    complement,
    identity_basis,
    interchange,
    random_basis,
)
from descscore.towers.clip import embed_texts
from descscore.towers.clip_text import run_on, run_texts
from descscore_training.finetune_recipe import Tuning
from descscore_training.finetuning import add_lora, add_updates_to_weights
from tests.plain_interchange import interchange_by_hooks
from tests.small_clip import BLOCKS, END, START, WIDTH, WINDOW, random_texts, small_clip

RANK = 7
BASIS = random_basis(WIDTH, RANK, seed=3)
# Texts of very different lengths, from the shortest to the whole window, not in order.
BASE = random_texts([9, 3, WINDOW, 20, 5], seed=1)
SOURCE = random_texts([31, 40, 4, 3, 12], seed=2)
LAYERS = [1, 2, BLOCKS]


@pytest.fixture(params=[2, END], ids=["legacy", "eos"])
def model(request: pytest.FixtureRequest) -> CLIPModel:
    """With OpenAI's legacy `eos_token_id`, and with the real one."""
    return small_clip(eos_token_id=request.param)


def by_one_position(
    model: CLIPModel,
    base: tuple[Tensor, Tensor],
    source: tuple[Tensor, Tensor],
    basis: Tensor,
    site: Site,
) -> Tensor:
    run = run_texts(model, *base, site.layer)
    states = run_texts(model, *source, site.layer, keep=False).site
    return run_on(model, run, interchange(run.site, states, basis), site.layer)


def gradients(outputs: Tensor, parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Of a fixed mix of the outputs; 0 where a parameter has no part in them."""
    mix = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0))
    found = torch.autograd.grad(
        (outputs * mix).sum(), list(parameters.values()), materialize_grads=True
    )
    return dict(zip(parameters, found, strict=True))


def assert_same_gradients(
    model: CLIPModel, parameters: dict[str, nn.Parameter], learned: LearnedBasis, site: Site
) -> None:
    """Both ways have the same outputs and gradients, and every gradient is there."""
    parameters = parameters | dict(learned.named_parameters())
    fast = by_one_position(model, BASE, SOURCE, learned(), site)
    plain = interchange_by_hooks(model, BASE, SOURCE, learned(), site)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-5)
    found, expected = gradients(fast, parameters), gradients(plain, parameters)
    for name, gradient in expected.items():
        size = gradient.abs().max().item()
        if not name.endswith("k_proj.bias"):  # Softmax takes out what all keys have in common.
            assert size > 1e-3, name
        torch.testing.assert_close(
            found[name], gradient, rtol=0, atol=1e-5 * max(1.0, size), msg=name
        )


def text_parameters(model: CLIPModel) -> dict[str, nn.Parameter]:
    """The text tower's and its projection's parameters that are trained."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if "text_" in name and parameter.requires_grad
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_one_position_gives_the_embeddings_of_whole_texts(model: CLIPModel, layer: int) -> None:
    site = Site(layer=layer)
    with torch.no_grad():
        plain = interchange_by_hooks(model, BASE, SOURCE, BASIS, site)
        fast = by_one_position(model, BASE, SOURCE, BASIS, site)
        unchanged = embed_texts(model, BASE[0])
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-5)
    assert (plain - unchanged).norm(dim=1).min() > 0.05


@pytest.mark.parametrize("layer", LAYERS)
def test_one_position_gives_the_gradients_of_whole_texts(model: CLIPModel, layer: int) -> None:
    learned = LearnedBasis(WIDTH, RANK)
    assert_same_gradients(model, text_parameters(model), learned, Site(layer=layer))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("targets", ["attention", "all-linear"])
@pytest.mark.parametrize("in_weights", [False, True], ids=["beside", "in-weights"])
def test_with_lora_in_place_both_ways_are_still_the_same(
    model: CLIPModel, in_weights: bool, targets: Literal["attention", "all-linear"], layer: int
) -> None:
    before = embed_texts(model, BASE[0])
    tuning = Tuning(kind="lora", towers="text", targets=targets, rank=3)
    adapted = add_lora(model, tuning, seed=0)
    if in_weights:
        add_updates_to_weights(adapted)
    generator = torch.Generator().manual_seed(0)
    parameters = text_parameters(model)
    for name, parameter in parameters.items():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) / 5
    assert all("lora_" in name for name in parameters)
    assert (embed_texts(model, BASE[0]) - before).norm(dim=1).min() > 0.05
    assert_same_gradients(model, parameters, LearnedBasis(WIDTH, RANK), Site(layer=layer))


def test_both_ways_are_the_same_in_a_full_size_clip(vit_b32: Path) -> None:
    model = CLIPModel.from_pretrained(vit_b32).eval()
    site, basis = Site(layer=10), random_basis(512, 256, seed=0)
    base = random_texts([20, 77, 5], seed=1, highest=49405)
    source = random_texts([60, 12, 33], seed=2, highest=49405)
    with torch.no_grad():
        plain = interchange_by_hooks(model, base, source, basis, site)
        fast = by_one_position(model, base, source, basis, site)
        unchanged = embed_texts(model, base[0])
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-5)
    assert (plain - unchanged).norm(dim=1).min() > 0.01


@pytest.mark.parametrize("layer", LAYERS)
def test_under_autocast_both_ways_are_near_float32(model: CLIPModel, layer: int) -> None:
    site = Site(layer=layer)
    with torch.no_grad():
        exact = interchange_by_hooks(model, BASE, SOURCE, BASIS, site)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            plain = interchange_by_hooks(model, BASE, SOURCE, BASIS, site)
            fast = by_one_position(model, BASE, SOURCE, BASIS, site)
    assert (plain - exact).norm(dim=1).max() > 1e-3, "autocast must have had an effect"
    for found in (plain, fast):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, rtol=0, atol=0.05)


def test_interchange_itself_is_in_float32_under_autocast() -> None:
    base, source = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    expected = interchange(base, source, BASIS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = interchange(base, source, BASIS)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_interchange_with_itself_is_the_identity(model: CLIPModel, layer: int) -> None:
    with torch.no_grad():
        expected = embed_texts(model, BASE[0])
        found = by_one_position(model, BASE, BASE, BASIS, Site(layer=layer))
        by_hooks = interchange_by_hooks(model, BASE, BASE, BASIS, Site(layer=layer))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(by_hooks, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_basis_of_everything_moves_the_whole_state(model: CLIPModel, layer: int) -> None:
    site = Site(layer=layer)
    everything = random_basis(WIDTH, WIDTH, seed=0)
    with torch.no_grad():
        base, source = run_texts(model, *BASE, site.layer), run_texts(model, *SOURCE, site.layer)
        moved = interchange(base.site, source.site, everything)
        found = run_on(model, base, moved, site.layer)
    torch.testing.assert_close(moved, source.site, rtol=0, atol=1e-5)
    # After the last block nothing else of a text is read.
    same = torch.allclose(found, source.embeddings, rtol=0, atol=1e-5)
    assert same == (layer == BLOCKS)


def test_only_the_subspace_matters_and_not_its_basis(model: CLIPModel) -> None:
    site = Site(layer=2)
    turned = BASIS @ random_basis(RANK, RANK, seed=9)
    assert (turned - BASIS).abs().max() > 0.1
    with torch.no_grad():
        found = by_one_position(model, BASE, SOURCE, turned, site)
        expected = by_one_position(model, BASE, SOURCE, BASIS, site)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_with_unit_vectors_the_first_coordinates_are_swapped() -> None:
    base, source = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    found = interchange(base, source, identity_basis(WIDTH, RANK))
    expected = torch.cat([source[:, :RANK], base[:, RANK:]], 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_gradients_go_to_the_source_inside_the_subspace_and_to_the_base_outside() -> None:
    generator = torch.Generator().manual_seed(0)
    base, source, mix = torch.randn(3, 5, WIDTH, generator=generator)
    base.requires_grad_()
    source.requires_grad_()
    (interchange(base, source, BASIS) * mix).sum().backward()
    inside = mix @ BASIS @ BASIS.T
    torch.testing.assert_close(source.grad, inside, rtol=0, atol=1e-5)
    torch.testing.assert_close(base.grad, mix - inside, rtol=0, atol=1e-5)


def test_a_subspace_and_its_complement_together_move_the_whole_state() -> None:
    base, source = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    inside = interchange(base, source, BASIS)
    torch.testing.assert_close(inside @ BASIS, source @ BASIS, rtol=0, atol=1e-5)
    rest = complement(BASIS)
    torch.testing.assert_close(inside @ rest, base @ rest, rtol=0, atol=1e-5)
    torch.testing.assert_close(interchange(inside, source, rest), source, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_up_to_the_end_only_the_end_token_after_the_site_differs(
    model: CLIPModel, layer: int
) -> None:
    states: list[Tensor] = []
    for block in model.text_model.encoder.layers:
        block.register_forward_hook(lambda _module, _inputs, output: states.append(output))
    with torch.no_grad():
        embed_texts(model, BASE[0])
        interchange_by_hooks(model, BASE, SOURCE, BASIS, Site(layer=layer))
    # The hook that intervenes came after these, so at the site itself they see what it replaces.
    unchanged, changed = states[:BLOCKS], states[-BLOCKS:]
    assert len(states) == 3 * BLOCKS
    places, ends = torch.arange(BASE[0].shape[1]), BASE[1][:, None]
    for block in range(BLOCKS):
        difference = (changed[block] - unchanged[block]).norm(dim=2)
        assert difference[places < ends].max() == 0
        at_end = difference[places == ends]
        assert (at_end > 0.01).all() if block >= layer else (at_end == 0).all()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("filler", [0, 17, START])
def test_nothing_after_the_end_token_matters(model: CLIPModel, layer: int, filler: int) -> None:
    def filled(texts: tuple[Tensor, Tensor], width: int) -> tuple[Tensor, Tensor]:
        ids, ends = texts
        ids = F.pad(ids, (0, width - ids.shape[1]))
        after = torch.arange(width) > ends[:, None]
        return torch.where(after, filler, ids), ends

    site = Site(layer=layer)
    with torch.no_grad():
        expected = by_one_position(model, BASE, SOURCE, BASIS, site)
        found = by_one_position(model, filled(BASE, WINDOW), filled(SOURCE, WINDOW), BASIS, site)
        singly = [
            by_one_position(
                model,
                (BASE[0][row : row + 1, : BASE[1][row] + 1], BASE[1][row : row + 1]),
                (SOURCE[0][row : row + 1, : SOURCE[1][row] + 1], SOURCE[1][row : row + 1]),
                BASIS,
                site,
            )
            for row in range(len(BASE[1]))
        ]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat(singly), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_run_has_the_embeddings_and_the_states_of_transformers(
    model: CLIPModel, layer: int
) -> None:
    ids, ends = BASE
    with torch.no_grad():
        expected = model.text_model(input_ids=ids, output_hidden_states=True)
        run = run_texts(model, ids, ends, layer)
        output: Any = model.get_text_features(input_ids=ids)
    embeddings = output.pooler_output
    rows = torch.arange(len(ends))
    torch.testing.assert_close(
        run.site, expected.hidden_states[layer][rows, ends], rtol=0, atol=1e-6
    )
    torch.testing.assert_close(run.embeddings, F.normalize(embeddings, dim=1), rtol=0, atol=1e-6)


def test_a_model_has_no_hooks_left_even_after_a_failure(model: CLIPModel) -> None:
    site = Site(layer=2)
    by_one_position(model, BASE, SOURCE, BASIS, site)
    interchange_by_hooks(model, BASE, SOURCE, BASIS, site)
    too_large = torch.full_like(BASE[0], END + 1)
    with pytest.raises(IndexError):
        run_texts(model, too_large, BASE[1], site.layer)
    with pytest.raises(IndexError):
        interchange_by_hooks(model, (too_large, BASE[1]), SOURCE, BASIS, site)
    assert not any(module._forward_hooks for module in model.modules())
