"""jsonl: values keep their types, output is strict JSON, broken lines become failed rows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from descscore import strict_json
from descscore.errors import TableError
from descscore.tables.formats import open_table
from descscore.tables.json_files import JsonlWriter
from descscore.tables.table import Chunk, Row


def table_of(tmp_path: Path, content: bytes | str):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_table(path)


def test_values_keep_their_types_and_rows_their_own_keys(tmp_path: Path) -> None:
    first = {"image": "a.jpg", "text": "none", "n": 1, "x": 0.1, "tags": ["é", None]}
    second = {"image": "b.jpg", "text": "null", "n": None, "other": {"deep": True}}
    table = table_of(tmp_path, f"{json.dumps(first)}\n{json.dumps(second)}\n")
    assert [row.values for row in table.rows()] == [first, second]
    assert table.columns == ("image", "text", "n", "x", "tags", "other")


def test_byte_order_mark_blank_lines_and_a_missing_last_newline_do_no_harm(tmp_path: Path) -> None:
    table = table_of(tmp_path, b'\xef\xbb\xbf{"text": "a"}\r\n\n  \n{"text": "b"}')
    assert [row.values for row in table.rows()] == [{"text": "a"}, {"text": "b"}]
    assert table.n_rows == 2


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c"
    table = table_of(tmp_path, json.dumps({"text": text}, ensure_ascii=False))
    assert [row.values for row in table.rows()] == [{"text": text}]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": "a"', r"line 2 is not JSON \(.* character 13\)"),
        (b"[1, 2]", "line 2 is not a JSON object"),
        (b'{"text": NaN}', "line 2 is not JSON .NaN is not a JSON number"),
        (b'{"x": 1e999}', "line 2 is a number out of range"),
        (b'{"text": "a", "text": "b"}', "line 2 is an object with the key 'text' twice"),
        (b'{"text": "\\ud800"}', "line 2 is not Unicode"),
        (b'{"text": "caf\xe9"}', "line 2 is not UTF-8"),
        (b"[" * 200_000, "line 2 is (nested too deeply|not JSON)"),
    ],
)
def test_a_broken_line_becomes_a_row_that_says_why(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    rows = list(table_of(tmp_path, b'{"text": "a"}\n' + line + b'\n{"text": "c"}\n').rows())
    assert [row.problem is None for row in rows] == [True, False, True]
    assert rows[1].values == {}
    assert rows[1].problem is not None
    assert re.match(problem, rows[1].problem)


def test_a_file_without_a_readable_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no row that can be read: line 1 is not JSON"):
        table_of(tmp_path, "image,text\na.jpg,a\n")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="has no rows"):
        table_of(tmp_path, "\n")


def test_written_lines_are_strict_json_with_the_row_first() -> None:
    writer = JsonlWriter(("score", "truncated", "error"))
    rows = [Row({"text": "é\n", "x": float("nan"), "y": [float("inf"), 1.5]}), Row({}, "broken")]
    results = [(0.1, False, None), (None, False, "broken")]
    lines = writer.encode(Chunk(rows), results).decode().splitlines()
    assert lines == [
        '{"text": "é\\n", "x": null, "y": [null, 1.5], "score": 0.1, "truncated": false, '
        '"error": null}',
        '{"score": null, "truncated": false, "error": "broken"}',
    ]


def test_raw_bytes_have_no_form_in_json() -> None:
    with pytest.raises(TableError, match="write parquet"):
        strict_json.dump({"image": b"\x89PNG"})


def test_an_integer_of_thousands_of_digits_is_out_of_range(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"image": "a.png", "text": "x", "n": ' + "9" * 5000 + "}\n")
    with pytest.raises(TableError, match=r"line 1 is a number out of range \(5,000 digits\)"):
        open_table(path)
