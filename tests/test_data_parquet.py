"""parquet: types are kept from file to file, and inferred for formats that have none."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from descscore.errors import MissingExtraError, TableError
from descscore.tables.formats import open_table, writer_for
from descscore.tables.table import Cells, Chunk, Row

ADDED = ("score", "truncated", "error")


def finish(path: Path, results: list[Cells]) -> pa.Table:
    """Join results to the rows of a table, as at the end of a run."""
    table = open_table(path)
    writer = writer_for(path.with_name("out.parquet"), [table], ADDED)
    parts = []
    for number, chunk in enumerate(table.chunks(1024)):
        parts.append(path.with_name(f"{number}.part.parquet"))
        first = number * 1024
        writer.write([(chunk, results[first : first + len(chunk.rows)])], parts[-1])
    writer.join(parts, path.with_name("out.parquet"))
    return pq.read_table(path.with_name("out.parquet"))


def test_types_and_values_survive_from_parquet_to_parquet(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    original = pa.table(
        {
            "image": pa.array(["a.jpg", None], pa.large_string()),
            "text": ["null", "none"],
            "when": pa.array([0, 1], pa.timestamp("ns", "UTC")),
            "raw": pa.array([b"\x00\xff", None], pa.binary()),
            "small": pa.array([1, None], pa.int8()),
            "nested": [{"a": [1.5, None]}, None],
        }
    )
    pq.write_table(original, path)
    written = finish(path, [(0.5, True, None), (None, False, "why")])
    assert written.select(original.column_names).equals(original)
    assert written.select(ADDED).to_pydict() == {
        "score": [0.5, None],
        "truncated": [True, False],
        "error": [None, "why"],
    }
    assert written.schema.field("score").type == pa.float32()


def test_rows_of_several_row_groups_stay_in_order(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": [str(i) for i in range(3000)]}), path, row_group_size=700)
    assert open_table(path).n_rows == 3000
    assert [row.values["text"] for row in open_table(path).rows(2998)] == ["2998", "2999"]
    written = finish(path, [(float(i), False, None) for i in range(3000)])
    assert written["text"].to_pylist() == [str(i) for i in range(3000)]
    assert written["score"].to_pylist() == [float(i) for i in range(3000)]


def test_csv_becomes_columns_of_text(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("image,text,id\na.jpg,none,007\n")
    written = finish(path, [(0.5, False, None)])
    assert written.drop(list(ADDED)).to_pydict() == {
        "image": ["a.jpg"],
        "text": ["none"],
        "id": ["007"],
    }


def test_jsonl_types_are_those_that_hold_all_values(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = ['{"text": "a", "n": 1}'] * 1500 + ['{"text": "b", "n": 1.5, "late": [true]}', "oops"]
    path.write_text("\n".join(lines))
    written = finish(path, [(0.5, False, None)] * 1502)
    assert written["n"].to_pylist()[-3:] == [1.0, 1.5, None]
    assert written["late"].to_pylist()[-3:] == [None, [True], None]


@pytest.mark.parametrize("copies", [1, 1500])
def test_a_column_of_mixed_types_is_refused_before_scoring(tmp_path: Path, copies: int) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a", "id": 1}\n' * copies + '{"text": "a", "id": "x"}\n')
    with pytest.raises(TableError, match=r"'id' .* values of different types.*write jsonl"):
        writer_for(tmp_path / "out.parquet", [open_table(path)], ADDED)


@pytest.mark.parametrize("large", ["1152921504606846977", "[1152921504606846977]"])
def test_integers_that_no_float_holds_are_refused_before_scoring_where_floats_come_later(
    tmp_path: Path, large: str
) -> None:
    path = tmp_path / "in.jsonl"
    small = large.replace("1152921504606846977", "0.5")
    path.write_text(f'{{"n": {large}}}\n' * 1024 + f'{{"n": {small}}}\n')
    with pytest.raises(TableError, match=r"'n' .* integers too large for one type.*write jsonl"):
        writer_for(tmp_path / "out.parquet", [open_table(path)], ADDED)


@pytest.mark.parametrize("empty", ["{}", '{"a": {}}', "[{}]"])
def test_a_column_of_empty_objects_is_refused_before_scoring(tmp_path: Path, empty: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'{{"text": "a", "meta": {empty}}}\n' * 3)
    with pytest.raises(TableError, match=r"'meta' .* parquet cannot keep.*write jsonl"):
        writer_for(tmp_path / "out.parquet", [open_table(path)], ADDED)


def test_a_table_that_changed_while_it_was_scored_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"n": 1}\n')
    writer = writer_for(tmp_path / "out.parquet", [open_table(path)], ADDED)
    changed = Chunk([Row({"n": "one"})])
    with pytest.raises(TableError, match=r"do not fit the types of their columns"):
        writer.write([(changed, [(0.5, False, None)])], tmp_path / "out.parquet")


def test_dates_become_text_in_csv_and_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["a"], "day": [datetime.date(2024, 2, 29)]}), path)
    rows = list(open_table(path).rows())
    for name, expected in {
        "out.csv": b"a,2024-02-29,1.0,false,\n",
        "out.jsonl": b'{"text": "a", "day": "2024-02-29", "score": 1.0, "truncated": false, '
        b'"error": null}\n',
    }.items():
        writer = writer_for(tmp_path / name, [open_table(path)], ADDED)
        assert writer.encode(Chunk(rows), [(1.0, False, None)]) == expected


def test_raw_bytes_are_refused_for_csv_before_scoring(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"image": [{"bytes": b"\x89"}], "text": ["a"]}), path)
    with pytest.raises(TableError, match=r"'image' .* raw bytes.*out\.parquet"):
        writer_for(tmp_path / "out.csv", [open_table(path)], ADDED)


def test_a_column_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), path)
    with pytest.raises(TableError, match="two columns named 'text'"):
        open_table(path)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TableError, match="not a complete parquet file"):
        open_table(path)


def test_without_pyarrow_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "descscore\[parquet\]"'):
        open_table(path)


def test_a_row_with_a_value_that_python_has_no_form_for_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    texts = pa.array([b"A cup \xff\xfe", b"A cat", b"A dog"]).view(pa.string())
    times = pa.array([0, 2**50, 0], pa.timestamp("s"))
    pq.write_table(pa.table({"text": texts, "when": times}), path)
    first, second, third = open_table(path).rows()
    assert first.problem == "column 'text' holds a value that cannot be read: not UTF-8"
    assert second.problem is not None
    assert second.problem.startswith("column 'when' holds a value that cannot be read: ")
    assert third == Row({"text": "A dog", "when": datetime.datetime(1970, 1, 1)})


def test_an_unknown_time_zone_is_a_problem_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"when": pa.array([0], pa.timestamp("s", "Mars/Olympus"))}), path)
    (row,) = open_table(path).rows()
    assert row.problem is not None
    assert "'when'" in row.problem


def test_a_damaged_page_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    table = pa.table({"text": [f"text {i}" for i in range(3000)]})
    pq.write_table(table, path, row_group_size=1024, compression="gzip", use_dictionary=False)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset + 60
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"in\.parquet is damaged after row 1,024: "):
        list(open_table(path).rows())


def test_nesting_that_no_reader_opens_is_refused_before_scoring(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    deep = "[" * 300 + "1" + "]" * 300
    path.write_text(f'{{"text": "a", "x": null}}\n{{"text": "a", "x": {deep}}}\n')
    with pytest.raises(TableError, match=r"'x' .* parquet cannot keep.*in row 2 .*write jsonl"):
        writer_for(tmp_path / "out.parquet", [open_table(path)], ADDED)


def test_columns_that_are_not_read_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    texts = pa.array([b"A cup \xff\xfe", b"A cat"]).view(pa.string())
    times = pa.array([2**50, 0], pa.timestamp("s", "Mars/Olympus"))
    pq.write_table(pa.table({"text": ["a", "b"], "other": texts, "when": times}), path)
    table = open_table(path)
    writer = writer_for(tmp_path / "out.parquet", [table], ADDED)
    (chunk,) = table.chunks(10, columns=["text"])
    assert chunk.rows == [Row({"text": "a"}), Row({"text": "b"})]
    writer.write([(chunk, [(0.5, False, None)] * 2)], tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.select(["other", "when"]).equals(pq.read_table(path, columns=["other", "when"]))


def test_chunks_begin_at_any_row_and_cross_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"n": range(3000)}), path, row_group_size=700)
    table = open_table(path)
    for start, stop, size in [(0, 3000, 1024), (699, 1500, 100), (1400, 1401, 5), (2990, 3000, 64)]:
        chunks = list(table.chunks(size, start, stop))
        assert [len(chunk.rows) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
        found = [row.values["n"] for chunk in chunks for row in chunk.rows]
        assert found == list(range(start, stop))
