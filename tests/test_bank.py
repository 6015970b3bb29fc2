"""Batches of pairs: token ids with embeddings or pixels, stand-ins, images that cannot be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descscore import DescriptionScore
from descscore.checkpoints.attach import Clip, load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import RecipeError
from descscore.towers.clip import embed_images, embed_texts, project_images
from descscore_training.finetune_recipe import Kept
from descscore_training.pairs.bank import Bank, load_banks, load_images
from descscore_training.pairs.sources import AnchorTexts, PairSource, StandIns, load_pairs
from tests.training_made import made_data

PAIRS = {"name": "pairs", "path": "pairs.csv", "images": "images", "batch": 3}
TEXTS = {"name": "texts", "path": "texts.csv", "batch": 2}


@pytest.fixture(scope="module")
def clip(tiny_clip: Path) -> Clip:
    checkpoint = resolve_checkpoint(tiny_clip)
    return load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return made_data(tmp_path / "data")


def banks(
    data: Path,
    clip: Clip,
    *sources: dict[str, Any],
    keep: Kept = "embeddings",
) -> tuple[Bank, Bank, Bank | None, dict[str, str]]:
    pairs = load_pairs([PairSource(**source) for source in sources], data)
    cache = data.parent / "pixels.npy"
    return load_banks(
        pairs,
        clip,
        keep=keep,
        cache=cache,
        progress=False,
    )


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_batch_holds_the_images_and_texts_of_its_rows(data: Path, clip: Clip, tiny_clip: Path):
    training, validation, _, unreadable = banks(data, clip, PAIRS)
    assert (training.sizes, validation.sizes, unreadable) == ([16], [8], {})
    assert training.batch_sizes == [3]
    batch = training.batch([(0, 5), (0, 0)], random())
    metric = DescriptionScore(tiny_clip, scale="cosine")
    table = [line.split(",") for line in (data / "pairs.csv").read_text().splitlines()[1:]]
    rows = [row for row in table if row[3] == "train"]
    assert batch.own_image.tolist() == [True, True]
    for place, row in enumerate((rows[5], rows[0])):
        for ids, column in ((batch.captions, 2), (batch.descriptions, 1)):
            text = embed_texts(clip.model, torch.tensor([ids[place]]))[0]
            expected = metric(data / "images" / row[0], row[column]).mean
            assert (batch.images[place] @ text).item() == pytest.approx(expected, abs=1e-5)


def test_pixels_and_features_give_the_embeddings_of_a_frozen_tower(data: Path, clip: Clip):
    rows = [(0, 3), (0, 9), (0, 3)]
    frozen = banks(data, clip, PAIRS)[0].batch(rows, random())
    features = banks(data, clip, PAIRS, keep="features")[0].batch(rows, random())
    pixels = banks(data, clip, PAIRS, keep="pixels")[0].batch(rows, random())
    assert pixels.images.shape == (3, 3, 32, 32)
    with torch.no_grad():
        projected = project_images(clip.model, features.images)
        found = embed_images(clip.model, pixels.images)
    torch.testing.assert_close(projected, frozen.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, frozen.images, atol=1e-5, rtol=0)
    assert (data.parent / "pixels.npy").is_file()


def test_embeddings_can_be_trained_with(data: Path, clip: Clip):
    images = banks(data, clip, PAIRS)[0].batch([(0, 0)], random()).images
    weight = torch.ones(images.shape[1], requires_grad=True)
    (images * weight).sum().backward()
    assert weight.grad is not None


def test_tokens_are_left_out_at_random_but_never_a_text_s_ends(data: Path, clip: Clip):
    training, *_ = banks(data, clip, PAIRS)
    rows = [(0, row) for row in range(16)] * 20
    whole = training.batch(rows, random())
    generator = random()
    thin = training.batch(rows, generator, token_dropout=0.25)
    again = training.batch(rows, random(), token_dropout=0.25)
    other = training.batch(rows, generator, token_dropout=0.25)
    inner = left = 0
    for side in ("captions", "descriptions"):
        assert getattr(thin, side) == getattr(again, side) != getattr(other, side)
        for before, after in zip(getattr(whole, side), getattr(thin, side), strict=True):
            assert (after[0], after[-1]) == (before[0], before[-1])
            rest = iter(before)
            assert all(token in rest for token in after)  # in the same order
            inner, left = inner + len(before) - 2, left + len(before) - len(after)
    assert left / inner == pytest.approx(0.25, abs=0.02)
    assert torch.equal(thin.images, whole.images)


@pytest.mark.parametrize("keep", ["embeddings", "features", "pixels"])
def test_random_training_images_stand_in(data: Path, clip: Clip, keep: Kept):
    training, validation, *_ = banks(data, clip, PAIRS, TEXTS | {"image_free": "random"}, keep=keep)
    every = training.batch([(0, row) for row in range(16)], random(), probes=True).images
    drawn = []
    for bank in (training, validation):
        generator = random()
        for _ in range(10):
            batch = bank.batch([(1, 0), (0, 1), (1, 1)], generator)
            assert batch.own_image.tolist() == [False, True, False]
            for image in batch.images[[0, 2]]:
                same = [row for row in range(16) if torch.equal(image, every[row])]
                assert len(same) == 1
                drawn += same
    assert len(set(drawn)) > 8
    again = [validation.batch([(1, 0), (1, 1)], random()).images for _ in range(2)]
    assert torch.equal(*again)


def test_validation_keeps_the_base_embeddings_of_texts_without_images(data: Path, tiny_clip: Path):
    checkpoint = resolve_checkpoint(tiny_clip)
    own = load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))
    training, validation, *_ = banks(data, own, PAIRS, TEXTS | {"image_free": "random"})
    picked = [(1, 2), (0, 1), (1, 0)]
    batch = validation.batch(picked, random())
    with torch.no_grad():
        expected = [
            torch.cat([embed_texts(own.model, torch.tensor([ids])) for ids in side])
            for side in (batch.captions, batch.descriptions)
        ]
        own.model.text_projection.weight.zero_()
    for ours, theirs in zip(validation.base_texts, expected, strict=True):
        torch.testing.assert_close(torch.cat(ours)[[2, 0]], theirs[[0, 2]], atol=1e-5, rtol=0)
    assert training.base_texts == ([], [])


@pytest.mark.parametrize("keep", ["embeddings", "features", "pixels"])
def test_probes_are_training_images_for_pairs_without_one(data: Path, clip: Clip, keep: Kept):
    training, *_ = banks(data, clip, PAIRS, TEXTS | {"image_free": "random"}, keep=keep)
    every = training.batch([(0, row) for row in range(16)], random(), probes=True)
    assert every.probes is None
    assert training.batch([(0, 0), (1, 0)], random()).probes is None
    probes = training.batch([(0, 0), (1, 0)], random(), probes=True).probes
    assert probes is not None
    assert len(probes) == 32
    assert all(any(torch.equal(probe, image) for image in every.images) for probe in probes)


def test_a_broken_image_is_left_out_and_reported(data: Path, clip: Clip):
    whole = banks(data, clip, PAIRS)[0]
    (data / "images" / "2.png").write_bytes(b"no image")
    kinds: tuple[Kept, ...] = ("embeddings", "features", "pixels")
    for keep in kinds:
        training, validation, _, unreadable = banks(data, clip, PAIRS, keep=keep)
        assert (training.sizes, validation.sizes) == ([15], [8])
        [(path, why)] = unreadable.items()
        assert path == str(data / "images" / "2.png")
        assert "not in an image format" in why
        # Image 2 is the second of the training rows: those behind it move up, texts and all.
        assert training.rows[0] == whole.rows[0][:1] + whole.rows[0][2:]
        moved = training.batch([(0, 1)], random())
        expected = whole.batch([(0, 2)], random())
        assert moved.descriptions == expected.descriptions
        if keep == "embeddings":
            torch.testing.assert_close(moved.images, expected.images)


def test_a_broken_image_never_stands_in(data: Path, clip: Clip):
    for i in range(24):
        if i % 3 and i != 1:  # of the training rows only image 1 is left
            (data / "images" / f"{i}.png").write_bytes(b"no image")
    training, *_ = banks(data, clip, PAIRS, TEXTS | {"image_free": "random"})
    own = training.batch([(0, 0)], random()).images
    drawn = training.batch([(1, row) for row in range(8)], random()).images
    assert torch.equal(drawn, own.expand(8, -1))


def test_a_source_whose_images_are_all_broken_is_named(data: Path, clip: Clip):
    (data / "broken").mkdir()
    for i in range(24):
        (data / "broken" / f"{i}.png").write_bytes(b"no image")
    broken = PAIRS | {"name": "broken", "images": "broken"}
    with pytest.raises(RecipeError, match=r"source 'broken': none .* can be read.*1\.png.*format"):
        banks(data, clip, PAIRS, broken)
    with pytest.raises(RecipeError, match=r"no image of the training pairs can be read"):
        banks(data, clip, broken)


def test_validation_images_that_are_all_broken_are_refused(data: Path, clip: Clip):
    for i in range(0, 24, 3):
        (data / "images" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(RecipeError, match="no image of the validation pairs can be read"):
        banks(data, clip, PAIRS)


def test_stand_ins_stand_in_beside_other_rows_images(data: Path, clip: Clip):
    table = (data / "pairs.csv").read_text().splitlines()
    (data / "few.csv").write_text("\n".join([table[0], *table[1:4]]))  # 0 validates, 1 and 2 train
    few = PairSource(**(PAIRS | {"path": "few.csv"}))
    pairs = load_pairs([few, PairSource(**TEXTS, image_free="random")], data)
    images = [data / "images" / f"{i}.png" for i in range(24)]
    training, validation, _, _ = load_banks(
        replace(pairs, stand_ins=StandIns(training=images[4:6], validation=images[6:8])),
        clip,
        keep="embeddings",
        cache=data / "none",
        progress=False,
    )
    every = load_images(images, clip, keep="embeddings", cache=data / "none", progress=False)
    for bank, expected in ((training, {1, 2, 4, 5}), (validation, {6, 7})):
        generator = random()
        drawn = [bank.batch([(1, 0)], generator).images[0] for _ in range(40)]
        found = {(every.content @ image).argmax().item() for image in drawn}
        assert found == expected


def test_stand_ins_that_were_drawn_before_are_taken(data: Path, clip: Clip):
    training, *_ = banks(data, clip, PAIRS, TEXTS | {"image_free": "random"})
    picked = [(1, 0), (0, 3), (1, 4), (1, 2)]
    generator = random()
    drawn = training.draw_stand_ins(len(picked), generator)
    whole = training.batch(picked, random(), probes=True)
    assert torch.equal(
        training.batch(picked, generator, stand_ins=drawn, probes=True).probes, whole.probes
    )
    for part in (slice(0, None, 2), slice(1, None, 2)):
        batch = training.batch(picked[part], random(), stand_ins=drawn[part])
        assert torch.equal(batch.images, whole.images[part])


def test_anchors_come_with_probes(data: Path, clip: Clip):
    pairs = load_pairs([PairSource(**PAIRS)], data)
    texts = [f"An image of {i}" for i in range(9)]
    training, validation, _, _ = load_banks(
        replace(pairs, anchors=[AnchorTexts(texts=texts, images=[], batch=4)]),
        clip,
        keep="embeddings",
        cache=data / "none",
        progress=False,
    )
    batch = training.batch([(0, 0)], random(), probes=True)
    known = [list(ids.ids) for ids in clip.texts(texts)]
    assert batch.probes is not None
    (anchors,) = batch.anchors
    assert anchors.images is None
    assert len({known.index(list(ids)) for ids in anchors.texts}) == 4
    assert not training.batch([(0, 0)], random()).anchors
    assert not validation.batch([(0, 0)], random(), probes=True).anchors


def test_captions_come_with_their_own_photos_if_these_can_be_read(
    data: Path, clip: Clip, tiny_clip: Path
):
    pairs = load_pairs([PairSource(**PAIRS)], data)
    photos = sorted((data / "images").iterdir())[:3]
    broken = data / "broken.png"
    broken.write_bytes(b"no image")
    images = [photos[0], broken, *photos]
    texts = [f"caption {i}" for i in range(5)]

    def banks(batch: int) -> Bank:
        return load_banks(
            replace(pairs, anchors=[AnchorTexts(texts=texts, images=images, batch=batch)]),
            clip,
            keep="embeddings",
            cache=data / "none",
            progress=False,
        )[0]

    (drawn,) = banks(4).batch([(0, 0)], random(), probes=True).anchors
    known = [list(ids.ids) for ids in clip.texts(texts)]
    rows = [known.index(list(ids)) for ids in drawn.texts]
    assert sorted(rows) == [0, 2, 3, 4]
    scorer = DescriptionScore(str(tiny_clip), device="cpu")
    expected = scorer.embed_images([images[row] for row in rows]).values
    assert drawn.images is not None
    np.testing.assert_allclose(drawn.images.numpy(), expected, atol=1e-5)
    with pytest.raises(RecipeError, match="only 4 captions have a photo that can be read"):
        banks(5)


def test_texts_alone_are_refused(data: Path, clip: Clip):
    with pytest.raises(RecipeError, match="no pair of any source has an image"):
        banks(data, clip, TEXTS | {"image_free": "random"})


def test_long_texts_are_cut_to_the_window_and_counted(data: Path, clip: Clip):
    table = (data / "pairs.csv").read_text().replace("Turin celebrated", "Turin " * 200)
    (data / "long.csv").write_text(table)
    training, validation, *_ = banks(data, clip, PAIRS | {"path": "long.csv"})
    lengths = [len(row.caption) for row in training.rows[0]]
    assert max(lengths) == 77
    assert training.truncated == lengths.count(77) == 3  # images 4, 5 and 7
    assert validation.truncated == 1
    assert {row.caption[-1] for row in training.rows[0]} == {clip.texts.end}
