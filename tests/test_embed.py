"""Each image and each text is encoded once, whatever repeats; batches change nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from descscore import DescriptionScore
from descscore.errors import ImageError
from descscore.inputs import decode as images
from descscore.inputs.decode import decode


@dataclass
class Rows:
    """The batch sizes that went through each tower."""

    images: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


def watched(metric: DescriptionScore) -> Rows:
    """Watch what goes through the towers."""
    rows = Rows()
    towers: Any = metric._pipeline.encoder.towers
    embed_images = towers.embed_images

    def image(pixels: Tensor) -> Tensor:
        rows.images.append(len(pixels))
        return embed_images(pixels)

    def text(module: object, arguments: tuple, options: dict) -> None:
        rows.texts.append(len(options["input_ids"]))
        rows.tokens.append(options["input_ids"].shape[1])

    towers.embed_images = image
    towers.model.text_model.embeddings.register_forward_pre_hook(text, with_kwargs=True)
    return rows


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Twelve different images."""
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(12)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (40, 36, 3), np.uint8)).save(path)
    return paths


TEXTS = [f"{'very ' * i}big dog number {i}" for i in range(9)]


def test_each_image_and_each_text_is_encoded_once(tiny_clip: Path, photos: list[Path]) -> None:
    metric = DescriptionScore(tiny_clip)
    rows = watched(metric)
    images = [photos[i % 3] for i in range(30)]
    result = metric(images, [TEXTS[i % 5] for i in range(30)], [TEXTS[i % 7] for i in range(30)])
    assert sum(rows.images) == 3
    assert sum(rows.texts) == 7
    assert len(result.scores) == 30


def test_each_is_encoded_once_when_scored_pairwise(tiny_clip: Path, photos: list[Path]) -> None:
    metric = DescriptionScore(tiny_clip)
    rows = watched(metric)
    metric([*photos[:4], photos[0]], [*TEXTS, TEXTS[0]], pairwise=True)
    assert (sum(rows.images), sum(rows.texts)) == (4, 9)


def test_images_with_the_same_pixels_are_encoded_once(tiny_clip: Path, photos: list[Path]) -> None:
    copy = photos[0].with_name("copy.bmp")
    with Image.open(photos[0]) as image:
        image.save(copy)
        ways = [photos[0], str(photos[0]), copy, copy.read_bytes(), image.copy(), np.array(image)]
        ways.append(photos[1])
    metric = DescriptionScore(tiny_clip, scale="cosine", batch_size=2)
    rows = watched(metric)
    result = metric(ways, "a dog")
    assert sum(rows.images) == 2
    assert np.ptp(result.scores[:-1]) < 1e-6
    assert result.scores[-1] != result.scores[0]


def test_an_image_that_comes_again_is_read_once(
    tiny_clip: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(images, "decode", lambda image: read.append(image) or decode(image))
    metric = DescriptionScore(tiny_clip, on_error="record", num_workers=0)
    found = metric.embed_images([photos[0], "missing.png", photos[0], "missing.png"])
    assert len(read) == 2
    assert (found.values[0] == found.values[2]).all()
    assert [error and error[:7] for error in found.errors] == [None, "image 1", None, "image 3"]


def test_texts_with_the_same_tokens_are_encoded_once(tiny_clip: Path, photos: list[Path]) -> None:
    metric = DescriptionScore(tiny_clip, scale="cosine")
    rows = watched(metric)
    result = metric(photos[0], ["A dog", "a  DOG ", "a\ndog", "a cat"])
    assert sum(rows.texts) == 2
    assert len(set(result.scores[:3].tolist())) == 1
    assert result.scores[3] != result.scores[0]


def test_a_file_that_changed_between_calls_is_read_again(
    tiny_clip: Path, photos: list[Path]
) -> None:
    metric = DescriptionScore(tiny_clip, scale="cosine")
    before = metric(photos[0], "a dog")
    Image.new("RGB", (50, 50), "red").save(photos[0])
    after = metric(photos[0], "a dog")
    assert after.scores != before.scores
    assert after.scores == metric(photos[0].read_bytes(), "a dog").scores


def test_batches_are_as_large_as_asked_and_shorter_texts_go_in_larger_ones(
    tiny_clip: Path, photos: list[Path]
) -> None:
    metric = DescriptionScore(tiny_clip, batch_size=5)
    rows = watched(metric)
    long = [f"{text} {'and so on ' * 30}" for text in TEXTS]
    short = [f"dog {letter}" for letter in "abcdefghijklmnopqrst"]
    metric(photos, [*long, *short], pairwise=True)
    assert rows.images == [5, 5, 2]
    assert sum(rows.texts) == len(long) + len(short)
    assert all(
        batch * width <= 5 * 77 for batch, width in zip(rows.texts, rows.tokens, strict=True)
    )
    assert max(rows.texts) > 15


def test_texts_are_padded_only_to_the_longest_of_their_batch(
    tiny_clip: Path, photos: list[Path]
) -> None:
    metric = DescriptionScore(tiny_clip)
    rows = watched(metric)
    result = metric(photos[0], ["a dog", "a big dog"])
    assert rows.tokens == [result.n_tokens.max()]


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (2, 3), (7, 1), (64, 8)])
def test_scores_depend_on_neither_batch_size_nor_workers_nor_order(
    tiny_clip: Path, photos: list[Path], batch_size: int, num_workers: int
) -> None:
    texts = [*TEXTS, "long " * 100, "x"]
    # Unclamped, so that every pair counts, and on the scale of the default score.
    reference = (
        2.5 * DescriptionScore(tiny_clip, scale="cosine")(photos, texts, pairwise=True).scores
    )
    metric = DescriptionScore(
        tiny_clip, scale="cosine", batch_size=batch_size, num_workers=num_workers
    )
    image_order = np.random.default_rng(1).permutation(len(photos))
    text_order = np.random.default_rng(2).permutation(len(texts))
    shuffled = metric(
        [photos[i] for i in image_order], [texts[i] for i in text_order], pairwise=True
    ).scores
    expected = reference[np.ix_(image_order, text_order)]
    np.testing.assert_allclose(2.5 * shuffled, expected, rtol=0, atol=1e-6)
    singly = [2.5 * metric(photos[i], texts[i]).scores.item() for i in range(4)]
    np.testing.assert_allclose(singly, reference[range(4), range(4)], rtol=0, atol=1e-6)


def test_reading_stops_at_the_first_bad_image_if_asked(
    tiny_clip: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    metric = DescriptionScore(tiny_clip, num_workers=0)

    def decode(image: Path) -> Image.Image:
        seen.append(image)
        if image == photos[2]:
            raise ImageError("is bad")
        return Image.new("RGB", (32, 32))

    monkeypatch.setattr("descscore.inputs.decode.decode", decode)
    with pytest.raises(ImageError, match="image 2 is bad"):
        metric(photos, "a dog")
    assert seen == photos[:3]


def test_progress_goes_to_stderr_and_only_if_asked(
    tiny_clip: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for progress in (False, True):
        metric = DescriptionScore(tiny_clip, progress=progress)
        capsys.readouterr()
        metric(photos, "a dog")
        out, err = capsys.readouterr()
        assert out == ""
        assert ("image" in err and "text" in err) == progress
        assert bool(err) == progress
