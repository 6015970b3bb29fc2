"""Scores with a cache equal those without, and nothing is decoded or encoded twice."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from descscore import DescriptionScore
from descscore.cli.groups import bytes_in
from descscore.errors import ImageNotFoundError, OptionError
from descscore.inputs import decode as decoding
from descscore.towers import cached
from descscore.towers.cache import EmbeddingCache
from descscore.towers.cache_export import export_images
from descscore.towers.encoder import Encoder
from tests.conftest import ROOT

TEXTS = ["a dog on the beach", "a red cup", "a rocket", "two clocks"]


class Counts:
    """How many images were decoded and encoded, and how many texts."""

    decoded = images = texts = 0

    def take(self) -> tuple[int, int, int]:
        found = self.decoded, self.images, self.texts
        self.decoded = self.images = self.texts = 0
        return found


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counted = Counts()
    decode, images, texts = decoding.decode, Encoder._images, Encoder._texts

    def counting_decode(image: Any, **options: Any) -> Any:
        counted.decoded += 1
        return decode(image, **options)

    def counting_images(self: Encoder, pixels: Any) -> Any:
        counted.images += len(pixels)
        return images(self, pixels)

    def counting_texts(self: Encoder, tokens: Any) -> Any:
        counted.texts += len(tokens)
        return texts(self, tokens)

    monkeypatch.setattr(decoding, "decode", counting_decode)
    monkeypatch.setattr(Encoder, "_images", counting_images)
    monkeypatch.setattr(Encoder, "_texts", counting_texts)
    # Files that were made for a test have only just changed.
    monkeypatch.setattr(cached, "_SETTLED_NS", -1)
    return counted


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    copied = shutil.copytree(ROOT / "examples" / "photos", tmp_path / "photos")
    return sorted(copied.glob("*.jpg"))


def test_new_texts_of_known_images_decode_and_encode_no_image(
    photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    plain = DescriptionScore()
    first = DescriptionScore(cache=tmp_path / "cache")
    np.testing.assert_array_equal(first(photos, TEXTS).scores, plain(photos, TEXTS).scores)
    counts.take()
    second = DescriptionScore(cache=tmp_path / "cache")
    found = second(photos, [*TEXTS[:3], "a new text"])
    assert counts.take() == (0, 0, 1)
    expected = plain(photos, [*TEXTS[:3], "a new text"])
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    assert found.purpose is not None
    assert expected.purpose is not None
    np.testing.assert_allclose(found.purpose, expected.purpose, atol=1e-6)
    assert found.signature == expected.signature


def test_a_second_run_has_the_very_same_scores(
    photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    runs = [
        DescriptionScore(cache=tmp_path / "cache", readouts=["purpose", "purpose_effect"])(
            photos, TEXTS, references=[[text] for text in TEXTS[::-1]]
        )
        for _ in range(2)
    ]
    for name in ("scores", "image_scores", "reference_scores", "purpose", "purpose_effect"):
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))
    assert counts.take() == (4, 4, 4)


@pytest.mark.parametrize("change", ["content", "replaced", "same size and time"])
def test_a_changed_file_is_read_again(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts, change: str
) -> None:
    metric = DescriptionScore(tiny_clip, cache=tmp_path / "cache", scale="cosine")
    path = tmp_path / "image.bmp"
    Image.new("RGB", (40, 40), "red").save(path)
    before = metric(path, "a red cup").scores.item()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    if change == "replaced":
        path.unlink()
    Image.new("RGB", (40, 40), "blue").save(path)
    if change == "same size and time":
        os.utime(path, ns=times)
    counts.take()
    after = metric(path, "a red cup").scores.item()
    assert counts.take() == (1, 1, 0)
    assert after != before
    assert after == DescriptionScore(tiny_clip, scale="cosine")(path, "a red cup").scores.item()


def test_a_file_that_has_only_just_changed_is_decoded_again(
    tiny_clip: Path,
    photos: list[Path],
    tmp_path: Path,
    counts: Counts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cached, "_SETTLED_NS", 10**18)
    for expected in ((1, 1, 1), (1, 0, 0)):
        DescriptionScore(tiny_clip, cache=tmp_path / "cache")(photos[0], "a cat")
        assert counts.take() == expected


def test_a_copy_and_bytes_of_known_pixels_are_not_encoded_again(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    metric = DescriptionScore(tiny_clip, cache=tmp_path / "cache")
    metric(photos[0], "a cat")
    counts.take()
    copied = shutil.copy(photos[0], tmp_path / "copy.jpg")
    content = photos[0].read_bytes()
    metric([copied, content], "a cat")
    assert counts.take() == (2, 0, 0)
    metric([copied, content], "a cat")
    metric([{"bytes": content, "path": None}, {"bytes": None, "path": str(copied)}], "a cat")
    assert counts.take() == (0, 0, 0)


def test_arrays_are_known_by_their_pixels(tiny_clip: Path, tmp_path: Path, counts: Counts) -> None:
    metric = DescriptionScore(tiny_clip, cache=tmp_path / "cache")
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    metric(image, "a cat")
    counts.take()
    metric(image.copy(), "a cat")
    assert counts.take() == (1, 0, 0)


@pytest.mark.parametrize(
    "other",
    [{"dtype": "bfloat16"}, {"checkpoint": "mini"}, {"prefix": "A photo depicts "}],
    ids=str,
)
def test_other_towers_and_texts_are_kept_apart(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts, other: dict[str, Any]
) -> None:
    options = {"checkpoint": tiny_clip} | other
    DescriptionScore(tiny_clip, cache=tmp_path / "cache")(photos, TEXTS)
    counts.take()
    found = DescriptionScore(**options, cache=tmp_path / "cache")(photos, TEXTS)
    encoded = counts.take()
    assert encoded[1:] == ((0 if "prefix" in other else 4), 4)
    np.testing.assert_array_equal(found.scores, DescriptionScore(**options)(photos, TEXTS).scores)


def test_drafts_are_kept_apart_and_named_in_the_signature(
    tiny_clip: Path, tmp_path: Path, counts: Counts
) -> None:
    path = tmp_path / "large.jpg"
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((800, 600), Image.Resampling.BICUBIC).save(path)
    whole, draft = (
        DescriptionScore(tiny_clip, scale="cosine", cache=tmp_path / "cache", jpeg_draft=drafted)
        for drafted in (False, True)
    )
    first = whole(path, "a cat").scores.item()
    assert counts.take() == (1, 1, 1)
    second = draft(path, "a cat").scores.item()
    assert counts.take() == (1, 1, 0)
    assert first != second == pytest.approx(first, abs=0.02)
    assert draft.signature.endswith("-draft")
    assert "-draft" not in whole.signature
    assert pickle.loads(pickle.dumps(draft)).signature == draft.signature
    assert draft(path, "a cat").scores.item() == second
    assert counts.take() == (0, 0, 0)


def test_failed_images_are_tried_again(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    metric = DescriptionScore(tiny_clip, cache=tmp_path / "cache", on_error="record")
    images = [photos[0], tmp_path / "missing.jpg", photos[1]]
    for _ in range(2):
        found = metric(images, "a cat")
        assert [error is None for error in found.errors] == [True, False, True]
        assert "image 1" in str(found.errors[1])
    shutil.copy(photos[2], images[1])
    assert metric(images, "a cat").failed == 0
    raising = DescriptionScore(tiny_clip, cache=tmp_path / "cache")
    with pytest.raises(ImageNotFoundError, match="image 1"):
        raising([photos[0], tmp_path / "gone.jpg"], "a cat")


def test_explanations_read_the_cache_too(
    photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    metric = DescriptionScore(cache=tmp_path / "cache")
    metric(photos[0], "a red cup")
    counts.take()
    metric.explain(photos[0], "a red cup", n_steps=2)
    assert counts.take() == (0, 0, 0)


def test_a_cache_may_serve_several_metrics(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    cache = EmbeddingCache(tmp_path / "cache", max_bytes=2_000_000)
    for scale in ("cosine", "clip100"):
        DescriptionScore(tiny_clip, cache=cache, scale=scale)(photos, "a cat")
    assert counts.take() == (4, 4, 1)
    assert cache.hits == 5


def test_a_reader_of_purpose_reads_the_cache_too(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    for encoded in ((1, 1, 2), (0, 0, 0)):
        metric = DescriptionScore(tiny_clip, purpose="mini", cache=tmp_path / "cache")
        assert metric(photos[0], "a red cup").purpose is not None
        assert counts.take() == encoded


def test_a_pickled_metric_goes_on_with_its_cache(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    cache = EmbeddingCache(tmp_path / "cache", max_bytes=2_000_000)
    metric = DescriptionScore(tiny_clip, cache=cache)
    expected = metric(photos, "a cat").scores
    counts.take()
    loaded = pickle.loads(pickle.dumps(metric))
    np.testing.assert_array_equal(loaded(photos, "a cat").scores, expected)
    assert counts.take() == (0, 0, 0)


def test_images_are_exported_for_search(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    metric = DescriptionScore(tiny_clip, cache=cache)
    copied = shutil.copy(photos[0], tmp_path / "copy.jpg")
    metric([*photos, copied, np.zeros((40, 40, 3), dtype=np.uint8)], "a cat")
    assert export_images(cache, tmp_path / "images.parquet") == 6
    table = pq.read_table(tmp_path / "images.parquet")
    rows = {row.pop("path"): row for row in table.to_pylist()}
    assert rows.keys() == {*map(str, photos), str(copied), None}
    assert rows[str(copied)] == rows[str(photos[0])]
    expected = metric.embed_images(photos).values
    for photo, values in zip(photos, expected, strict=True):
        np.testing.assert_array_equal(np.float32(rows[str(photo)]["embedding"]), values)
    matrix = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    assert matrix.shape == (6, 32)


def test_an_export_names_the_checkpoints_that_it_could_be_of(
    tiny_clip: Path, photos: list[Path], tmp_path: Path, counts: Counts
) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    with pytest.raises(OptionError, match="images of 0 checkpoints"):
        export_images(cache, tmp_path / "images.parquet")
    for dtype in ("float32", "bfloat16"):
        DescriptionScore(tiny_clip, cache=cache, dtype=dtype)(photos, "a cat")
    with pytest.raises(OptionError, match=r"images of 2 checkpoints .* 2 of them fit None"):
        export_images(cache, tmp_path / "images.parquet")
    assert export_images(cache, tmp_path / "images.parquet", checkpoint="float32") == 4


@pytest.mark.parametrize(
    ("size", "expected"), [("20GB", 2 * 10**10), ("1.5 mb", 1_500_000), ("2000000", 2_000_000)]
)
def test_sizes_are_read(size: str, expected: int) -> None:
    assert bytes_in(size) == expected


@pytest.mark.parametrize("size", ["", "GB", "-1GB", "3 PB", "1e9"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(OptionError, match="give a size such as 500MB or 20GB"):
        bytes_in(size)
