"""The shipped checkpoint is what its card says, and scores as it did when it was shipped."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from descscore import DescriptionScore
from descscore.checkpoints.store import SHIPPED
from descscore.datasets.concadia import read_concadia
from descscore.datasets.described_images import read_described_images
from descscore.datasets.labelled_images import class_folders, read_files
from descscore_training.config import find_recipe, load_recipe, plain
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.measure import measure_flickr8k, measure_preference
from descscore_training.pretrain.recipe import PretrainRecipe
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
FROZEN = Path(__file__).with_name("frozen_scores.csv")


@pytest.fixture(scope="module")
def card() -> dict[str, object]:
    return json.loads((SHIPPED["mini"] / "descscore_config.json").read_text(encoding="utf-8"))


def test_scores_are_those_of_the_day_it_was_shipped() -> None:
    with FROZEN.open(encoding="utf-8", newline="") as file:
        frozen = list(csv.DictReader(file))
    with (EXAMPLES / "pairs.csv").open(encoding="utf-8", newline="") as file:
        pairs = list(csv.DictReader(file))
    images = [EXAMPLES / pair["image"] for pair in pairs]
    found = DescriptionScore(scale="cosine")(images, [pair["text"] for pair in pairs])
    assert [row["text"] for row in frozen] == [pair["text"] for pair in pairs]
    np.testing.assert_allclose(found.scores, [float(row["cosine"]) for row in frozen], atol=1e-4)
    assert found.purpose is not None
    np.testing.assert_allclose(found.purpose, [float(row["purpose"]) for row in frozen], atol=1e-3)


def test_preference_and_relevance_are_those_of_the_card(
    card: dict[str, object], shared_data: Path
) -> None:
    metric = DescriptionScore(scale="cosine")
    examples = read_described_images(shared_data / "concadia-val200").examples
    found = measure_preference(metric, examples)
    expected = card["measured"]["concadia-val200"]
    assert found.keys() == expected.keys()
    for what, share in expected.items():
        # A score in a near tie may fall on the other side on another machine.
        assert found[what]["share"] == pytest.approx(share["share"], abs=0.01), what
    before = card["measured_base"]["concadia-val200"]
    assert before["preference"]["low"] < 0.5 < before["preference"]["high"]


def test_its_purpose_tells_descriptions_from_captions(shared_data: Path) -> None:
    examples = read_concadia(shared_data / "concadia-val200")
    metric = DescriptionScore()
    descriptions = metric.purpose([example.description for example in examples])
    captions = metric.purpose([example.caption for example in examples])
    assert np.mean(descriptions > captions) > 0.85
    assert np.mean(descriptions > 0.5) + np.mean(captions < 0.5) > 2 * 0.75


def test_it_ranks_captions_of_photos_as_its_card_says(
    card: dict[str, object], shared_data: Path
) -> None:
    expected = card["measured"]["flickr8k test"]
    found = measure_flickr8k(DescriptionScore(scale="cosine"), shared_data / "flickr8k")
    assert found == pytest.approx(expected, abs=0.005)
    assert found["own caption above others"] > 0.85


def test_it_knows_the_classes_of_cifar10(card: dict[str, object], shared_data: Path) -> None:
    whole = class_folders(shared_data / "cifar10.zip", "test")
    images = list(read_files(shared_data / "cifar10.zip", whole.names[::10]))
    prompts = [f"An image of {label}" for label in whole.classes]
    result = DescriptionScore()(images, prompts, pairwise=True)
    found = np.array(whole.classes)[result.scores.argmax(1)]
    accuracy = np.mean(found == np.array(whole.labels[::10]))
    # Three standard errors of a thousand images around the accuracy over all ten thousand.
    assert accuracy == pytest.approx(card["measured"]["cifar10 test"]["accuracy"], abs=0.04)


def test_the_card_holds_the_recipe_of_the_repository(card: dict[str, object]) -> None:
    recipe = load_recipe(FinetuneRecipe, find_recipe("mini"))
    assert card["recipe"] == plain(recipe)
    base = card["base"]["recipe"]
    assert base == plain(load_recipe(PretrainRecipe, find_recipe("mini-base", "pretrain")))


def test_everything_that_ships_fits_in_16_megabytes() -> None:
    files = [path for path in SHIPPED["mini"].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 16e6
