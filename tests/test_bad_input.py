"""One bad item gives one clear error, and never costs another item its score."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from descscore import DescriptionScore, DescscoreError
from descscore.errors import (
    ImageError,
    ImageNotFoundError,
    InputError,
    PairingError,
    TextError,
)
from tests.test_decode import png_that_claims

NAN_TENSOR = torch.full((3, 8, 8), float("nan"))


def truncated_jpeg(keep: float) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()[: int(buffer.tell() * keep)]


def file_of(content: bytes) -> Callable[[Path], Path]:
    """Makes a file with this content in a folder."""

    def make(folder: Path) -> Path:
        path = folder / "image.jpg"
        path.write_bytes(content)
        return path

    return make


# What makes each bad image, its error, and what its message must name.
BAD_IMAGES = {
    "missing": (lambda folder: folder / "gone.jpg", ImageNotFoundError, "gone.jpg", "check the"),
    "unreadable": (file_of(b"<html>"), ImageError, "image.jpg", "convert it to PNG"),
    "truncated": (file_of(truncated_jpeg(0.6)), ImageError, "image.jpg", "replace it"),
    "truncated_header": (file_of(truncated_jpeg(0.05)), ImageError, "image.jpg", "replace"),
    "zero_byte": (file_of(b""), ImageError, "image.jpg", "0 bytes"),
    "bomb": (file_of(png_that_claims(60_000, 60_000)), ImageError, "image.jpg", "shrink it"),
    "big": (file_of(png_that_claims(10_000, 10_000)), ImageError, "image.jpg", "shrink it"),
    "elongated": (lambda _: Image.new("RGB", (1, 200_000)), ImageError, "1 x 200000", "crop it"),
    "directory": (lambda folder: folder, ImageError, "is a folder", "path of one image"),
    "address": (lambda _: "https://example.org/a.jpg", ImageError, "example.org", "save the image"),
    "empty_bytes": (lambda _: b"", ImageError, "(0 bytes)", "replace"),
    "nan": (lambda _: NAN_TENSOR, ImageError, "NaN", "repair or remove"),
    "above_one": (lambda _: torch.full((3, 8, 8), 200.0), ImageError, "200", "floats in [0, 1]"),
    "below_zero": (lambda _: torch.full((3, 8, 8), -1.0), ImageError, "-1", "floats in [0, 1]"),
    "float_array": (lambda _: np.zeros((8, 8, 3)), ImageError, "float64", "uint8"),
    "channels_first": (lambda _: np.zeros((3, 8, 8), np.uint8), ImageError, "(3, 8, 8)", "(H, W"),
    "none": (lambda _: None, ImageError, "NoneType", "give a path"),
    "number": (lambda _: 7, ImageError, "int", "give a path"),
}

BAD_TEXTS = {
    "empty": ("", "is empty ('')", "give a text"),
    "white": (" \n", "is empty", "give a text"),
    "none": (None, "None", "give a str"),
    "number": (3.5, "3.5", "give a str"),
    "bytes": (b"a dog", "b'a dog'", "give a str"),
    "million": ("word " * 200_000, "1,000,000 characters", "shorten it"),
    "surrogate": ("\ud800", "Unicode", "decode it"),
    "unseen": ("\u200b\u3164\ufe0f", r"is empty ('\u200b\u3164\ufe0f')", "give a text"),
}


@pytest.fixture(scope="module")
def good() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (3, 40, 40, 3), np.uint8)
    return [Image.fromarray(of_image) for of_image in pixels]


GOOD_TEXTS = ["a dog", "a cat on the sofa", "an old clock"]


# The warning that Pillow gives before it refuses is not ours to hide.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bad_image(
    tiny_clip: Path, tmp_path: Path, good: list[Image.Image], name: str, num_workers: int
) -> None:
    make, error, value, remedy = BAD_IMAGES[name]
    bad = make(tmp_path)
    images = [good[0], bad, good[2]]
    options = {"scale": "cosine", "num_workers": num_workers}
    with pytest.raises(InputError) as caught:
        DescriptionScore(tiny_clip, **options)(images, GOOD_TEXTS)
    assert caught.type is error
    message = str(caught.value)
    assert message.startswith("image 1 ")
    assert value in message
    assert remedy in message
    assert len(message) < 400
    recording = DescriptionScore(tiny_clip, on_error="record", **options)
    result = recording(images, GOOD_TEXTS)
    assert result.errors == (None, message, None)
    assert np.isnan(result.scores).tolist() == [False, True, False]
    alone = recording([good[0], good[2]], [GOOD_TEXTS[0], GOOD_TEXTS[2]])
    np.testing.assert_allclose(result.scores[[0, 2]], alone.scores, rtol=0, atol=1e-6)
    assert result.mean == pytest.approx(alone.mean, abs=1e-6)


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_bad_text(tiny_clip: Path, good: list[Image.Image], name: str) -> None:
    bad, value, remedy = BAD_TEXTS[name]
    texts = [GOOD_TEXTS[0], bad, GOOD_TEXTS[2]]
    with pytest.raises(InputError) as caught:
        DescriptionScore(tiny_clip)(good, texts)
    assert caught.type is TextError
    message = str(caught.value)
    assert message.startswith("text 1 ")
    assert value in message
    assert remedy in message
    assert len(message) < 400
    recording = DescriptionScore(tiny_clip, scale="cosine", on_error="record")
    result = recording(good, texts)
    assert result.errors == (None, message, None)
    assert np.isnan(result.scores).tolist() == [False, True, False]
    assert (result.n_tokens > 0).tolist() == [True, False, True]
    alone = recording([good[0], good[2]], [GOOD_TEXTS[0], GOOD_TEXTS[2]])
    np.testing.assert_allclose(result.scores[[0, 2]], alone.scores, rtol=0, atol=1e-6)


def test_a_bad_reference_is_named_and_costs_only_its_own_image(
    tiny_clip: Path, good: list[Image.Image]
) -> None:
    references = [["a dog"], ["a cat", ""], ["a clock"]]
    with pytest.raises(TextError, match=r"^reference 1 of image 1 is empty"):
        DescriptionScore(tiny_clip)(good, GOOD_TEXTS, references)
    result = DescriptionScore(tiny_clip, on_error="record")(good, GOOD_TEXTS, references)
    assert [error is None for error in result.errors] == [True, False, True]
    for values in (result.scores, result.image_scores, result.reference_scores):
        assert np.isnan(values).tolist() == [False, True, False]


def test_every_pair_of_a_bad_item_fails_and_no_other(
    tiny_clip: Path, good: list[Image.Image]
) -> None:
    images, texts = [good[0], b"", good[2]], ["a dog", "", "a clock"]
    result = DescriptionScore(tiny_clip, on_error="record")(images, texts, pairwise=True)
    failed = [[False, True, False], [True, True, True], [False, True, False]]
    assert np.isnan(result.scores).tolist() == failed
    assert [error is not None for error in result.errors] == np.ravel(failed).tolist()
    assert result.errors[1].startswith("text 1 is empty")
    assert result.errors[3].startswith("image 1 ")


def test_each_repetition_of_a_bad_item_is_named_by_its_own_position(tiny_clip: Path) -> None:
    result = DescriptionScore(tiny_clip, on_error="record", long_text="error")(
        ["gone.jpg", "gone.jpg", *[Image.new("RGB", (40, 40))] * 4],
        ["a", "b", "", "", "long " * 99, "long " * 99],
    )
    positions = [" ".join(error.split()[:2]) for error in result.errors]
    assert positions == ["image 0", "image 1", "text 2", "text 3", "text 4", "text 5"]


def test_the_first_bad_item_is_the_one_that_is_raised(
    tiny_clip: Path, good: list[Image.Image]
) -> None:
    metric = DescriptionScore(tiny_clip, num_workers=4)
    with pytest.raises(ImageError, match=r"^image 1 "):
        metric([good[0], "gone.jpg", b"", "gone too.jpg"], ["a", "b", "c", "d"])
    with pytest.raises(TextError, match=r"^text 1 "):
        metric(good, ["a", "", None])


def test_when_all_fail_each_says_why(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, on_error="record")
    result = metric(["gone.jpg", b""], ["", None])
    assert np.isnan(result.scores).all()
    assert np.isnan(result.mean)
    assert result.failed == 2
    assert "2 failed" in repr(result)


def test_a_metric_goes_on_working_after_an_error(
    tiny_clip: Path, tmp_path: Path, good: list[Image.Image]
) -> None:
    metric = DescriptionScore(tiny_clip)
    path = tmp_path / "late.png"
    with pytest.raises(ImageNotFoundError):
        metric([good[0], path], ["a", "b"])
    good[1].save(path)
    assert not np.isnan(metric([good[0], path], ["a", "b"]).scores).any()


@pytest.mark.parametrize("on_error", ["raise", "record"])
@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        (["a.jpg"], ["x", "y"], "1 images and 2 texts"),
        ([], [], "images is empty"),
        (["a.jpg"], [], "texts is empty"),
        ("a.jpg", [], "texts is empty"),
        (["a.jpg"], [[]], "nothing to score"),
        (["a.jpg", "b.jpg"], ["x", ["y"]], "mixes strings and lists"),
    ],
)
def test_inputs_that_cannot_be_paired_are_refused_in_any_case(
    tiny_clip: Path, on_error: str, images: list, texts: list, message: str
) -> None:
    with pytest.raises(PairingError, match=message):
        DescriptionScore(tiny_clip, on_error=on_error)(images, texts)


def test_all_errors_of_input_are_caught_by_their_root_and_by_value_error(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    for root in (DescscoreError, ValueError):
        for images, texts in [(["gone.jpg"], ["a"]), ([b""], ["a"]), ([b"x"], [""]), ([], [])]:
            with pytest.raises(root):
                metric(images, texts)
    with pytest.raises(FileNotFoundError):
        metric(["gone.jpg"], ["a"])
