"""The objectives against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from descscore_training.objective import behavioral, drift, iit_das, joint, prefer, relevance


def soft(difference: float) -> float:
    """Two-way cross-entropy whose target lies `difference` above the other: log(1 + e^-d)."""
    return math.log(1 + math.exp(-difference))


def test_prefer_is_the_mean_over_pairs_of_the_two_way_cross_entropy():
    loss = prefer(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 5.0]))
    assert loss.item() == pytest.approx((soft(2) + soft(-5)) / 2)


def test_equal_logits_cost_log_two():
    assert behavioral(torch.ones(3), torch.ones(3)).item() == pytest.approx(math.log(2))


def test_behavioral_wants_the_description_higher():
    loss = behavioral(caption=torch.tensor([1.0, 2.0]), description=torch.tensor([4.0, 1.5]))
    assert loss.item() == pytest.approx((soft(3) + soft(-0.5)) / 2)


def test_iit_das_averages_both_directions_with_their_own_targets():
    loss = iit_das(
        caption=torch.tensor([1.0, 0.0]),
        description=torch.tensor([2.0, -1.0]),
        caption_from_description=torch.tensor([1.5, 2.0]),  # wanted above the caption
        description_from_caption=torch.tensor([-1.0, 0.5]),  # wanted below the description
    )
    raised = (soft(0.5) + soft(2)) / 2
    lowered = (soft(3) + soft(-1.5)) / 2
    assert loss.item() == pytest.approx((raised + lowered) / 2)


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 5.0), (0.3, 4.1), (1.0, 2.0)])
def test_joint_gives_alpha_to_iit_das_and_the_rest_to_behavioral(alpha: float, expected: float):
    assert joint(alpha, torch.tensor(2.0), torch.tensor(5.0)).item() == pytest.approx(expected)


def test_losses_of_half_precision_logits_are_computed_in_float32():
    loss = prefer(torch.tensor([2.0]).bfloat16(), torch.tensor([1.0]).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(soft(1))


def unit(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def log_sum(*logits: float) -> float:
    return math.log(sum(map(math.exp, logits)))


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_relevance_of_pairs_with_images_sets_both_texts_against_the_other_images():
    images, captions, descriptions = unit(0, 90), unit(30, 90), unit(0, 60)
    # Twice the cosine: a row an image; both captions, then both descriptions.
    logits = [
        [2 * cos(30), 2 * cos(90), 2 * cos(0), 2 * cos(60)],
        [2 * cos(60), 2 * cos(0), 2 * cos(90), 2 * cos(30)],
    ]
    # The target of an image is shared evenly between its two texts.
    of_images = [
        log_sum(*logits[0]) - (logits[0][0] + logits[0][2]) / 2,
        log_sum(*logits[1]) - (logits[1][1] + logits[1][3]) / 2,
    ]
    of_texts = [log_sum(logits[0][t], logits[1][t]) - logits[t % 2][t] for t in range(4)]
    expected = (sum(of_images) / 2 + sum(of_texts) / 4) / 2
    own = torch.tensor([True, True])
    loss = relevance(images, captions, descriptions, own, torch.tensor(2.0))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_relevance_takes_no_notice_of_stand_ins_but_of_their_texts():
    images, captions, descriptions = unit(0, 250, 90), unit(30, 80, 100), unit(10, 60, 20)
    own = torch.tensor([True, False, True])
    # The images of the first and the last pair, and all six texts to tell apart.
    logits = [[cos(image - text) for text in (30, 80, 100, 10, 60, 20)] for image in (0, 90)]
    of_images = [
        log_sum(*logits[0]) - (logits[0][0] + logits[0][3]) / 2,
        log_sum(*logits[1]) - (logits[1][2] + logits[1][5]) / 2,
    ]
    of_texts = [
        log_sum(logits[0][text], logits[1][text]) - logits[image][text]
        for text, image in ((0, 0), (2, 1), (3, 0), (5, 1))
    ]
    expected = (sum(of_images) / 2 + sum(of_texts) / 4) / 2
    loss = relevance(images, captions, descriptions, own, torch.tensor(1.0))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_relevance_without_images_is_zero():
    own = torch.tensor([False, False])
    loss = relevance(unit(200, 300), unit(0, 90), unit(60, 90), own, torch.tensor(3.0))
    assert loss.item() == 0


def test_drift_is_the_divergence_from_the_bases_softmax_over_texts():
    images, texts, base_images, base = unit(0, 90), unit(0, 60), unit(20, 70), unit(30, 90)
    expected = 0.0
    for image, earlier in ((0, 20), (90, 70)):
        before = [2 * cos(earlier - text) for text in (30, 90)]
        now = [2 * cos(image - text) for text in (0, 60)]
        shares = [math.exp(logit - log_sum(*before)) for logit in before]
        expected += sum(
            share * ((old - log_sum(*before)) - (new - log_sum(*now)))
            for share, old, new in zip(shares, before, now, strict=True)
        )
    loss = drift(images, texts, base_images, base, torch.tensor(2.0))
    assert expected > 0.05
    assert loss.item() == pytest.approx(expected / 2, abs=1e-6)


def test_drift_of_unmoved_texts_is_zero_and_a_common_shift_costs_nothing():
    images, base = unit(0, 90, 200), unit(20, 70)
    assert drift(images, base, images, base, torch.tensor(5.0)).item() == pytest.approx(0, abs=1e-6)
    # A third dimension in which all images and all texts are alike.
    lifted = torch.cat([images, torch.full((3, 1), 0.7)], 1)
    flat, raised = (torch.cat([base, torch.full((2, 1), by)], 1) for by in (0.1, 0.9))
    assert drift(lifted, raised, lifted, flat, torch.tensor(5.0)).item() == pytest.approx(
        0, abs=1e-5
    )


@pytest.mark.parametrize("name", ["relevance", "drift"])
def test_products_are_computed_in_float32_under_autocast(name: str):
    random = torch.Generator().manual_seed(0)
    images, captions, descriptions = (
        torch.nn.functional.normalize(torch.randn(3, 5, generator=random), dim=1) for _ in range(3)
    )
    own, scale = torch.tensor([True, True, False]), torch.tensor(100.0)

    def loss() -> float:
        if name == "drift":
            return drift(images, captions, images, descriptions, scale).item()
        return relevance(images, captions, descriptions, own, scale).item()

    expected = loss()
    with torch.autocast("cpu", torch.bfloat16):
        assert loss() == pytest.approx(expected, rel=1e-6)
