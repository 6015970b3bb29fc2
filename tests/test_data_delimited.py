"""csv and tsv: values stay as they were typed, and broken files are named by line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from descscore.errors import TableError
from descscore.tables.delimited import LONGEST_FIELD, DelimitedWriter
from descscore.tables.formats import open_table
from descscore.tables.table import Chunk, Row


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def values(path: Path) -> list[dict[str, object]]:
    return [row.values for row in open_table(path).rows()]


def test_values_stay_strings_and_words_for_nothing_stay_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "image,text,id\n1.jpg,none,007\n2.jpg,null,1e3\n3.jpg,NaN,\n")
    assert values(path) == [
        {"image": "1.jpg", "text": "none", "id": "007"},
        {"image": "2.jpg", "text": "null", "id": "1e3"},
        {"image": "3.jpg", "text": "NaN", "id": ""},
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "image,text\na.jpg,é\n", "utf-8-sig")
    table = open_table(path)
    assert table.columns == ("image", "text")
    assert values(path) == [{"image": "a.jpg", "text": "é"}]


def test_fields_hold_line_breaks_delimiters_and_quotes(tmp_path: Path) -> None:
    text = 'One,\r\ntwo "three"\nfour'
    quoted = text.replace('"', '""')
    path = write(tmp_path / "a.csv", f'image,text\r\na.jpg,"{quoted}"\r\nb.jpg,b\r\n')
    assert [row["text"] for row in values(path)] == [text, "b"]
    assert open_table(path).n_rows == 2


def test_tsv_is_separated_by_tabs_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.TSV", 'image\ttext\na.jpg\tone, two "three"\n')
    assert values(path) == [{"image": "a.jpg", "text": 'one, two "three"'}]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "\nimage,text\n\na.jpg,a\n\n\n")
    assert values(path) == [{"image": "a.jpg", "text": "a"}]


def test_a_stream_starts_at_any_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "image,text\n" + "".join(f"{i}.jpg,{i}\n" for i in range(9)))
    assert [row.values["text"] for row in open_table(path).rows(6)] == ["6", "7", "8"]


def test_text_of_a_million_characters_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"image,text\na.jpg,{'x' * 1_000_000}\n")
    assert [len(str(row["text"])) for row in values(path)] == [1_000_000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"is empty; it needs a header"),
        ("image,text\n", r"has no rows"),
        ("image,text,image\na,b,c\n", r"two columns named 'image'"),
        ("image,text\na.jpg,a\nb.jpg,b,c\n", r"line 3 of .* has 3 fields, the header has 2"),
        ("image,text\na.jpg\n", r"line 2 of .* has 1 fields"),
        ('image,text\na.jpg,"a"b\n', r"line 2 of .*double quote"),
        ('image,text\na.jpg,"a\nb.jpg,b\n', r"line 3 of .*unexpected end of data"),
    ],
)
def test_a_broken_table_is_refused_by_name_and_line(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(TableError, match=message):
        open_table(write(tmp_path / "a.csv", content))


def test_a_quote_left_open_does_not_read_an_endless_field(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'image,text\na.jpg,"' + "x" * (LONGEST_FIELD + 1))
    with pytest.raises(TableError, match="larger than field limit"):
        open_table(path)


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "image,text\na.jpg,café\n", "latin-1")
    with pytest.raises(TableError, match=r"not UTF-8 \(byte 0xe9 in line 2\); save it as UTF-8"):
        open_table(path)


def test_the_line_in_another_encoding_is_named_far_into_a_file(tmp_path: Path) -> None:
    lines = ["image,text", *(f"{i}.jpg,text {i}" for i in range(5_000)), "a.jpg,café", "b.jpg,b"]
    path = write(tmp_path / "a.csv", "\n".join(lines), "latin-1")
    with pytest.raises(TableError, match=r"byte 0xe9 in line 5,002\)"):
        open_table(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
def test_utf16_is_named(tmp_path: Path, name: str, encoding: str) -> None:
    path = write(tmp_path / name, "\ufeff" * (encoding == "utf-16-be") + '{"a": "b"}\n', encoding)
    with pytest.raises(TableError, match="is UTF-16"):
        open_table(path)


@pytest.mark.parametrize("content", ["image;text\na.jpg;1,5\n", '"image";"text"\na.jpg;"1,5"\n'])
def test_a_header_with_semicolons_alone_says_what_is_between_fields(
    tmp_path: Path, content: str
) -> None:
    assert values(write(tmp_path / "a.csv", content)) == [{"image": "a.jpg", "text": "1,5"}]


def test_a_comma_in_a_quoted_name_stands_not_between_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'image;"text, English"\na.jpg;A dog.\n')
    assert values(path) == [{"image": "a.jpg", "text, English": "A dog."}]


def test_semicolons_beside_commas_or_in_tsv_are_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "image;old,text\na;b.jpg,a\n")
    assert values(path) == [{"image;old": "a;b.jpg", "text": "a"}]
    assert open_table(write(tmp_path / "a.tsv", "image;text\na;b\n")).columns == ("image;text",)


def test_what_is_written_is_read_back_by_the_standard_reader(tmp_path: Path) -> None:
    rows = [Row({"image": "a,b.jpg", "text": 'say "so"\r\nor not'}), Row({}, "line 3 is broken")]
    results = [(0.75, True, None), (None, False, "line 3 is broken")]
    writer = DelimitedWriter(("image", "text"), ("score", "truncated", "error"), ",")
    path = tmp_path / "out.csv"
    path.write_bytes(writer.header() + writer.encode(Chunk(rows), results))
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "text", "score", "truncated", "error"],
            ["a,b.jpg", 'say "so"\r\nor not', "0.75", "true", ""],
            ["", "", "", "false", "line 3 is broken"],
        ]


def test_values_of_other_types_become_fields() -> None:
    row = Row({"a": None, "b": True, "c": [1, "é"], "d": 0.1, "e": 10**20, "f": {"g": None}})
    writer = DelimitedWriter(tuple(row.values), (), "\t")
    assert writer.encode(Chunk([row]), [(None, False, None)][:1]).decode() == (
        '\ttrue\t"[1, ""é""]"\t0.1\t100000000000000000000\t"{""g"": null}"\t\tfalse\t\n'
    )


def test_a_lone_carriage_return_survives_writing_and_reading(tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_bytes(b'image,text\na.png,"one\rtwo"\nb.png,plain\n')
    source = open_table(table)
    writer = DelimitedWriter(source.columns, ["score", "truncated", "error"], ",")
    rows = list(source.rows())
    scored = [(0.5, False, None)] * 2
    (tmp_path / "out.csv").write_bytes(writer.header() + writer.encode(Chunk(rows), scored))
    again = [row.values for row in open_table(tmp_path / "out.csv").rows()]
    assert [row["text"] for row in again] == ["one\rtwo", "plain"]


SPREADSHEETS = {
    "sep line": b"sep=;\r\nimage;text\r\na.png;A cup, red\r\n",
    "sep line and mark": b"\xef\xbb\xbfsep=\t\nimage\ttext\na.png\tA cup, red\n",
    "tabs": b"image\ttext\na.png\tA cup, red\n",
    "bars": b"image|text\na.png|A cup, red\n",
    "trailing columns": b'image,text,,\r\na.png,"A cup, red",,\r\n,,,\r\n',
    "lone carriage returns": b'image,text\ra.png,"A cup, red"\r',
}


@pytest.mark.parametrize("content", SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_what_spreadsheets_write_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert values(path) == [{"image": "a.png", "text": "A cup, red"}]


def test_a_value_below_no_name_is_not_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "image,text,\na.png,a,\nb.png,b,c\n")
    with pytest.raises(TableError, match=r"line 3 of .* has a value in a column without a name"):
        open_table(path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_byte_order_mark_is_named(tmp_path: Path, name: str, encoding: str) -> None:
    with pytest.raises(TableError, match="UTF-16"):
        open_table(write(tmp_path / name, '{"a": "b"}\n', encoding))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_table_of_too_many_columns_is_refused(tmp_path: Path, name: str) -> None:
    names = [f"c{i}" for i in range(100_000)]
    line = ",".join(names) if name == "a.csv" else json.dumps(dict.fromkeys(names))
    with pytest.raises(TableError, match=r"has 100,000 columns; the limit is 10,000"):
        open_table(write(tmp_path / name, f"{line}\n"))
