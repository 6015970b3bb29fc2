"""Pixels and token ids are those of transformers' own image processor and tokeniser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image, ImageOps
from transformers import CLIPImageProcessorPil, CLIPTokenizer

from descscore.checkpoints.preprocessing import load_image_transform, load_text_transform
from descscore.errors import CheckpointError, ImageError
from descscore.inputs.decode import decode
from descscore.inputs.transform import split_sentences
from tests.conftest import ROOT

CLIP = "CLIPImageProcessor"
LONG = "The old lighthouse stands on a rocky cliff above the grey and stormy sea . " * 10


# Pixels


def noise(size: tuple[int, int]) -> Image.Image:
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def assert_same_pixels(image: Image.Image, folder: Path, rgb: Image.Image | None = None) -> None:
    """The crop to the bit, and the values that the model gets to 1e-6."""
    kind = json.loads((folder / "preprocessor_config.json").read_text())["image_processor_type"]
    processor = getattr(transformers, kind.removesuffix("Fast") + "Pil").from_pretrained(folder)
    transform = load_image_transform(folder, processor=CLIP)
    pixels = transform.crop_pixels(decode(image))
    rgb = rgb or image.convert("RGB")
    # Without rescaling and normalisation the processor returns the crop itself.
    crop = processor(rgb, do_rescale=False, do_normalize=False, return_tensors="np")
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), crop["pixel_values"][0])
    values = transform.normalise(torch.from_numpy(pixels.copy())[None])
    expected = processor(rgb, return_tensors="pt")["pixel_values"]
    assert values.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)


def test_pixels_of_original_photos_equal_transformers(shared_data: Path) -> None:
    paths = sorted((shared_data / "photos-original").iterdir())
    modes = set()
    for path in paths:
        with Image.open(path) as image:
            modes.add(image.mode)
            upright = ImageOps.exif_transpose(image)
            assert_same_pixels(image, shared_data / "clip-vit-base-patch32", upright.convert("RGB"))
    assert len(paths) == 64
    assert modes == {"RGB", "L"}


@pytest.mark.parametrize("photo", sorted((ROOT / "examples" / "photos").glob("*.jpg")), ids=str)
def test_pixels_of_sample_photos_equal_transformers(photo: Path, tiny_clip: Path) -> None:
    with Image.open(photo) as image:
        assert_same_pixels(image, tiny_clip)


@pytest.mark.parametrize(
    "size", [(1, 1), (5, 3), (32, 32), (33, 32), (31, 999), (999, 37), (224, 1)]
)
def test_pixels_of_odd_sizes_equal_transformers(size: tuple[int, int], tiny_clip: Path) -> None:
    assert_same_pixels(noise(size), tiny_clip)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 40, "width": 50}},
        {"size": {"height": 32, "width": 32}, "do_center_crop": False},
        {"size": {"shortest_edge": 20}},
        {"do_resize": False},
        {"resample": Image.Resampling.BILINEAR},
        {"do_normalize": False},
        {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]},
    ],
    ids=str,
)
def test_pixels_under_other_settings_equal_transformers(settings: dict, tmp_path: Path) -> None:
    default = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessorPil(**default | settings).save_pretrained(tmp_path)
    for size in [(71, 45), (45, 71), (25, 27)]:
        assert_same_pixels(noise(size), tmp_path)


def with_settings(folder: Path, **changes: object) -> Path:
    """A folder whose image processor has some settings changed in its file."""
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 32},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48, 0.46, 0.41],
        "image_std": [0.27, 0.26, 0.28],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | changes))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"size": {"shortest_edge": 32, "longest_edge": 40}},
        {"size": {"shortest_edge": 32, "longest_edge": 32}},
        {"size": {"shortest_edge": 20, "longest_edge": 333}},
        {"image_mean": 0.5, "image_std": 0.5},
        {"size": 32, "crop_size": 32},
        {"do_resize": None, "do_normalize": None},
        {"image_processor_type": "CLIPImageProcessorFast"},
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 40}},
    ],
    ids=str,
)
def test_pixels_under_rarer_settings_equal_transformers(changes: dict, tmp_path: Path) -> None:
    with_settings(tmp_path, **changes)
    for size in [(71, 45), (45, 71), (160, 40), (33, 32), (25, 27), (60, 48)]:
        assert_same_pixels(noise(size), tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("do_rescale", False),
        ("do_rescale", None),
        ("rescale_factor", 1 / 127.5),
        ("rescale_factor", None),
        ("rescale_factor", "a"),
        ("do_center_crop", False),
        ("do_center_crop", "no"),
        ("do_resize", "false"),
        ("resample", "bicubic"),
        ("resample", None),
        ("resample", 99),
        ("size", {"shortest_edge": 0}),
        ("size", {"shortest_edge": 32.5}),
        ("size", -3),
        ("size", {"height": 0, "width": 32}),
        ("size", {"longest_edge": 32}),
        ("size", None),
        ("size", {"shortest_edge": 10**9}),
        ("size", {"shortest_edge": 10**4}),
        ("size", {"max_height": 32, "max_width": 64}),
        ("crop_size", 0),
        ("crop_size", None),
        ("crop_size", 10**9),
        ("image_mean", None),
        ("image_mean", [0.5]),
        ("image_mean", ["a", 1, 2]),
        ("image_mean", float("nan")),
        ("image_mean", float("inf")),
        ("image_std", float("inf")),
        ("image_std", 1e30),
        ("image_std", ["0.5"] * 3),
        ("image_std", [0, 0, 0]),
        ("image_std", 10**400),
        ("pad_size", {"height": 40, "width": 40}),
        ("image_processor_type", "NoImageProcessor"),
        ("image_processor_type", 7),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_named(key: str, value: object, tmp_path: Path) -> None:
    with_settings(tmp_path, **{key: value}, **({"do_pad": True} if key == "pad_size" else {}))
    with pytest.raises(CheckpointError) as caught:
        load_image_transform(tmp_path, processor=CLIP)
    message = str(caught.value)
    assert f"preprocessor_config.json has {key} {value!r}"[:80] in message
    assert message.endswith("correct it")
    assert len(message) < 700


@pytest.mark.parametrize("size", ["32", {"a": 1}])
def test_a_size_that_transformers_cannot_read_is_refused(size: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        load_image_transform(with_settings(tmp_path, size=size), processor=CLIP)


def test_settings_inside_a_processors_file_come_first(tmp_path: Path) -> None:
    with_settings(tmp_path)
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    settings["image_mean"] = 0.5
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert load_image_transform(tmp_path, processor=CLIP).mean == (0.5, 0.5, 0.5)
    assert_same_pixels(noise((71, 45)), tmp_path)
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": None}))
    assert load_image_transform(tmp_path, processor=CLIP).mean == (0.48, 0.46, 0.41)


def test_a_picture_too_elongated_to_resize_is_refused(tiny_clip: Path) -> None:
    strip = Image.new("RGB", (1, 100_000))
    with pytest.raises(ImageError, match=r"1 x 100000 pixels is too elongated.*crop it"):
        load_image_transform(tiny_clip, processor=CLIP).crop_pixels(strip)


# Token ids


@pytest.fixture(scope="module")
def openai(shared_data: Path) -> Path:
    return shared_data / "clip-vit-base-patch32"


TEXTS = [
    "A photo of a cat",
    "a PHOTO  of\ta\n cat ",
    "it's 2024: the dog's 3 bones & 100% <b>fun</b> #1!!!",
    "café, naïve, Gödel; 東京タワー; Привет, мир; ελληνικά; हिन्दी",
    "🐶🎉 family: 👩‍👩‍👧‍👦",
    "e\u0301 and \u00e9",
    "\u200bzero width\ufeff",
    "supercalifragilisticexpialidocious" * 3,
    ".",
    "<|startoftext|> in the text",
    LONG,
    "ab " * 5000,
]


def test_token_ids_equal_transformers(openai: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(openai)
    transform = load_text_transform(openai, window=77)
    for text, tokens in zip(TEXTS, transform(TEXTS), strict=True):
        plain = {"split_special_tokens": True, "verbose": False}
        expected = tokenizer(text, truncation=True, max_length=77, **plain)["input_ids"]
        assert tokens.ids == expected
        assert tokens.length == len(tokenizer(text, **plain)["input_ids"])
        assert tokens.truncated == (tokens.length > 77)


def test_token_ids_of_real_texts_equal_transformers(shared_data: Path, openai: Path) -> None:
    table = pd.read_csv(shared_data / "concadia-test-texts.csv.gz", keep_default_na=False)
    texts = [*table.description[:1500], *table.caption[:1500]]
    tokenizer = CLIPTokenizer.from_pretrained(openai)
    expected = tokenizer(texts, truncation=True, max_length=77)["input_ids"]
    tokens = load_text_transform(openai, window=77)(texts)
    assert [one.ids for one in tokens] == expected
    assert sum(one.truncated for one in tokens) > 10


def test_a_long_text_keeps_its_start_and_end_token(openai: Path) -> None:
    (tokens,) = load_text_transform(openai, window=77)([LONG])
    assert len(tokens.ids) == 77
    assert (tokens.ids[0], tokens.ids[-1]) == (49406, 49407)
    assert 49407 not in tokens.ids[:-1]
    assert tokens.truncated


@pytest.mark.parametrize(("words", "truncated"), [(75, False), (76, True)])
def test_the_window_holds_75_tokens_between_start_and_end(
    words: int, truncated: bool, openai: Path
) -> None:
    (tokens,) = load_text_transform(openai, window=77)(["dog " * words])
    assert tokens.length == words + 2
    assert tokens.truncated == truncated


def test_no_texts_give_no_tokens(openai: Path) -> None:
    assert load_text_transform(openai, window=77)([]) == []


# Sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One sentence only", ["One sentence only"]),
        ("A dog runs. A cat sleeps! Why? Nobody knows.", 4),
        ('She said "stop." Then she left.', ['She said "stop."', "Then she left."]),
        ("It costs 3.50 euros, i.e. little.", ["It costs 3.50 euros, i.e. little."]),
        ("A list\n- first\r\n- second", ["A list", "- first", "- second"]),
        ("Wait… What?", ["Wait…", "What?"]),
        ("犬が走る。猫が眠る。", ["犬が走る。", "猫が眠る。"]),
        ("Opened in 1890. 20 years later it closed.", 2),
        ("  \n A dog.  \n\n ", ["A dog."]),
    ],
)
def test_sentences_end_at_marks_and_line_ends(text: str, sentences: list[str] | int) -> None:
    found = split_sentences(text)
    assert (len(found) if isinstance(sentences, int) else found) == sentences


def test_splitting_into_sentences_loses_no_word() -> None:
    text = 'He asked: "Who?" (Nobody.) Dr. Brown left at 5 p.m. The end... or not? Yes!\nBye.'
    assert " ".join(split_sentences(text)).split() == text.split()


def test_splitting_a_long_text_takes_time_in_proportion() -> None:
    # Patterns that look ahead of white space can take quadratic time on it.
    split_sentences("a. b" + " " * 100_000 + "c")
    split_sentences("." * 100_000)
