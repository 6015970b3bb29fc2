"""What is paired with what, and which inputs are the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from descscore.errors import PairingError
from descscore.inputs.items import LONGEST_TEXT
from descscore.inputs.pairs import pair_up


def paired(images: object, texts: object, **options: object) -> list[tuple[object, str]]:
    """Each pair as the image and the text that it is made of."""
    pairs = pair_up(images, texts, **options)
    rows = zip(pairs.image_of, pairs.text_of, strict=True)
    return [(pairs.images[image], pairs.texts[text]) for image, text in rows]


def test_equal_lists_are_paired_one_by_one() -> None:
    assert paired(["a", "b"], ["x", "y"]) == [("a", "x"), ("b", "y")]


def test_one_image_goes_with_each_of_its_texts() -> None:
    assert paired("a", ["x", "y"]) == [("a", "x"), ("a", "y")]
    assert paired("a", "x") == [("a", "x")]


def test_one_text_goes_with_each_image() -> None:
    assert paired(["a", "b"], "x") == [("a", "x"), ("b", "x")]


def test_lists_of_texts_go_with_their_images() -> None:
    expected = [("a", "x"), ("a", "y"), ("c", "z")]
    assert paired(["a", "b", "c"], [["x", "y"], [], ["z"]]) == expected
    assert paired(["a", "b", "c"], [("x", "y"), (), np.array(["z"])]) == expected
    assert paired("a", [["x", "y"]]) == [("a", "x"), ("a", "y")]


def test_pairwise_pairs_all_with_all_row_by_row() -> None:
    expected = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert paired(["a", "b"], ["x", "y"], pairwise=True) == expected
    assert pair_up(["a", "b"], ["x", "y", "z"], pairwise=True).shape == (2, 3)
    assert pair_up("a", "x", pairwise=True).shape == (1, 1)


def test_positions_lead_back_to_the_input() -> None:
    ragged = pair_up(["a", "b", "c"], [["x", "y"], [], ["x"]])
    assert ragged.image_index.tolist() == [0, 0, 2]
    assert ragged.text_index.tolist() == [0, 1, 2]
    pairwise = pair_up(["a", "b"], ["x", "y"], pairwise=True)
    assert pairwise.image_index.tolist() == [0, 0, 1, 1]
    assert pairwise.text_index.tolist() == [0, 1, 0, 1]


def test_any_iterable_of_images_and_texts_will_do() -> None:
    expected = [("a", "x"), ("b", "y")]
    assert paired(iter(["a", "b"]), (text for text in "xy")) == expected
    assert paired(np.array(["a", "b"]), np.array(["x", "y"])) == expected


@pytest.mark.parametrize(
    "image", [io.BytesIO(b"x"), memoryview(b"x"), {"bytes": b"x", "path": None}, {"path": "a"}]
)
def test_an_open_file_or_a_record_is_one_image(image: object) -> None:
    pairs = pair_up(image, ["a", "b"])
    assert pairs.images == [image]
    assert pairs.shape == (2,)
    assert pair_up([image, image], "a").images == [image]


@pytest.mark.parametrize("texts", [b"a cup", bytearray(b"a cup"), io.BytesIO(b"a cup")])
def test_bytes_and_open_files_are_no_texts(texts: object) -> None:
    with pytest.raises(PairingError, match=f"texts is a {type(texts).__name__}; give a string"):
        pair_up("a.png", texts)


def test_an_array_or_tensor_of_four_dimensions_is_a_list_of_images() -> None:
    for batch in (np.zeros((2, 4, 5, 3), np.uint8), torch.zeros(2, 3, 4, 5)):
        assert len(pair_up(batch, ["x", "y"]).images) == 2
        assert len(pair_up(batch[0], ["x", "y"]).images) == 1


def test_repeated_images_and_texts_are_kept_once() -> None:
    image = Image.new("RGB", (2, 2))
    pairs = pair_up(["a", Path("a"), image, image, b"a", "a"], ["x", "x", "y", "x", "y", "y"])
    assert pairs.images == ["a", image, b"a"]
    assert pairs.texts == ["x", "y"]
    assert pairs.image_of.tolist() == [0, 0, 1, 1, 2, 0]
    assert pairs.text_of.tolist() == [0, 0, 1, 0, 1, 1]
    assert pairs.image_places == [("image", 0), ("image", 2), ("image", 4)]


def test_temporary_images_are_not_mistaken_for_one_another() -> None:
    # Objects made one after the other can get one id once the former is gone.
    pairs = pair_up((np.full((2, 2, 3), i, np.uint8) for i in range(50)), ["x"] * 50)
    assert [int(image[0, 0, 0]) for image in pairs.images] == list(range(50))


def test_references_belong_to_their_images() -> None:
    pairs = pair_up(["a", "b"], [["x"], ["y", "z"]], [["x", "q"], "r"])
    assert [[pairs.texts[row] for row in rows] for rows in pairs.references_of] == [
        ["x", "q"],
        ["r"],
        ["r"],
    ]
    of_one = pair_up("a", ["x", "y"], ["q", "r"])
    assert [[of_one.texts[row] for row in rows] for rows in of_one.references_of] == [
        ["q", "r"]
    ] * 2


def refused(message: str, *inputs: object, **options: object) -> None:
    with pytest.raises(PairingError, match=message):
        pair_up(*inputs, **options)


def test_unequal_numbers_are_refused() -> None:
    refused(r"2 images and 3 texts; .*pairwise=True", ["a", "b"], ["x", "y", "z"])
    refused(r"1 images and 2 texts", ["a"], ["x", "y"])
    refused(r"2 images and 1 texts", ["a", "b"], [["x"]])


def test_nothing_to_score_is_refused() -> None:
    refused("images is empty; there is nothing to score", [], ["x"])
    refused("images is empty", [], [])
    refused("texts is empty; there is nothing to score", ["a"], [])
    refused("texts is empty", "a", [])
    refused("every image has an empty list of texts", ["a", "b"], [[], []])
    refused("images is empty", [], "x", pairwise=True)


def test_what_has_no_order_or_is_no_list_is_refused() -> None:
    refused("images is a set, which has no order", {"a", "b"}, ["x", "y"])
    refused("texts is a dict, which has no order", ["a"], {"a": "x"})
    refused("texts is None", ["a"], None)
    refused("images is 7", 7, ["x"])


def test_mixed_nesting_is_refused_with_the_odd_item() -> None:
    refused(r"item 0 is 'x', item 1 is \['y'\]", ["a", "b"], ["x", ["y"]])
    refused("pairwise scoring takes a flat list", ["a"], [["x"]], pairwise=True)


def test_references_that_do_not_fit_are_refused() -> None:
    refused("2 images and references for 1", ["a", "b"], ["x", "y"], ["q"])
    refused("references is one string", ["a"], ["x"], "q")
    refused("image 1 has an empty list of references", ["a", "b"], ["x", "y"], ["q", []])
    refused("references is empty", ["a"], ["x"], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty ('')"),
        (" \n\t ", "is empty"),
        (None, "is None, not a string"),
        (7, "is 7, not a string"),
        (float("nan"), "is nan, not a string"),
        (b"x", "is b'x', not a string"),
        ("x" * (LONGEST_TEXT + 1), "has 100,001 characters; the limit is 100,000"),
        ("a\ud800b", "is not valid Unicode at character 1"),
    ],
    ids=["empty", "white", "None", "int", "nan", "bytes", "huge", "surrogate"],
)
def test_a_text_that_cannot_be_scored_is_noted_and_others_are_kept(
    text: object, message: str
) -> None:
    pairs = pair_up(["a", "b", "c"], ["x", text, text])
    assert sorted(pairs.text_errors) == [1, 2]
    assert all(message in str(error) for error in pairs.text_errors.values())
    assert pairs.text_places == [("text", 0), ("text", 1), ("text", 2)]
    assert len(str(pairs.text_errors[1])) < 300
