"""json: COCO results and CLIPScore candidates, told apart by their shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from descscore.errors import TableError
from descscore.tables.formats import open_table


def table_of(tmp_path: Path, content: object):
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return open_table(path)


def test_coco_results_keep_ids_of_any_type_and_further_keys(tmp_path: Path) -> None:
    items = [
        {"image_id": 42, "caption": "a cat", "id": 7},
        {"image_id": "COCO_1", "caption": "none"},
        {"image_id": 1.5, "caption": None},
    ]
    table = table_of(tmp_path, items)
    assert [row.values for row in table.rows()] == items
    assert table.columns == ("image_id", "caption", "id")
    assert (table.image_column, table.text_column) == ("image_id", "caption")
    assert table.images_by_id


def test_candidates_become_rows_of_id_and_caption(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"cat": "a cat", "2": "two"})
    assert [row.values for row in table.rows()] == [
        {"image_id": "cat", "caption": "a cat"},
        {"image_id": "2", "caption": "two"},
    ]
    assert table.images_by_id


def test_an_item_that_is_no_object_becomes_a_row_that_says_so(tmp_path: Path) -> None:
    rows = list(table_of(tmp_path, [{"image_id": 1, "caption": "a"}, "b"]).rows())
    assert rows[1].problem == "item 2 is not an object with image_id and caption"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has no rows"),
        ({}, "has no rows"),
        ("42", "neither COCO results .* nor CLIPScore candidates"),
        ({"images": [], "annotations": []}, "gives 'images' a list, not a caption"),
        ("{", "not JSON"),
        ('{"a": 1}\n{"a": 2}', r"not JSON \(Extra data at line 2, .*named \.jsonl"),
        ('{"a": "x", "a": "y"}', "the key 'a' twice"),
        ([1, 2], "no row that can be read: item 1"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(TableError, match=message):
        table_of(tmp_path, content)


def test_names_without_a_known_format_are_refused_with_those_that_are_known(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_text("image,text\n")
    with pytest.raises(
        TableError, match=r"\.csv, \.tsv, \.jsonl, \.parquet, \.tar \(WebDataset\), or \.json"
    ):
        open_table(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["no.csv", "no.jsonl", "no.parquet", "no.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match=f"there is no file .*{name}"):
        open_table(tmp_path / name)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(TableError, match="is a folder; give a table"):
        open_table(tmp_path / "a.csv")
