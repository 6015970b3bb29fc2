"""What is read from the purpose subspace, and `das.safetensors`, which holds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from descscore.errors import CheckpointError
from descscore.purpose.das_file import load_purpose, save_purpose
from descscore.purpose.probe import Purpose
from descscore.purpose.subspace import LearnedBasis, Site, random_basis
from tests.checkpoints_made import saved_parametrization

WIDTH, RANK = 16, 5
METADATA = {"tower": "text", "layer": "3", "position": "eos"}


def purpose(basis: Tensor | None = None) -> Purpose:
    generator = torch.Generator().manual_seed(0)
    weight, low, high = torch.randn(3, RANK, generator=generator)
    return Purpose(
        site=Site(layer=3),
        basis=random_basis(WIDTH, RANK, seed=0) if basis is None else basis,
        weight=weight,
        bias=torch.tensor(0.25),
        caption_mean=low,
        description_mean=high,
    )


@pytest.fixture
def states() -> Tensor:
    return torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "das.safetensors"
    save_purpose(path, purpose())
    return path


def rewrite(path: Path, drop: str = "", metadata: Any = METADATA, **values: Tensor) -> None:
    """Change or drop tensors of the file, `__` standing for a point in their names."""
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items() if name != drop}
    tensors |= {name.replace("__", "."): tensor for name, tensor in values.items()}
    save_file(tensors, path, metadata=metadata)


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_purpose(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_coordinates_are_products_with_the_columns_of_the_basis(states: Tensor) -> None:
    probe = purpose()
    found = probe.coordinates(states)
    for text in range(len(states)):
        for column in range(RANK):
            expected = sum(
                states[text, i].item() * probe.basis[i, column].item() for i in range(WIDTH)
            )
            assert found[text, column].item() == pytest.approx(expected, abs=1e-5)


def test_probability_is_a_logistic_regression_on_coordinates() -> None:
    probe = replace(purpose(), weight=torch.tensor([1.0, -2, 0, 0, 0]), bias=torch.tensor(0.5))
    # 1 / (1 + exp(-x)) of 0.5, of 0.5 + 3 - 2 * 1, and of 0.5 - 2 * 40.
    found = probe.probability(torch.tensor([[0.0] * 5, [3, 1, 9, 9, 9], [0, 40, 0, 0, 0]]))
    assert found.tolist() == pytest.approx([0.6224593, 0.8175745, 2.9768e-35], rel=1e-4)


def test_texts_as_captions_have_the_mean_captions_coordinates_and_all_else_their_own(
    states: Tensor,
) -> None:
    probe = purpose()
    found = probe.as_captions(states)
    projector = probe.basis @ probe.basis.T
    expected = states - states @ projector + probe.basis @ probe.caption_mean
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        probe.coordinates(found), probe.caption_mean.expand(6, -1), rtol=0, atol=1e-5
    )


def test_readouts_are_in_float32_under_autocast_and_for_half_precision(states: Tensor) -> None:
    probe = purpose()
    expected = probe.coordinates(states), probe.as_captions(states)
    probability = probe.probability(expected[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = probe.coordinates(states), probe.as_captions(states)
        within = probe.probability(expected[0])
    for one, other in zip((*found, within), (*expected, probability), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    half = states.bfloat16()
    torch.testing.assert_close(
        probe.coordinates(half), probe.coordinates(half.float()), rtol=0, atol=0
    )


def test_what_is_saved_is_loaded(file: Path) -> None:
    expected, found = purpose(), load_purpose(file)
    assert found.site == Site(layer=3)
    for name in ("basis", "weight", "bias", "caption_mean", "description_mean"):
        tensor = getattr(found, name)
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, getattr(expected, name), rtol=0, atol=0)
    assert saved_parametrization(file) == {}


def test_the_file_says_where_its_subspace_is(file: Path) -> None:
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata() == METADATA
        assert sorted(opened.keys()) == [
            "basis",
            "mean.caption",
            "mean.description",
            "probe.bias",
            "probe.weight",
        ]


def test_a_learned_basis_goes_on_from_the_file_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def steps(basis: LearnedBasis, count: int, seed: int) -> None:
        optimiser = torch.optim.SGD(basis.parameters(), lr=0.5)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(count):
            optimiser.zero_grad()
            F.mse_loss(basis(), torch.randn(WIDTH, RANK, generator=generator)).backward()
            optimiser.step()

    learned = LearnedBasis(WIDTH, RANK, seed=0)
    steps(learned, 20, 0)
    path = tmp_path / "das.safetensors"
    save_purpose(path, purpose(learned()), learned.state_dict())
    again = LearnedBasis(WIDTH, RANK, seed=7)
    again.load_state_dict(saved_parametrization(path))
    torch.testing.assert_close(load_purpose(path).basis, learned(), rtol=0, atol=0)
    torch.testing.assert_close(again(), learned(), rtol=0, atol=0)
    steps(learned, 20, 1)
    steps(again, 20, 1)
    torch.testing.assert_close(again(), learned(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", ["basis", "probe.weight", "probe.bias", "mean.caption", "mean.description"]
)
def test_a_file_without_one_of_its_tensors_is_refused(file: Path, name: str) -> None:
    rewrite(file, drop=name)
    refused(file, f"lacks {name};")


@pytest.mark.parametrize(
    ("tensors", "parts"),
    [
        ({"basis": torch.zeros(WIDTH)}, ["basis of shape (16,), not [width, dimension]"]),
        ({"basis": torch.eye(5, 16)}, ["basis of shape (5, 16)"]),
        ({"basis": torch.zeros(16, 0)}, ["basis of shape (16, 0)"]),
        ({"basis": torch.eye(16, 4)}, ["probe.weight of shape (5,)", "4 columns"]),
        ({"probe__weight": torch.ones(1, 5)}, ["probe.weight of shape (1, 5)", "5 columns"]),
        ({"mean__caption": torch.ones(6)}, ["mean.caption of shape (6,)"]),
        ({"mean__description": torch.ones(())}, ["mean.description of shape ()"]),
        ({"probe__bias": torch.ones(2)}, ["probe.bias of shape (2,)"]),
        ({"probe__bias": torch.ones(0)}, ["probe.bias of shape (0,)"]),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    file: Path, tensors: dict[str, Tensor], parts: list[str]
) -> None:
    rewrite(file, **tensors)
    refused(file, *parts)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["basis", "probe.weight", "probe.bias", "mean.caption", "mean.description"]
)
def test_values_that_are_not_finite_are_refused(file: Path, name: str, bad: float) -> None:
    tensor = load_file(file)[name].clone()
    tensor.view(-1)[-1] = bad
    rewrite(file, **{name: tensor})
    refused(file, f"values in {name} that are not finite")


@pytest.mark.parametrize("spoil", ["scaled", "askew", "half"])
def test_a_basis_that_is_not_orthonormal_is_refused(file: Path, spoil: str) -> None:
    basis = random_basis(WIDTH, RANK, seed=0)
    if spoil == "scaled":
        basis = basis * 1.001
    elif spoil == "askew":
        basis[0, 0] += 1e-3
    else:
        basis = basis.half()
    rewrite(file, basis=basis.contiguous())
    refused(file, "no orthonormal basis: RᵀR differs from I by ", "e-0")


@pytest.mark.parametrize(
    "change",
    [
        {"tower": "vision"},
        {"position": "last"},
        {"layer": "final"},
        {"layer": "-1"},
        {"layer": "1.5"},
        {"layer": ""},
    ],
)
def test_another_kind_of_site_is_refused(file: Path, change: dict[str, str]) -> None:
    rewrite(file, metadata=METADATA | change)
    entry = str(change).strip("{}")
    refused(file, "is for the site {", entry, "text tower at position 'eos'")


def test_a_file_without_a_site_is_refused(file: Path) -> None:
    rewrite(file, metadata=None)
    refused(file, "for the site {}")


@pytest.mark.parametrize("size", [0, 7, 200])
def test_a_damaged_file_is_refused(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"das\.safetensors cannot be read: "):
        load_purpose(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "das.safetensors", "cannot be read")
