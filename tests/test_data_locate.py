"""A row's image is found by path, by pattern, or by an id that is a file's stem."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from descscore.errors import OptionError, TableError
from descscore.tables.formats import open_table
from descscore.tables.locate import ImagesOf, images_of
from descscore.tables.table import Table


@pytest.fixture
def csv_table(tmp_path: Path) -> Table:
    (tmp_path / "tables").mkdir()
    path = tmp_path / "tables" / "a.csv"
    path.write_text("image,text,split\na.jpg,a,val\n")
    return open_table(path)


@pytest.fixture
def coco_table(tmp_path: Path) -> Table:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"image_id": 42, "caption": "a"}]))
    return open_table(path)


def test_relative_paths_are_relative_to_the_table(csv_table: Table) -> None:
    locate = images_of(csv_table, "image", None, None)
    assert Path(locate({"image": "sub/a.jpg"})) == csv_table.path.parent / "sub" / "a.jpg"


def test_relative_paths_are_relative_to_the_folder_of_images_if_given(
    csv_table: Table, tmp_path: Path
) -> None:
    locate = images_of(csv_table, "image", tmp_path, None)
    assert Path(locate({"image": "a.jpg"})) == tmp_path / "a.jpg"


def test_absolute_paths_stay(csv_table: Table, tmp_path: Path) -> None:
    locate = images_of(csv_table, "image", tmp_path, None)
    assert locate({"image": "/elsewhere/a.jpg"}) == "/elsewhere/a.jpg"


def test_addresses_stay_so_that_they_can_be_refused_as_such(
    csv_table: Table, tmp_path: Path
) -> None:
    address = "https://example.org/a.jpg"
    assert images_of(csv_table, "image", tmp_path, None)({"image": address}) == address
    locate = images_of(csv_table, "image", tmp_path, "https://example.org/{image}")
    assert locate({"image": "a.jpg"}) == address


def test_an_image_without_bytes_is_found_by_the_path_beside_them(csv_table: Table) -> None:
    locate = images_of(csv_table, "image", None, None)
    found = locate({"image": {"bytes": None, "path": "a.png"}})
    assert found == str(csv_table.path.parent / "a.png")
    with pytest.raises(TableError, match=r"names no image \(\{'bytes': None, 'path': None\}\)"):
        locate({"image": {"bytes": None, "path": None}})


@pytest.mark.parametrize("value", [b"\x89PNG", {"bytes": b"\x89PNG", "path": "a.png"}])
def test_images_inside_the_table_are_handed_on(csv_table: Table, value: object) -> None:
    assert images_of(csv_table, "image", None, None)({"image": value}) == b"\x89PNG"


@pytest.mark.parametrize("values", [{}, {"image": ""}, {"image": None}, {"image": 3}])
def test_a_row_without_an_image_says_so(csv_table: Table, values: dict[str, object]) -> None:
    with pytest.raises(TableError, match="column 'image' names no image"):
        images_of(csv_table, "image", None, None)(values)


def test_a_pattern_makes_coco_names(coco_table: Table, tmp_path: Path) -> None:
    locate = images_of(coco_table, "image_id", tmp_path, "COCO_val2014_{image_id:012d}.jpg")
    found = locate({"image_id": 42})
    assert Path(found) == tmp_path / "COCO_val2014_000000000042.jpg"


def test_a_pattern_takes_any_columns(csv_table: Table, tmp_path: Path) -> None:
    locate = images_of(csv_table, "image", tmp_path, "{split}/{image}")
    assert Path(locate({"image": "a.jpg", "split": "val"})) == tmp_path / "val" / "a.jpg"


def test_a_pattern_that_does_not_suit_a_row_says_so(coco_table: Table, tmp_path: Path) -> None:
    locate = images_of(coco_table, "image_id", tmp_path, "{image_id:012d}.jpg")
    with pytest.raises(TableError, match="does not suit the row"):
        locate({"image_id": "forty-two"})
    with pytest.raises(TableError, match="no column 'image_id'"):
        locate({"caption": "a"})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{image_id", "malformed"),
        ("a.jpg", "names no column"),
        ("{id}.jpg", "names 'id', which is not a column .* it has image_id, caption"),
        ("{}.jpg", "names ''"),
    ],
)
def test_a_wrong_pattern_is_refused(
    coco_table: Table, tmp_path: Path, pattern: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        images_of(coco_table, "image_id", tmp_path, pattern)


def test_an_id_is_the_stem_of_a_file(coco_table: Table, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("42.jpg", "cat.on.mat.png", "dog.jpg", "dog.txt", "twin.jpg", "twin.png"):
        (images / name).touch()
    locate = images_of(coco_table, "image_id", images, None)
    assert Path(locate({"image_id": 42})).name == "42.jpg"
    assert Path(locate({"image_id": "cat.on.mat"})).name == "cat.on.mat.png"
    assert Path(locate({"image_id": "dog"})).name == "dog.jpg"
    with pytest.raises(TableError, match=r"several images named twin: twin\.jpg, twin\.png"):
        locate({"image_id": "twin"})
    with pytest.raises(TableError, match=r"no image in .* is named 7 "):
        locate({"image_id": 7})


def test_ids_need_the_folder_of_images(coco_table: Table) -> None:
    with pytest.raises(OptionError, match="with `images`"):
        images_of(coco_table, "image_id", None, None)


def test_a_folder_that_does_not_exist_is_named(csv_table: Table, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nowhere' does not exist"):
        images_of(csv_table, "image", tmp_path / "nowhere", None)


def test_a_number_in_a_pattern_takes_an_id_written_in_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image_id,text\n42,a\n")
    locate = images_of(open_table(path), "image_id", tmp_path, "COCO_{image_id:012d}.jpg")
    assert Path(locate({"image_id": "42"})).name == "COCO_000000000042.jpg"
    with pytest.raises(TableError, match="does not suit the row"):
        locate({"image_id": "forty-two"})


def test_a_row_without_its_id_is_named(coco_table: Table, tmp_path: Path) -> None:
    locate = images_of(coco_table, "image_id", tmp_path, None)
    with pytest.raises(TableError, match="no 'image_id'"):
        locate({"caption": "b"})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("sub/a.jpg", "sub/a.jpg"),
        (42, "42"),
        ({"bytes": b"\x89PNG", "path": "a.png"}, "a.png"),
        ({"bytes": b"\x89PNG", "path": None}, None),
        (b"\x89PNG", None),
        ("", None),
        (None, None),
    ],
)
def test_an_image_has_the_name_that_its_row_gives(value: object, name: str | None) -> None:
    assert ImagesOf(column="image", folder=Path(), pattern=None).name({"image": value}) == name


def test_an_image_found_by_a_pattern_has_the_name_that_was_made() -> None:
    pattern = "{split}/{id:04d}.jpg"
    assert (
        ImagesOf(column="image", folder=Path(), pattern=pattern).name({"split": "val", "id": "42"})
        == "val/0042.jpg"
    )
    assert (
        ImagesOf(column="image", folder=Path(), pattern=pattern).name({"split": "val", "id": "x"})
        is None
    )
    assert ImagesOf(column="image", folder=Path(), pattern=None).name({}) is None


def test_an_id_that_became_a_decimal_number_is_pointed_out(
    coco_table: Table, tmp_path: Path
) -> None:
    (tmp_path / "42.jpg").touch()
    locate = images_of(coco_table, "image_id", tmp_path, None)
    with pytest.raises(TableError, match=r"is named 42\.0 .*; '42' differs from '42.0' by"):
        locate({"image_id": 42.0})
