"""Bases are orthonormal, stay so while they are learned, and depend on their seed alone."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from descscore.errors import OptionError
from descscore.purpose.subspace import (
    LearnedBasis,
    Site,
    complement,
    identity_basis,
    orthonormality_error,
    random_basis,
)
from descscore.towers.clip_towers import ClipTowers
from tests.small_clip import BLOCKS, small_clip

WIDTH, DIMENSION = 24, 7


def off_identity(basis: Tensor) -> float:
    """Largest entry of |RᵀR - I|, by the definition."""
    dimension = basis.shape[1]
    identity = torch.eye(dimension, dtype=torch.float64)
    return (basis.double().T @ basis.double() - identity).abs().max().item()


def optimiser_of(learned: LearnedBasis, lr: float = 0.5) -> torch.optim.Adam:
    return torch.optim.Adam(learned.parameters(), lr=lr)


def trained(learned: LearnedBasis, optimiser: torch.optim.Adam, steps: int, seed: int = 0) -> None:
    """Pull the subspace to another place at each step."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        target = torch.randn(WIDTH, DIMENSION, generator=generator)
        optimiser.zero_grad()
        F.mse_loss(learned(), target).backward()
        optimiser.step()


@pytest.mark.parametrize(
    ("width", "dimension"), [(WIDTH, DIMENSION), (WIDTH, 1), (WIDTH, WIDTH - 1)]
)
def test_a_learned_basis_starts_orthonormal_and_random(width: int, dimension: int) -> None:
    basis = LearnedBasis(width, dimension, seed=0)()
    assert basis.shape == (width, dimension)
    assert off_identity(basis) < 1e-6
    torch.testing.assert_close(basis, random_basis(width, dimension, seed=0), rtol=0, atol=1e-6)
    assert (basis - LearnedBasis(width, dimension, seed=1)()).abs().max() > 0.1


@pytest.mark.parametrize("lr", [1e-3, 0.5])
def test_a_learned_basis_is_orthonormal_after_200_steps(lr: float) -> None:
    learned = LearnedBasis(WIDTH, DIMENSION)
    before = learned()
    trained(learned, optimiser_of(learned, lr), 200)
    assert off_identity(learned()) < 1e-6
    moved = (learned() - before).abs().max()
    assert moved > 0.3 if lr == 0.5 else moved > 1e-3


def test_a_full_size_learned_basis_is_orthonormal_after_a_few_large_steps() -> None:
    learned = LearnedBasis(512, 256)
    optimiser = optimiser_of(learned, 1.0)
    for _ in range(5):
        optimiser.zero_grad()
        learned()[0].sum().backward()
        optimiser.step()
    assert off_identity(learned()) < 1e-6


def test_training_finds_a_subspace_that_is_there() -> None:
    target = random_basis(WIDTH, DIMENSION, seed=5)
    learned = LearnedBasis(WIDTH, DIMENSION)
    optimiser = optimiser_of(learned, 0.05)

    def outside() -> Tensor:
        """Of each dimension of the target, what the learned subspace lacks, summed."""
        return DIMENSION - (learned().T @ target).square().sum()

    assert outside() > 2
    for _ in range(300):
        optimiser.zero_grad()
        outside().backward()
        optimiser.step()
    assert outside() < 1e-3


def test_a_learned_basis_depends_on_its_seed_alone_and_leaves_chance_alone() -> None:
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = torch.random.get_rng_state()
        made.append(LearnedBasis(WIDTH, DIMENSION, seed=0))
        assert torch.equal(torch.random.get_rng_state(), expected)
    # Also once it has moved: that goes by directions outside the first basis.
    for learned in made:
        trained(learned, optimiser_of(learned), 3)
    torch.testing.assert_close(made[0](), made[1](), rtol=0, atol=0)


@pytest.mark.parametrize("dimension", [DIMENSION, WIDTH // 2])
def test_rounding_of_the_start_changes_little_of_where_a_basis_can_go(
    dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it would differ on another machine. With as many directions outside as inside, draws that
    # were the same would leave those outside to rounding.
    def other(*size: int, seed: int) -> Tensor:
        noise = torch.randn(*size, generator=torch.Generator().manual_seed(1))
        return random_basis(*size, seed=seed) + 1e-7 * noise

    learned = LearnedBasis(WIDTH, dimension)
    monkeypatch.setattr("descscore.purpose.subspace.random_basis", other)
    elsewhere = LearnedBasis(WIDTH, dimension)
    for name, tensor in learned.state_dict().items():
        torch.testing.assert_close(elsewhere.state_dict()[name], tensor, rtol=0, atol=1e-4)


def test_the_parameters_alone_give_the_basis_back() -> None:
    learned = LearnedBasis(WIDTH, DIMENSION, seed=3)
    trained(learned, optimiser_of(learned), 5)
    again = LearnedBasis(WIDTH, DIMENSION, seed=3)
    with torch.no_grad():
        for new, old in zip(again.parameters(), learned.parameters(), strict=True):
            new.copy_(old)
    torch.testing.assert_close(again(), learned(), rtol=0, atol=0)


def test_the_state_alone_gives_the_basis_back_and_how_it_goes_on() -> None:
    learned = LearnedBasis(WIDTH, DIMENSION, seed=3)
    optimiser = optimiser_of(learned)
    trained(learned, optimiser, 5)
    file = io.BytesIO()
    torch.save((learned.state_dict(), optimiser.state_dict()), file)
    file.seek(0)
    basis_state, optimiser_state = torch.load(file, weights_only=True)
    again = LearnedBasis(WIDTH, DIMENSION, seed=99)
    resumed = optimiser_of(again)
    again.load_state_dict(basis_state)
    resumed.load_state_dict(optimiser_state)
    torch.testing.assert_close(again(), learned(), rtol=0, atol=0)
    trained(learned, optimiser, 20, seed=1)
    trained(again, resumed, 20, seed=1)
    torch.testing.assert_close(again(), learned(), rtol=0, atol=0)
    assert off_identity(again()) < 1e-6


def test_a_learned_basis_is_in_float32_under_autocast_and_orthonormal() -> None:
    learned = LearnedBasis(WIDTH, DIMENSION)
    trained(learned, optimiser_of(learned), 5)
    expected = learned()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = learned()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert off_identity(found) < 1e-6


@pytest.mark.parametrize("make", [LearnedBasis, identity_basis])
@pytest.mark.parametrize("dimension", [0, -1, WIDTH, WIDTH + 1])
def test_a_rank_that_is_none_of_a_subspace_is_refused(make: type, dimension: int) -> None:
    with pytest.raises(
        OptionError, match=rf"dimension is {dimension}; give one from 1 to 23.*width 24"
    ):
        make(WIDTH, dimension)


def test_a_random_basis_is_orthonormal_and_its_seeds_own() -> None:
    basis = random_basis(WIDTH, DIMENSION, seed=0)
    assert off_identity(basis) < 1e-6
    torch.manual_seed(5)
    torch.testing.assert_close(random_basis(WIDTH, DIMENSION, seed=0), basis, rtol=0, atol=0)
    assert (random_basis(WIDTH, DIMENSION, seed=1) - basis).abs().max() > 0.1


def test_random_bases_favour_no_direction() -> None:
    drawn = torch.stack([random_basis(3, 1, seed=seed)[:, 0] for seed in range(2000)])
    # Uniform on the sphere: mean 0, and by Archimedes each coordinate uniform in [-1, 1].
    assert drawn.mean(0).abs().max() < 0.05
    assert ((drawn < 0.5).float().mean(0) - 0.75).abs().max() < 0.04


def test_an_identity_basis_is_the_first_unit_vectors() -> None:
    assert identity_basis(4, 2).tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


def test_a_complement_is_an_orthonormal_basis_of_the_rest() -> None:
    basis = random_basis(WIDTH, DIMENSION, seed=0)
    rest = complement(basis)
    assert rest.shape == (WIDTH, WIDTH - DIMENSION)
    assert off_identity(torch.cat([basis, rest], 1)) < 1e-6


def test_the_orthonormality_error_is_the_largest_deviation_from_the_identity() -> None:
    basis = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert orthonormality_error(basis) == 3
    assert orthonormality_error(identity_basis(5, 3)) == 0
    assert orthonormality_error(torch.tensor([[1.0, 0.5], [0.0, 1.0]])) == 0.5


def test_a_site_is_after_a_block_that_the_text_tower_has() -> None:
    towers = ClipTowers(small_clip())
    for layer in (1, BLOCKS):
        Site(layer=layer).check(towers)
    for layer in (0, -1, BLOCKS + 1):
        with pytest.raises(OptionError, match=rf"after block {layer} .*has 4; .*from 1 to 4"):
            Site(layer=layer).check(towers)
