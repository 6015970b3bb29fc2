"""Which rows fine-tuning is given, and which are counted and skipped."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
import pytest
from PIL import Image

from descscore.errors import RecipeError
from descscore_training.config import build_recipe
from descscore_training.finetune_recipe import Anchors, StandInSource
from descscore_training.pairs.pixels import image_inputs
from descscore_training.pairs.sources import (
    PairData,
    Pairs,
    PairSource,
    load_anchors,
    load_pairs,
    load_stand_ins,
)

COLUMNS = ("image", "description", "caption", "split")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the images 0.png to 9.png."""
    for i in range(10):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{i}.png")
    return tmp_path


def write(path: Path, rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> None:
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)


def good(i: int, split: str = "train") -> tuple[str, str, str, str]:
    return (f"{i}.png", f"description {i}", f"caption {i}", split)


def source(**settings: object) -> PairSource:
    return build_recipe(PairSource, {"name": "made", "path": "made.csv", "batch": 2} | settings)


def names(pairs: Pairs) -> list[str | None]:
    return [None if image is None else image.name for image in pairs.images]


def test_split_column_says_what_is_trained_and_what_validated_on(data: Path):
    splits = ["train", "val", "test", "Validation", "dev", " TRAIN ", "other"]
    write(data / "made.csv", [good(i, split) for i, split in enumerate(splits)])
    loaded = load_pairs([source()], data)
    [training], [validation] = loaded.training, loaded.validation
    assert names(training) == ["0.png", "5.png"]
    assert names(validation) == ["1.png", "3.png", "4.png"]
    assert training.images[1] == data / "5.png"
    assert training.descriptions == ["description 0", "description 5"]
    assert validation.captions == ["caption 1", "caption 3", "caption 4"]
    assert (training.name, training.batch, training.image_free) == ("made", 2, None)
    assert loaded.left_out == {"made": {"other split": 2}}


def test_rows_that_cannot_be_used_are_counted_and_left_out(data: Path):
    (data / "folder.png").mkdir()
    write(
        data / "made.csv",
        [
            good(0),
            good(1, "val"),
            ("absent.png", "a", "b", "train"),
            ("folder.png", "a", "b", "train"),
            ("", "a", "b", "train"),
            ("2.png", " ", "b", "train"),
            ("3.png", "a", "", "val"),
            ("4.png", "A Straße ", " a STRASSE", "train"),
            ("5.png", "a", "b", "test"),
        ],
    )
    loaded = load_pairs([source()], data)
    assert [names(pairs) for pairs in loaded.training + loaded.validation] == [["0.png"], ["1.png"]]
    assert loaded.left_out["made"] == {
        "image missing": 3,
        "empty text": 2,
        "description equals caption": 1,
        "other split": 1,
    }


def test_the_report_has_a_line_for_each_source(data: Path):
    write(data / "made.csv", [good(0), good(1, "val"), ("2.png", "a", "a", "train")])
    write(data / "texts.csv", [(f"d{i}", f"c{i}") for i in range(1200)], COLUMNS[1:3])
    texts = source(name="texts", path="texts.csv", image_free="random")
    assert load_pairs([source(), texts], data).report() == (
        "made: 1 pairs to train on, 1 pairs to validate on; "
        "skipped: description equals caption 1\n"
        "texts: 1,200 pairs to train on, 0 pairs to validate on; "
        "1,200 of them without an image (random)"
    )


def test_images_in_folders_below_the_named_one_are_found(data: Path):
    for name in ["photos/a/1.png", "photos/b/2.png"]:
        (data / name).parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(data / name)
    rows = [("a/1.png", "d1", "c1", "train"), ("b/2.png", "d2", "c2", "val")]
    write(data / "made.csv", [*rows, ("a/2.png", "d", "c", "train"), ("c/2.png", "d", "c", "val")])
    loaded = load_pairs([source(images="photos")], data)
    assert loaded.training[0].images == [data / "photos" / "a" / "1.png"]
    assert loaded.left_out["made"] == {"image missing": 2}


def test_images_are_sought_beside_the_table_unless_a_folder_is_named(data: Path):
    (data / "under").mkdir()
    Image.new("RGB", (4, 4)).save(data / "under" / "x.png")
    rows = [("x.png", "d1", "c1", "train"), ("x.png", "d2", "c2", "val")]
    write(data / "under" / "made.csv", rows)
    loaded = load_pairs([source(path="under/made.csv")], data)
    assert loaded.training[0].images == [data / "under" / "x.png"]


def _csv_gz(frame: pd.DataFrame, path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        frame.to_csv(file, index=False)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("made.csv", lambda frame, path: frame.to_csv(path, index=False)),
        ("made.tsv", lambda frame, path: frame.to_csv(path, sep="\t", index=False)),
        ("made.jsonl", lambda frame, path: frame.to_json(path, orient="records", lines=True)),
        ("made.parquet", lambda frame, path: frame.to_parquet(path)),
        ("made.csv.gz", _csv_gz),
    ],
)
def test_every_format_gives_the_same_pairs(
    data: Path, name: str, save: Callable[[pd.DataFrame, Path], None]
):
    rows = [good(0), good(1, "val"), ("2.png", "NA", "a, “b”\nc", "train")]
    save(pd.DataFrame(rows, columns=list(COLUMNS)), data / name)
    loaded = load_pairs([source(path=name)], data)
    assert names(loaded.training[0]) == ["0.png", "2.png"]
    assert loaded.training[0].descriptions == ["description 0", "NA"]
    assert loaded.training[0].captions == ["caption 0", "a, “b”\nc"]
    assert loaded.validation[0].descriptions == ["description 1"]


def test_held_out_rows_are_those_with_the_smallest_digests_of_their_keys(data: Path):
    keys = [f"key {i}" for i in range(10)]
    rows = [(*good(i)[:3], key) for i, key in enumerate(keys)]
    write(data / "made.csv", rows, [*COLUMNS[:3], "key"])
    by_digest = sorted(range(10), key=lambda i: hashlib.sha256(keys[i].encode()).hexdigest())
    loaded = load_pairs([source(key_column="key", held_out=3)], data)
    assert names(loaded.validation[0]) == [f"{i}.png" for i in sorted(by_digest[:3])]
    assert names(loaded.training[0]) == [f"{i}.png" for i in sorted(by_digest[3:])]


def test_the_image_column_is_the_key_unless_another_is_named(data: Path):
    write(data / "made.csv", [good(i)[:3] for i in range(10)], COLUMNS[:3])
    files = [f"{i}.png" for i in range(10)]
    by_digest = sorted(files, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    loaded = load_pairs([source(held_out=4)], data)
    assert names(loaded.validation[0]) == sorted(by_digest[:4])


def test_a_split_column_can_be_passed_over(data: Path):
    write(data / "made.csv", [good(i, "somewhere") for i in range(10)])
    loaded = load_pairs([source(split_column="", held_out=2)], data)
    assert (len(loaded.training[0].images), len(loaded.validation[0].images)) == (8, 2)


def test_image_free_rows_keep_their_place_and_images_that_are_there_are_used(data: Path):
    rows = [good(0), ("", "d1", "c1", "train"), ("absent.png", "d", "c", "train"), good(3, "val")]
    write(data / "made.csv", rows)
    loaded = load_pairs([source(image_free="random")], data)
    assert names(loaded.training[0]) == ["0.png", None]
    assert loaded.training[0].image_free == "random"
    assert loaded.left_out["made"] == {"image missing": 1}


def test_one_source_may_be_for_training_and_another_for_validation(data: Path):
    write(data / "made.csv", [good(0)[:3]], COLUMNS[:3])
    write(data / "other.csv", [good(1, "val")])
    loaded = load_pairs([source(), source(name="other", path="other.csv")], data)
    assert [pairs.name for pairs in loaded.training] == ["made"]
    assert [pairs.name for pairs in loaded.validation] == ["other"]


def test_concadia_is_read_in_its_official_layout(tmp_path: Path):
    (tmp_path / "concadia" / "resized").mkdir(parents=True)
    entries = []
    for i, split in enumerate(["train", "train", "val", "test", "train", "train"]):
        texts = {"description": {"raw": f"d{i}"}, "caption": {"raw": f"c{i}"}}
        entries.append({"filename": f"{i}.jpg", "split": split, **texts})
        if i != 4:
            Image.new("RGB", (4, 4)).save(tmp_path / "concadia" / "resized" / f"{i}.jpg")
    entries[1]["caption"]["raw"] = " D1"
    entries[5]["description"]["raw"] = None
    content = json.dumps({"images": entries})
    (tmp_path / "concadia" / "wiki_split.json").write_text(content)
    loaded = load_pairs([source(path="concadia")], tmp_path)
    assert loaded.training[0].images == [tmp_path / "concadia" / "resized" / "0.jpg"]
    assert (loaded.training[0].descriptions, loaded.training[0].captions) == (["d0"], ["c0"])
    assert loaded.validation[0].descriptions == ["d2"]
    assert loaded.left_out["made"] == {
        "description equals caption": 1,
        "other split": 1,
        "image missing": 1,
        "empty text": 1,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "batch is 0; it should be greater than or equal to 1"),
        ({"held_out": -1}, "held_out is -1"),
        ({"image_free": "median"}, "image_free"),
        ({"caption": "x"}, "did you mean 'caption_column'"),
    ],
)
def test_a_source_with_a_wrong_setting_is_refused(settings: dict[str, object], message: str):
    with pytest.raises(RecipeError, match=message):
        source(**settings)


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        (
            "image text caption",
            {},
            "no column 'description'; it has 'image', 'text', 'caption': set desc",
        ),
        (
            "image description text",
            {},
            "no column 'caption'; it has 'image', 'description', 'text': set caption",
        ),
        ("image description caption", {"key_column": "id"}, "no column 'id'; it has 'image'"),
        ("image description caption", {"split_column": "part"}, "no column 'part'; it has 'image'"),
        ("image description caption", {"image_column": "file"}, "no column 'file'; it has 'image'"),
        ("file description caption", {}, "no column 'image', only file.*image_free = \"random\""),
        ("id description caption", {"image_free": "random", "held_out": 1}, "set key_column"),
        (
            "image description caption",
            {"held_out": 10},
            "'made': held_out is 10, but there are only",
        ),
        ("image description caption", {"images": "none"}, "no folder .*none"),
        ("image description split", {"caption_column": "split", "held_out": 2}, "omit held_out"),
    ],
)
def test_a_table_that_does_not_suit_the_recipe_is_refused(
    data: Path, columns: str, settings: dict[str, object], message: str
):
    write(data / "made.csv", [good(i)[:3] for i in range(10)], columns.split())
    with pytest.raises(RecipeError, match=message):
        load_pairs([source(**settings)], data)


def test_a_table_whose_image_cells_are_all_empty_needs_image_free(data: Path):
    write(data / "made.csv", [("", "d0", "c0", "train"), (" ", "d1", "c1", "val")])
    with pytest.raises(RecipeError, match=r"names no image in its column 'image'.*image_free"):
        load_pairs([source()], data)
    loaded = load_pairs([source(image_free="random")], data)
    assert loaded.training[0].images == loaded.validation[0].images == [None]


def test_unknown_splits_alone_are_refused_with_those_found(data: Path):
    write(data / "made.csv", [good(0, "fold 1"), good(1, "fold 2")])
    with pytest.raises(RecipeError, match="only 'fold 1', 'fold 2'"):
        load_pairs([source()], data)


def test_a_source_without_any_usable_row_is_refused_with_the_counts(data: Path):
    write(data / "made.csv", [("x.png", "d", "c", "train"), ("1.png", "", "c", "val")])
    with pytest.raises(RecipeError, match=r"image missing 1, empty text 1.*there is no .*x\.png"):
        load_pairs([source()], data)


def test_training_and_validation_rows_are_both_needed(data: Path):
    write(data / "made.csv", [good(0)])
    with pytest.raises(
        RecipeError, match="rows to validate on; give one held_out = 1, for example"
    ):
        load_pairs([source()], data)
    write(data / "made.csv", [good(0, "val")])
    with pytest.raises(RecipeError, match="no source has rows to train on"):
        load_pairs([source()], data)


def test_missing_broken_and_repeated_sources_are_refused(data: Path):
    with pytest.raises(RecipeError, match="no source has rows to train on"):
        load_pairs([], data)
    with pytest.raises(RecipeError, match=r"source 'made': there is no .*made\.csv"):
        load_pairs([source()], data)
    with pytest.raises(RecipeError, match="two sources are named 'made'"):
        load_pairs([source(), source()], data)
    (data / "made.csv").write_text("image,description,caption\n1.png,only two\n")
    with pytest.raises(RecipeError, match=r"source 'made': line 2 .* has 2 fields"):
        load_pairs([source()], data)
    (data / "made.jsonl").write_text('{"image": "1.png", "description": "d", "caption": "c"}\n{"im')
    with pytest.raises(RecipeError, match=r"source 'made': .*line 2 is"):
        load_pairs([source(path="made.jsonl")], data)
    (data / "made.jsonl").write_text('{"image": 1, "description": "d", "caption": "c"}')
    with pytest.raises(RecipeError, match="contains a int, not the name of a file"):
        load_pairs([source(path="made.jsonl")], data)
    (data / "made.csv.gz").write_text("not compressed")
    with pytest.raises(RecipeError, match=r"made\.csv\.gz cannot be read"):
        load_pairs([source(path="made.csv.gz")], data)
    (data / "empty").mkdir()
    with pytest.raises(RecipeError, match=r"source 'made': Concadia's .*wiki_split\.json"):
        load_pairs([source(path="empty")], data)


def by_digest(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


@pytest.mark.parametrize(("zipped", "before"), [(False, ""), (True, ""), (True, "./")])
def test_a_fifth_of_the_stand_ins_is_for_validation(data: Path, zipped: bool, before: str):
    (data / "notes.txt").write_text("no image")
    names = [f"photos/{i}.png" for i in range(10)]
    where = data / "archive.zip" if zipped else data / "archive"
    if zipped:
        with ZipFile(where, "w") as archive:
            for i, name in enumerate(names):
                archive.writestr(f"{before}{name}", (data / f"{i}.png").read_bytes())
            archive.write(data / "0.png", "other/0.png")
    else:
        (where / "photos").mkdir(parents=True)
        for i, name in enumerate(names):
            (where / name).write_bytes((data / f"{i}.png").read_bytes())
    every = load_stand_ins([StandInSource(path=where.name, under="photos")], data)
    ordered = [where / name for name in by_digest(names)]
    assert (every.validation, every.training) == (ordered[:2], ordered[2:])
    some = load_stand_ins([StandInSource(path=where.name, under="photos", take=5)], data)
    assert (some.validation, some.training) == (ordered[5:6], ordered[6:])
    empty = PairData(training=[], validation=[], left_out={})
    digests = [replace(empty, stand_ins=one).digests(data)["stand-ins"] for one in (every, some)]
    assert digests[0] != digests[1]
    expected = [(data / f"{path.stem}.png").read_bytes() for path in ordered]
    inputs = [
        part if isinstance(part, bytes) else Path(str(part)).read_bytes()
        for part in image_inputs(ordered)
    ]
    assert inputs == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "photos"}, r"stand_ins: .*photos is neither a folder nor a zip file of images"),
        ({"path": "empty"}, r"stand_ins: .*empty has 0 images; give one with at least 5"),
        ({"path": ".", "take": 20}, r"has 10 images; give one with at least 20"),
        ({"path": ".", "take": 3}, r"stand_ins: take is 3; it must be 0 or at least 5"),
    ],
)
def test_stand_ins_that_are_not_there_are_refused(
    data: Path, settings: dict[str, Any], message: str
):
    (data / "empty").mkdir()
    with pytest.raises(RecipeError, match=message):
        load_stand_ins([build_recipe(StandInSource, settings)], data)


def test_anchors_are_a_tables_labels_in_a_sentence_each_once(data: Path):
    (data / "labels.csv").write_text("file,label\n1,grey owl\n2,null\n3,\n4,grey owl\n5,crane\n")
    (anchors,) = load_anchors([Anchors(path="labels.csv", batch=2)], data)
    assert anchors.texts == ["An image of grey owl", "An image of null", "An image of crane"]
    assert anchors.images == []
    assert anchors.batch == 2
    assert load_anchors((), data) == []


_CAPTIONS = {"path": "captions.txt", "images": "images", "split": "train.txt", "batch": 2}


def _write_captions(data: Path) -> list[str]:
    names = ["a.png", "b.png", "c.png"]
    (data / "images").mkdir(exist_ok=True)
    for name in names:
        (data / "images" / name).touch()
    lines = [f"{name}#{i}\t{name} said {i}" for name in (*names, "absent.png") for i in (0, 1)]
    lines.append("c.png#2\t ")
    (data / "captions.txt").write_text("\n".join(lines) + "\n")
    (data / "train.txt").write_text("\n".join([*names[1:], "absent.png", "unknown.png"]) + "\n")
    return names


def test_anchors_are_the_captions_of_a_splits_photos(data: Path):
    _, *names = _write_captions(data)
    (anchors,) = load_anchors([Anchors(**_CAPTIONS)], data)
    assert anchors.texts == [f"{name} said {i}" for name in names for i in (0, 1)]
    assert anchors.images == [data / "images" / name for name in names for _ in (0, 1)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "none.csv"}, r"anchors: .*none\.csv"),
        (
            {"column": "name"},
            r"anchors: .*has no column 'name'; it has 'file', 'label': set anchors.column",
        ),
        ({"batch": 4}, r"has 3 labels, and a step takes 4; lower anchors\.batch"),
        ({"batch": 1}, r"batch is 1; it should be greater than or equal to 2"),
        ({"template": "a photo"}, r"anchors\.template is 'a photo'; it must contain \{label\}"),
        ({"images": "images"}, r"'labels\.csv': captions need both images and split"),
        (_CAPTIONS | {"path": "none.txt"}, r"anchors: .*none\.txt"),
        (_CAPTIONS | {"split": "none.txt"}, r"anchors: .*none\.txt"),
        (
            _CAPTIONS | {"path": "latin.txt"},
            r"anchors: .*latin\.txt or train\.txt is not text in UTF-8",
        ),
        (_CAPTIONS | {"batch": 9}, r"has 4 captions of photos in images, and a step takes 9"),
    ],
)
def test_anchors_that_cannot_be_used_are_refused(
    data: Path, settings: dict[str, Any], message: str
):
    (data / "labels.csv").write_text("file,label\n1,grey owl\n2,null\n3,crane\n")
    (data / "latin.txt").write_bytes("a.jpg#0\tcafé\n".encode("latin-1"))
    _write_captions(data)
    with pytest.raises(RecipeError, match=message):
        load_anchors([build_recipe(Anchors, {"path": "labels.csv"} | settings)], data)


def test_concadias_test_texts_are_held_out_as_for_the_base(shared_data: Path):
    path = "concadia-test-texts.csv.gz"
    settings = {"image_free": "random", "key_column": "filename", "held_out": 1000}
    loaded = load_pairs([source(path=path, **settings)], shared_data)
    table = pd.read_csv(shared_data / path, dtype=str, keep_default_na=False)
    low = [table[column].str.strip().str.casefold() for column in ("description", "caption")]
    same = low[0] == low[1]
    assert (len(table), same.sum()) == (7691, 77)
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in table["filename"]]
    held = pd.Series(digests).isin(sorted(digests)[:1000])
    [training], [validation] = loaded.training, loaded.validation
    for pairs, rows in ((training, ~held & ~same), (validation, held & ~same)):
        assert pairs.descriptions == list(table[rows]["description"])
        assert pairs.captions == list(table[rows]["caption"])
        assert set(pairs.images) == {None}
    assert len(training.captions) + len(validation.captions) == 7614
    assert loaded.left_out["made"] == {"description equals caption": 77}


def test_contextref_and_concadias_validation_images_load(shared_data: Path):
    contextref = source(name="contextref", path="contextref/pairs.csv", images="contextref/images")
    concadia = source(name="concadia", path="concadia-val200")
    loaded = load_pairs([contextref, concadia], shared_data)
    table = pd.read_csv(shared_data / "contextref" / "pairs.csv", keep_default_na=False)
    low = [table[column].str.strip().str.casefold() for column in ("description", "caption")]
    table = table[low[0] != low[1]]
    [training], [validation] = loaded.training, loaded.validation
    assert names(training) == list(table["image"])
    assert names(training).count("871.jpg") == 2
    assert training.descriptions == list(table["description"])
    assert len(training.captions) + loaded.left_out["contextref"][
        "description equals caption"
    ] == len(pd.read_csv(shared_data / "contextref" / "pairs.csv"))
    entries = json.loads((shared_data / "concadia-val200" / "wiki_split.json").read_text())
    captions = {
        entry["filename"]: entry["caption"]["raw"]
        for entry in entries["images"]
        if entry["caption"]["raw"].strip().casefold()
        != entry["description"]["raw"].strip().casefold()
    }
    assert dict(zip(names(validation), validation.captions, strict=True)) == captions
    assert {image.parent.name for image in validation.images if image} == {"resized"}
