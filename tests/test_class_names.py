"""Class names and templates: what ships, what files say, and what is wrong with them."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from descscore.errors import OptionError, TableError
from descscore.evaluate.class_names import (
    SHIPPED_CLASS_NAMES,
    places_of,
    prompt,
    read_class_names,
    read_templates,
)


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("cifar100", 100, "apple", "worm"),
        ("food101", 101, "apple pie", "waffles"),
        ("imagenet", 1000, "tench", "toilet tissue"),
    ],
)
def test_shipped_class_names_are_complete_and_all_different(
    name: str, count: int, first: str, last: str
):
    found = read_class_names(name)
    assert name in SHIPPED_CLASS_NAMES
    assert (len(found.names), found.names[0], found.names[-1]) == (count, first, last)
    # CLIP's tokeniser reads no capitals.
    assert len({label.casefold() for label in found.names}) == count
    assert not any("_" in label for label in found.names)


def test_imagenets_names_are_those_of_the_sample_but_where_two_classes_share_one(
    shared_data: Path,
):
    with (shared_data / "imagenet-sample" / "labels.csv").open(encoding="utf-8") as file:
        labels = {row["wnid"]: row["label"] for row in csv.DictReader(file)}
    found = read_class_names("imagenet")
    named = {wnid: found.names[place] for wnid, place in found.keys.items()}
    assert named.keys() == labels.keys()
    assert {named[wnid] for wnid in named if named[wnid] != labels[wnid]} == {
        "crane bird",
        "construction crane",
        "tank suit",
        "Cardigan Welsh corgi",
    }


def test_classes_are_found_by_folder_by_name_and_by_key(tmp_path: Path):
    path = tmp_path / "names.txt"
    path.write_text("# a comment\nn01\tgreat white shark\n\nsea_lion\ncrab|cra\tcrab\n")
    found = read_class_names(path)
    assert list(found.names) == ["great white shark", "sea lion", "crab"]
    classes = ["n01", "sea_lion", "Great_white_shark", "cra"]
    assert list(places_of(classes, found).values()) == [0, 1, 0, 2]
    assert places_of(["2", "0"], found, by_position=True) == {"2": 2, "0": 0}
    assert places_of(["x", "y", "z"], found, by_position=True) == {"x": 0, "y": 1, "z": 2}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", TableError, "names no class"),
        ("crane\nCrane\n", OptionError, "line 1 and line 2 .* both name a class 'Crane'"),
        ("a\tone\na\ttwo\n", OptionError, "two classes with the key 'a'"),
        ("a\tb\tc\n", TableError, "line 1 of"),
    ],
)
def test_a_wrong_class_name_file_is_refused(
    tmp_path: Path, content: str, error: type[Exception], message: str
):
    (tmp_path / "names.txt").write_text(content)
    with pytest.raises(error, match=message):
        read_class_names(tmp_path / "names.txt")


def test_classes_that_the_file_lacks_are_refused():
    found = read_class_names("cifar100")
    with pytest.raises(OptionError, match=r"2 of 3 classes are not in cifar100.*: 'x', 'y'"):
        places_of(["apple", "x", "y"], found)
    with pytest.raises(OptionError, match=r"3 classes, .* do not fit .* cifar100 names 100"):
        places_of(["x", "y", "z"], found, by_position=True)
    with pytest.raises(OptionError, match="the last of them '100', do not fit"):
        places_of(["9", "100"], found, by_position=True)
    with pytest.raises(TableError, match="name one of cifar100, food101, imagenet"):
        read_class_names("cifar1000")


@pytest.mark.parametrize(
    ("content", "dataset"),
    [
        ('["a {c}", "{label} of old"]', None),
        ('{"birds": ["a {c}", "{label} of old"]}', None),
        ('{"birds": ["a {c}", "{label} of old"]}', "cifar100"),
        ('{"other": ["x {c}"], "default": ["a {c}", "{label} of old"]}', None),
        ('{"default": ["x {c}"],\n"cifar100": ["a {c}", "{label} of old"]}\n', "cifar100"),
        ("a {c}\n\n{label} of old", None),
    ],
)
def test_templates_are_lines_or_clip_benchmarks_json(
    tmp_path: Path, content: str, dataset: str | None
):
    (tmp_path / "templates.txt").write_text(content)
    found = read_templates(tmp_path / "templates.txt", dataset)
    assert found == ("a {c}", "{label} of old")


def test_names_are_compared_in_one_unicode_form(tmp_path: Path):
    path = tmp_path / "names.txt"
    path.write_text("caf\u00e9\tcoffee bar\npi\u00f1a\n")
    found = read_class_names(path)
    assert list(places_of(["cafe\u0301", "pin\u0303a"], found).values()) == [0, 1]
    path.write_text("caf\u00e9\ncafe\u0301\n")
    with pytest.raises(OptionError, match=r"line 1 and line 2 .* both name"):
        read_class_names(path)


@pytest.mark.parametrize(
    ("label", "near"),
    [
        ("42.0", "'42' differs from '42.0' by a decimal point"),
        ("sea%20lion", "'sea lion' differs from 'sea%20lion' in escapes"),
        ("N01", "'n01' differs from 'N01' in case"),
    ],
)
def test_the_error_says_which_name_is_close(tmp_path: Path, label: str, near: str):
    path = tmp_path / "names.txt"
    path.write_text("n01\tshark\n42\ttruck\nsea lion\n")
    with pytest.raises(OptionError, match=re.escape(near)):
        places_of([label], read_class_names(path))


def test_templates_take_both_placeholders(tmp_path: Path):
    path = tmp_path / "templates.txt"
    path.write_text("a photo of a {c}.\n\nAn image of {label}\n")
    templates = read_templates(path)
    assert [prompt(t, r"back\slash {c}") for t in templates] == [
        r"a photo of a back\slash {c}.",
        r"An image of back\slash {c}",
    ]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{c}\nA photo\n", OptionError, r"line 2 of .*'A photo'.* has no placeholder"),
        ("A {name} photo of {c}\n", OptionError, r"unknown placeholder \{name\}"),
        ("\n", TableError, "has no template"),
        (None, TableError, "cannot be read"),
        ("templates = [\n'a photo of a {c}.',\n]\n", TableError, "line 1 of .* is source code"),
        ("'a photo of a {c}.',\n", TableError, "line 1 of .* is source code"),
        ("lambda c: f'a photo of a {c}.',\n", TableError, "line 1 of .* is source code"),
        ('{"birds": ["a {c}"],\n', TableError, "line 1 of .* is source code or JSON"),
        ('{"a": ["a {c}"], "b": ["b {c}"]}', OptionError, "has prompts for 'a', 'b'; keep"),
        ('{"a": {"cat": ["a furry cat"]}}', TableError, "prompts that differ by class"),
        ('["a photo"]', OptionError, "prompt 1 of .* has no placeholder"),
        ("42", TableError, "is JSON, but neither a list of prompts"),
    ],
)
def test_wrong_templates_are_refused(
    tmp_path: Path, content: str | None, error: type[Exception], message: str
):
    if content is not None:
        (tmp_path / "templates.txt").write_text(content)
    with pytest.raises(error, match=message):
        read_templates(tmp_path / "templates.txt")
