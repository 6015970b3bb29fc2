"""Preference, relevance and transfer against values worked out by hand."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from descscore.datasets.concadia import read_concadia
from descscore.datasets.labelled_images import class_folders
from descscore.errors import PairingError, TableError
from descscore.evaluate.preference import preference_share, relevance_share
from descscore.evaluate.transfer import classify


def test_preference_counts_a_tie_as_not_higher():
    descriptions = np.array([0.9, 0.5, 0.2, 0.7], dtype=np.float32)
    captions = np.array([0.1, 0.5, 0.3, 0.6], dtype=np.float32)
    result = preference_share(descriptions, captions)
    assert (result.n, result.value, result.ties) == (4, 0.5, 1)


def test_preference_has_wilsons_interval():
    # Wilson (1927) for 8 of 10: the roots of (p - 0.8)^2 = z^2 p (1 - p) / 10.
    z = 1.959963984540054
    a, b, c = 1 + z**2 / 10, -(1.6 + z**2 / 10), 0.64
    roots = np.roots([a, b, c])
    result = preference_share(np.arange(10.0) + np.repeat([1.0, -1.0], [8, 2]), np.arange(10.0))
    assert [result.low, result.high] == pytest.approx(sorted(roots))


def test_relevance_is_the_share_of_other_texts_that_score_lower():
    scores = np.array([[3.0, 1.0, 2.0], [5.0, 4.0, 4.0], [0.0, 1.0, 2.0]])
    # Image 0 beats both others, image 1 none (one ties), image 2 both.
    result = relevance_share(scores)
    assert result.value == pytest.approx((1 + 0 + 1) / 3)
    assert (result.n, result.ties) == (3, 1)
    assert 0 <= result.low <= result.value <= result.high <= 1


def test_relevance_of_noise_is_near_chance_with_an_interval_that_says_so():
    scores = np.random.default_rng(1).normal(size=(200, 200))
    result = relevance_share(scores)
    assert result.low < 0.5 < result.high
    # The share of one image is uniform: standard error of the mean of 200 is 1 / sqrt(12 * 200).
    assert result.high - result.low == pytest.approx(2 * 1.96 / np.sqrt(12 * 200), rel=0.15)


def test_transfer_equals_the_confusion_matrix_worked_out_by_hand():
    # Truth 0 0 0 1 1 2, found 0 0 1 1 1 1: class 2 is never found.
    labels = np.array([0, 0, 0, 1, 1, 2])
    scores = np.eye(3)[[0, 0, 1, 1, 1, 1]]
    result = classify(scores, labels)
    f1_of_0 = 2 * 1 * (2 / 3) / (1 + 2 / 3)
    f1_of_1 = 2 * 0.5 * 1 / (0.5 + 1)
    assert result.macro_f1 == pytest.approx((f1_of_0 + f1_of_1 + 0) / 3)
    assert result.accuracy == pytest.approx(4 / 6)
    assert result.recall == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert (result.n, result.classes) == (6, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preference_share(np.zeros(3), np.zeros(2)), "one of each"),
        (lambda: preference_share(np.zeros(0), np.zeros(0)), "there are no values"),
        (lambda: preference_share(np.array([0.1, np.nan]), np.zeros(2)), "value 1 is nan"),
        (lambda: relevance_share(np.zeros((2, 3))), "square matrix"),
        (lambda: relevance_share(np.zeros((1, 1))), "two images or more"),
        (lambda: relevance_share(np.array([[0.0, np.nan], [0.0, 0.0]])), "value 1 is nan"),
        (lambda: classify(np.zeros((2, 3)), np.zeros(3, dtype=int)), "do not fit"),
        (lambda: classify(np.full((2, 3), np.nan), np.zeros(2, dtype=int)), "NaN"),
    ],
)
def test_scores_that_do_not_fit_are_refused(call, message: str):
    with pytest.raises(PairingError, match=message):
        call()


def test_class_folders_are_the_same_in_a_folder_and_in_a_zip_file(tmp_path: Path):
    names = ["test/cat/1.png", "test/dog/0.png", "test/cat/0.png", "train/cat/0.png", "readme.txt"]
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in names:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
            archive.write(path, name)
    for source in (tmp_path / "images", tmp_path / "images.zip"):
        found = class_folders(source, "test")
        assert found.names == ["test/cat/0.png", "test/cat/1.png", "test/dog/0.png"]
        assert found.labels == ["cat", "cat", "dog"]
        assert list(found.read()) == [name.encode() for name in found.names]


def test_class_folders_of_a_zip_file_may_begin_with_a_dot(tmp_path: Path):
    names = ["./test/cat/0.png", "test//dog/0.png"]
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in names:
            archive.writestr(name, name)
    found = class_folders(tmp_path / "images.zip", "test")
    assert (found.names, found.labels) == (["test/cat/0.png", "test/dog/0.png"], ["cat", "dog"])
    assert list(found.read()) == [name.encode() for name in names]


@pytest.mark.parametrize(
    ("under", "message"), [("val", "no images in val/CLASS/"), ("", "no images in CLASS/")]
)
def test_class_folders_without_images_are_refused(tmp_path: Path, under: str, message: str):
    (tmp_path / "test" / "cat").mkdir(parents=True)
    (tmp_path / ".git" / "refs").mkdir(parents=True)
    for other in ("test/cat/0.png", ".git/refs/a", "notes.txt"):
        (tmp_path / other).touch()
    with pytest.raises(TableError, match=rf"{message}.*: there are files in test/CLASS/$"):
        class_folders(tmp_path, under)


def test_files_in_no_class_folder_are_not_said_to_be_in_one(tmp_path: Path):
    (tmp_path / "0.png").touch()
    (tmp_path / ".cache" / "cat").mkdir(parents=True)
    (tmp_path / ".cache" / "cat" / "0.png").touch()
    with pytest.raises(TableError, match=r"check `under` \(''\)$"):
        class_folders(tmp_path)


def test_class_folders_take_no_other_file(tmp_path: Path):
    (tmp_path / "images.tar").write_bytes(b"no zip")
    with pytest.raises(TableError, match="neither a folder nor a whole zip file"):
        class_folders(tmp_path / "images.tar")


def test_concadia_is_read_in_its_official_layout(tmp_path: Path):
    entry = {
        "filename": "7.jpg",
        "description": {"raw": "A boat.", "tokens": ["A", "boat", "."]},
        "caption": {"raw": "Regatta, 1912", "tokens": []},
        "split": "val",
    }
    (tmp_path / "wiki_split.json").write_text(json.dumps({"images": [entry]}))
    [example] = read_concadia(tmp_path)
    assert example.image == tmp_path / "resized" / "7.jpg"
    assert (example.description, example.caption, example.split) == (
        "A boat.",
        "Regatta, 1912",
        "val",
    )


def of_text(description: str) -> str:
    """Concadia's file with one image."""
    return (
        f'{{"images": [{{"filename": "7.jpg", "description": {description}, '
        '"caption": {"raw": "Regatta"}, "split": "val"}]}'
    )


@pytest.mark.parametrize("raw", ["null", '" "', "7"])
def test_an_image_of_concadia_without_a_text_says_which(tmp_path: Path, raw: str):
    (tmp_path / "wiki_split.json").write_text(of_text(f'{{"raw": {raw}}}'))
    [example] = read_concadia(tmp_path)
    assert (example.description.strip(), example.lacking) == ("", "description")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ('{"images": [{}]}', r"not laid out as Concadia's: image 1 .*KeyError.*: repair"),
        ("[]", "not laid out as Concadia's: images cannot be read"),
        ('{"images": 7}', "images cannot be read"),
        ('{"images": ["7.jpg"]}', "image 1 cannot be read .*needs filename, split"),
        (
            '{"images": [{"filename": "7.jpg", "split": null, "description": {"raw": "a"}, '
            '"caption": {"raw": "b"}}]}',
            "image 1 cannot be read .*split is None",
        ),
        (of_text("null"), "image 1 cannot be read"),
        (of_text('"A boat."'), "image 1 cannot be read"),
        (of_text("{}"), "image 1 cannot be read .*'raw'"),
    ],
)
def test_a_broken_concadia_is_refused(tmp_path: Path, content: str | None, message: str):
    if content is not None:
        (tmp_path / "wiki_split.json").write_text(content)
    with pytest.raises(TableError, match=message):
        read_concadia(tmp_path)
