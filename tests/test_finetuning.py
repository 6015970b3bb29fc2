"""What is trained: exact sets of parameters, LoRA's start, optimisers and schedules by name."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import torch
from torch.nn.utils import parametrize

from descscore.errors import RecipeError
from descscore.towers.clip import embed_images, embed_texts
from descscore_training.config import build_recipe
from descscore_training.finetune_recipe import Optimiser, Schedule, Tuning
from descscore_training.finetuning import (
    add_lora,
    add_updates_to_weights,
    lora_config,
    optimiser_for,
    restore,
    schedule_for,
    trainable,
    tune_fully,
)

if TYPE_CHECKING:
    from transformers import CLIPModel

BLOCKS = ("0", "1")
ATTENTION = ("k_proj", "out_proj", "q_proj", "v_proj")
PROJECTION = {"text": "text_projection", "vision": "visual_projection"}
TOWERS = {
    "text": ("text",),
    "vision": ("vision",),
    "both": ("text", "vision"),
    "text-and-projections": ("text",),
}


def clip(folder: Path) -> CLIPModel:
    from transformers import CLIPModel

    model: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    return model.eval().requires_grad_(False)


def end_token(model: Any) -> int:
    return model.config.text_config.eos_token_id


def embeddings(model: CLIPModel) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    end = end_token(model)
    ids = torch.randint(5, end - 1, (3, 8), generator=random)
    ids[:, -1] = end
    with torch.no_grad():
        images = embed_images(model, torch.randn(3, 3, 32, 32, generator=random))
        return torch.cat([images, embed_texts(model, ids)])


TOKENS = "text_model.embeddings.token_embedding"


def lora_layers(towers: str, targets: str) -> set[str]:
    """The layers that get updates, spelt out."""
    layers = {TOKENS} if targets == "all-linear-and-tokens" and towers != "vision" else set()
    for tower, block in itertools.product(TOWERS[towers], BLOCKS):
        within = f"{tower}_model.encoder.layers.{block}"
        attention = ("q_proj", "v_proj") if targets == "qv" else ATTENTION
        layers |= {f"{within}.self_attn.{layer}" for layer in attention}
        if targets.startswith("all-linear"):
            layers |= {f"{within}.mlp.fc1", f"{within}.mlp.fc2", PROJECTION[tower]}
    return layers | (set(PROJECTION.values()) if towers == "text-and-projections" else set())


@pytest.mark.parametrize("targets", ["attention", "qv", "all-linear", "all-linear-and-tokens"])
@pytest.mark.parametrize("towers", list(TOWERS))
def test_lora_trains_its_updates_of_the_named_layers_alone(
    tiny_clip: Path, towers: Any, targets: Any
):
    model = clip(tiny_clip)
    adapted = add_lora(model, Tuning(kind="lora", towers=towers, targets=targets, rank=2), seed=0)
    expected = {
        f"{layer}.lora_embedding_{part}.default"
        if layer == TOKENS
        else f"{layer}.lora_{part}.default.weight"
        for layer in lora_layers(towers, targets)
        for part in "AB"
    }
    assert trainable(model).keys() == expected
    assert {name.removeprefix("base_model.model.") for name in trainable(adapted)} == expected


@pytest.mark.parametrize("towers", list(TOWERS))
def test_full_tuning_trains_all_of_the_towers_and_nothing_else(tiny_clip: Path, towers: Any):
    model = clip(tiny_clip)
    tune_fully(model, Tuning(kind="full", towers=towers))
    parts = tuple(f"{tower}_model." for tower in TOWERS[towers])
    parts += tuple(f"{PROJECTION[tower]}." for tower in TOWERS[towers])
    if towers == "text-and-projections":
        parts = ("text_model.", *(f"{projection}." for projection in PROJECTION.values()))
    every = {name for name, _ in model.named_parameters()}
    expected = {name for name in every if name.startswith(parts)}
    if towers == "both":
        assert "logit_scale" in every
        expected = every
    assert trainable(model).keys() == expected
    assert len(expected) > 20


def test_lora_starts_without_changing_anything(tiny_clip: Path):
    plain = embeddings(clip(tiny_clip))
    model = clip(tiny_clip)
    add_lora(model, Tuning(kind="lora", targets="all-linear-and-tokens", rank=4), seed=0)
    assert torch.equal(embeddings(model), plain)


def test_loras_start_depends_on_the_seed_alone(tiny_clip: Path):
    def start(seed: int) -> dict[str, torch.Tensor]:
        model = clip(tiny_clip)
        add_lora(model, Tuning(kind="lora", rank=4), seed=seed)
        return trainable(model)

    torch.manual_seed(7)
    one = start(1)
    torch.manual_seed(8)
    same, other = start(1), start(2)
    for name, tensor in one.items():
        assert torch.equal(tensor, same[name]), name
        assert torch.equal(tensor, other[name]) == ("lora_B" in name), name


def test_a_callers_random_numbers_stay_what_they_were(tiny_clip: Path):
    model = clip(tiny_clip)
    before = torch.random.get_rng_state()
    add_lora(model, Tuning(kind="lora", rank=4), seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("alpha", "scaling"), [(None, 1.0), (4.0, 0.5), (16.0, 2.0)])
def test_alpha_is_the_rank_by_default(tiny_clip: Path, alpha: float | None, scaling: float):
    model = clip(tiny_clip)
    add_lora(model, Tuning(kind="lora", rank=8, alpha=alpha), seed=0)
    layer: Any = model.get_submodule("text_model.encoder.layers.0.self_attn.q_proj")
    assert layer.scaling["default"] == scaling


def test_dropout_acts_in_training_alone(tiny_clip: Path):
    model = clip(tiny_clip)
    add_lora(model, Tuning(kind="lora", rank=8, dropout=0.5), seed=0)
    with torch.no_grad():
        for name, tensor in trainable(model).items():
            if "lora_B" in name:
                tensor.fill_(0.05)
    model.eval()
    assert torch.equal(embeddings(model), embeddings(model))
    model.train()
    assert (embeddings(model) - embeddings(model)).abs().max() > 1e-3
    assert lora_config(Tuning(kind="lora", dropout=0.1)).lora_dropout == 0.1


@pytest.mark.parametrize("targets", ["attention", "all-linear", "all-linear-and-tokens"])
def test_updates_added_to_the_weights_are_the_same_function_and_gradients(
    tiny_clip: Path, targets: Any
):
    """Both ways of computing LoRA's layers, with updates that are no longer zero."""

    def gradients(*, added: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        model = clip(tiny_clip)
        tuning = Tuning(kind="lora", rank=4, alpha=6.0, targets=targets)
        adapted = add_lora(model, tuning, seed=0)
        random = torch.Generator().manual_seed(0)
        for tensor in trainable(model).values():
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=random))
        if added:
            add_updates_to_weights(adapted)
        ids = torch.tensor([[5, 9, 7, end_token(model)]])
        pixels = torch.randn(1, 3, 32, 32, generator=random)
        with parametrize.cached():
            embedded = torch.cat([embed_texts(model, ids), embed_images(model, pixels)])
        (embedded @ torch.linspace(-1, 1, embedded.shape[1])).sum().backward()
        found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        assert found.keys() == trainable(model).keys()
        return embedded.detach(), {name: grad for name, grad in found.items() if grad is not None}

    plain, added = gradients(added=False), gradients(added=True)
    torch.testing.assert_close(added[0], plain[0], atol=1e-6, rtol=1e-5)
    assert added[1].keys() == plain[1].keys()
    assert len(plain[1]) == 2 * len(lora_layers("both", targets))
    for name, gradient in plain[1].items():
        torch.testing.assert_close(added[1][name], gradient, atol=1e-6, rtol=1e-4, msg=name)
    assert max(gradient.abs().max() for gradient in plain[1].values()) > 0.01


def parameters() -> list[dict[str, Any]]:
    return [{"params": [torch.nn.Parameter(torch.ones(2, 3))]}]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_an_optimiser_goes_by_its_name(name: str, kind: type):
    options = {"lr": 0.5, "weight_decay": 0.25}
    optimiser = optimiser_for(name, parameters(), options)
    assert type(optimiser) is kind
    assert {key: optimiser.param_groups[0][key] for key in options} == options


@pytest.mark.parametrize("name", ["adan", "Adam", "optimizer", "lbfgs", "sparseadam"])
def test_an_unknown_optimiser_is_refused_with_the_known_ones(name: str):
    with pytest.raises(RecipeError, match=rf"no optimiser '{name}'.*adam, adamax, adamw.*sgd"):
        optimiser_for(name, parameters(), {"lr": 1.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.9}, "'adam' cannot be made: .*'momentum'"),
        ({"betas": (0.9, 1.5)}, "'adam' cannot be made: .*1.5"),
    ],
)
def test_an_option_that_the_optimiser_refuses_is_named(options: dict[str, Any], message: str):
    with pytest.raises(RecipeError, match=message):
        optimiser_for("adam", parameters(), {"lr": 1.0, **options})


def rates(steps: int, **settings: Any) -> list[float]:
    """The learning rate at each step."""
    optimiser = optimiser_for("sgd", parameters(), {"lr": 1.0})
    schedule = schedule_for(Optimiser(lr=1.0, **settings), optimiser, steps)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"warmup": 2}, [0, 0.5, 1, 1]),
        ({"schedule": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"schedule": "linear", "warmup": 2}, [0, 0.5, 1, 0.5]),
        ({"schedule": "cosine"}, [1, 0.8535534, 0.5, 0.1464466]),  # (1 + cos(pi step / 4)) / 2
    ],
)
def test_schedules_go_by_name_and_start_with_the_warmup(
    settings: dict[str, Any], expected: list[float]
):
    assert rates(4, **settings) == pytest.approx(expected)


@pytest.mark.parametrize("name", get_args(Schedule))
def test_every_known_schedule_can_be_followed(name: str):
    found = rates(6, schedule=name, warmup=2)
    assert found[:2] == [0, 0.5]
    assert all(0 <= rate <= 1 for rate in found)


@pytest.mark.parametrize("name", ["cosin", "reduce_lr_on_plateau", "Cosine"])
def test_an_unknown_schedule_is_refused_with_the_known_ones(name: str):
    with pytest.raises(RecipeError, match=rf"schedule is '{name}'; .*'linear', 'cosine'"):
        build_recipe(Optimiser, {"lr": 1.0, "schedule": name})


def test_a_schedule_that_does_not_suit_the_rate_is_refused():
    optimiser = optimiser_for("sgd", parameters(), {"lr": 1e-8})
    with pytest.raises(RecipeError, match=r"schedule is 'polynomial': .*1e-08"):
        schedule_for(Optimiser(lr=1e-8, schedule="polynomial"), optimiser, 5)


def test_restored_parameters_are_those_that_were_saved(tiny_clip: Path):
    model = clip(tiny_clip)
    add_lora(model, Tuning(kind="lora", rank=4), seed=0)
    saved = {name: torch.randn_like(tensor) for name, tensor in trainable(model).items()}
    restore(model, saved)
    for name, tensor in trainable(model).items():
        assert torch.equal(tensor, saved[name]), name


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (Tuning(kind="lora", rank=4, targets="qv"), "text_model.*k_proj"),
        (Tuning(kind="lora", rank=2), "text_model.*lora_A"),
        (Tuning(kind="full", towers="text"), "text_model"),
    ],
)
def test_parameters_of_another_recipe_are_refused(tiny_clip: Path, other: Tuning, named: str):
    model, source = clip(tiny_clip), clip(tiny_clip)
    add_lora(model, Tuning(kind="lora", rank=4), seed=0)
    before = {name: tensor.clone() for name, tensor in trainable(model).items()}
    if other.kind == "lora":
        add_lora(source, other, seed=0)
    else:
        tune_fully(source, other)
    with pytest.raises(RecipeError, match=f"of another run: {named}.* and .* others"):
        restore(model, trainable(source))
    for name, tensor in trainable(model).items():
        assert torch.equal(tensor, before[name]), name


def test_restored_parameters_give_the_basis_that_was_saved():
    from descscore.purpose.subspace import LearnedBasis

    torch.manual_seed(1)
    saved = LearnedBasis(8, 3, seed=5)
    with torch.no_grad():
        for parameter in saved.parameters():
            parameter.add_(torch.randn_like(parameter))
    restored = LearnedBasis(8, 3, seed=6)
    restore(restored, {name: tensor.clone() for name, tensor in trainable(saved).items()})
    assert torch.equal(restored(), saved())
