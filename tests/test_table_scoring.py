"""Tables are scored as streams; interrupted runs end as uninterrupted ones do."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from descscore.errors import DescscoreError, OptionError, TableError
from descscore.tables.scoring import ScoreOptions, Summary, score_table
from tests.fake_metric import FakeMetric

ROWS = 100
CHUNK = 8
FORMATS = ["csv", "tsv", "jsonl", "parquet"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A csv table with texts that take quoting, in which some rows fail and some are cut."""
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "text"])
        for i in range(ROWS):
            image = f"missing{i}.jpg" if i % 10 == 3 else f"{i % 7}.jpg"
            text = "bad" if i % 25 == 5 else f'{"long " * (i % 3)}text, "é"\n{i}'
            writer.writerow([f"{i:03}", image, text])
    return path


def score(pairs: Path, out: Path, metric: Any = None, **options: Any) -> Summary:
    names = {field.name for field in fields(ScoreOptions)}
    how = ScoreOptions(**{name: options.pop(name) for name in names & options.keys()})
    options = {"chunk": CHUNK, "how": how} | options
    return score_table(lambda: metric or FakeMetric(), pairs, out, **options)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


class Stop(BaseException):
    """Ends a run from inside, as a signal would."""


def stopping_after(rows: int):
    def progress(done: int, total: int) -> None:
        if done >= rows:
            raise Stop

    return progress


@pytest.mark.parametrize("format_", FORMATS)
def test_input_columns_are_kept_in_order_and_three_are_added(
    pairs: Path, tmp_path: Path, format_: str
) -> None:
    out = tmp_path / f"out.{format_}"
    score(pairs, out)
    rows = read(out)
    assert [list(row) for row in rows] == [
        ["id", "image", "text", "score", "truncated", "error"]
    ] * ROWS
    original = read(pairs)
    assert [{name: row[name] for name in original[0]} for row in rows] == original


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_scores_are_the_metrics_and_failed_rows_have_none(
    pairs: Path, tmp_path: Path, format_: str
) -> None:
    out = tmp_path / f"out.{format_}"
    score(pairs, out, chunk=ROWS)
    given = read(pairs)
    expected = FakeMetric()([row["image"] for row in given], [row["text"] for row in given])
    for row, value, error in zip(read(out), expected.scores, expected.errors, strict=True):
        assert (row["score"] is None) == np.isnan(value) == (row["error"] is not None)
        assert row["score"] is None or np.float32(row["score"]) == value
        assert row["truncated"] is row["text"].startswith("long")
        assert error is None or row["error"] in {
            f"image ('{row['image']}') does not exist; check the path",
            "text is bad; give a good one",
        }


def test_missing_scores_are_empty_in_csv(pairs: Path, tmp_path: Path) -> None:
    score(pairs, tmp_path / "out.csv")
    row = read(tmp_path / "out.csv")[3]
    assert (row["score"], row["truncated"]) == ("", "false")
    assert row["error"].startswith("image ('missing3.jpg') does not exist")


def test_scores_have_the_digits_of_float32_and_no_more(pairs: Path, tmp_path: Path) -> None:
    score(pairs, tmp_path / "out.csv")
    scores = [row["score"] for row in read(tmp_path / "out.csv") if row["score"]]
    assert scores == [str(np.float32(text)) for text in scores]


def test_the_summary_covers_all_rows(pairs: Path, tmp_path: Path) -> None:
    summary = score(pairs, tmp_path / "out.jsonl")
    rows = read(tmp_path / "out.jsonl")
    scores = [row["score"] for row in rows if row["score"] is not None]
    assert (summary.n, summary.scored, summary.failed) == (ROWS, len(scores), ROWS - len(scores))
    assert summary.truncated == sum(row["truncated"] for row in rows)
    assert summary.mean == pytest.approx(statistics.mean(scores), abs=1e-12)
    assert summary.std == pytest.approx(statistics.stdev(scores), abs=1e-12)
    assert (summary.min, summary.max) == (min(scores), max(scores))
    assert summary.signature == "fake"
    assert summary.first_error == next(row["error"] for row in rows if row["error"])


def test_a_summary_without_scores_has_no_figures(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("image,text\nmissing.jpg,a\n")
    summary = score(path, tmp_path / "out.csv")
    assert (summary.n, summary.scored, summary.failed) == (1, 0, 1)
    assert (summary.mean, summary.std, summary.min, summary.max) == (None, None, None, None)


def test_rows_are_scored_chunk_by_chunk_and_appear_whole(pairs: Path, tmp_path: Path) -> None:
    out, metric, seen = tmp_path / "out.jsonl", FakeMetric(), []
    score(
        pairs,
        out,
        metric,
        progress=lambda done, total: seen.append((done, total, out.exists())),
    )
    assert metric.calls == [CHUNK] * (ROWS // CHUNK) + [ROWS % CHUNK]
    assert seen == [(done, ROWS, False) for done in [*range(0, ROWS, CHUNK), ROWS]]
    assert sorted(files(tmp_path)) == ["out.jsonl", "out.jsonl.run.jsonl", "pairs.csv"]


def test_broken_lines_and_values_fail_alone(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"image": "a.jpg", "text": "a"}\nbroken\n{"image": "a.jpg", "text": ["a", "b"]}\n'
        '{"image": "a.jpg"}\n{"image": null, "text": "a"}\n'
    )
    summary = score(path, tmp_path / "out.jsonl")
    rows = read(tmp_path / "out.jsonl")
    assert (summary.scored, summary.failed) == (1, 4)
    assert [row["score"] is None for row in rows] == [False, True, True, True, True]
    assert rows[1]["error"].startswith("line 2 is not JSON")
    assert rows[2]["error"] == "column 'text' contains ['a', 'b'], not text"
    assert rows[3]["error"] == "column 'text' contains None, not text"
    assert rows[4]["error"] == "column 'image' names no image (None)"


@pytest.mark.parametrize("format_", FORMATS)
def test_a_column_of_an_added_name_is_refused_and_can_be_evaded(
    tmp_path: Path, format_: str
) -> None:
    path, out = tmp_path / "pairs.csv", tmp_path / f"out.{format_}"
    path.write_text("image,text,score\na.jpg,a,5\n")
    with pytest.raises(TableError, match=r"already has a column 'score'.*`column_prefix`"):
        score(path, out)
    score(path, out, column_prefix="clip_")
    row = read(out)[0]
    assert row["score"] == "5"
    assert list(row)[3:] == ["clip_score", "clip_truncated", "clip_error"]


def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("file,alt\na.jpg,a\n")
    with pytest.raises(TableError, match=r"no column 'image'; it has 'file', 'alt': name"):
        score(path, tmp_path / "out.csv")
    assert score(path, tmp_path / "out.csv", image_column="file", text_column="alt").scored == 1


def test_coco_results_are_scored_by_pattern(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 42, "caption": "a"}]))
    options = {"images": tmp_path, "image_pattern": "{image_id:05d}.jpg"}
    assert score(path, tmp_path / "out.jsonl", **options).scored == 1
    assert read(tmp_path / "out.jsonl")[0]["image_id"] == 42


@pytest.mark.parametrize("format_", FORMATS)
def test_no_output_is_left_where_nothing_was_scored(tmp_path: Path, format_: str) -> None:
    (tmp_path / "run").mkdir()
    path, out = tmp_path / "pairs.csv", tmp_path / "run" / f"out.{format_}"
    path.write_text("image,text\nmissing.jpg,a\nmissing.jpg,b\n")
    score(path, out, chunk=1)
    assert files(out.parent) == {}


@pytest.mark.parametrize("format_", FORMATS)
def test_an_earlier_runs_output_stays_where_nothing_was_scored(
    pairs: Path, tmp_path: Path, format_: str
) -> None:
    out = tmp_path / f"out.{format_}"
    score(pairs, out)
    before = files(tmp_path)
    pairs.write_text("image,text\nmissing.jpg,a\n")
    for options in ({}, {"resume": True}):
        with pytest.raises(TableError):
            score(pairs, out, **options)
    assert files(tmp_path) == before | {"pairs.csv": pairs.read_bytes()}


def test_an_interrupted_run_without_a_score_yet_can_be_resumed(pairs: Path, tmp_path: Path) -> None:
    lines = [f"missing{i}.jpg,a" for i in range(CHUNK)]
    pairs.write_text("\n".join(["image,text", *lines, "a.jpg,a"]))
    with pytest.raises(Stop):
        score(pairs, tmp_path / "out.csv", progress=stopping_after(CHUNK))
    metric = FakeMetric()
    assert score(pairs, tmp_path / "out.csv", metric, resume=True).scored == 1
    assert metric.calls == [1]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Image,text", r"it has 'Image', 'text' \(did you mean 'Image'\?\): name the right ones"),
        ("image, text", r"it has 'image', ' text' \(did you mean ' text'\?\)"),
        ("file,words", r"it has 'file', 'words': name the right ones"),
    ],
)
def test_a_column_that_may_be_meant_is_named(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(f"{header}\na.jpg,a\n")
    with pytest.raises(TableError, match=message):
        score(path, tmp_path / "out.csv")


def test_a_table_with_semicolons_is_scored_and_written_with_commas(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('image;text\na.jpg;"a; b"\nb.jpg;c, d\n')
    assert score(path, tmp_path / "out.csv").scored == 2
    assert [(row["image"], row["text"]) for row in read(tmp_path / "out.csv")] == [
        ("a.jpg", "a; b"),
        ("b.jpg", "c, d"),
    ]


# An output that exists.


@pytest.mark.parametrize("format_", FORMATS)
def test_an_output_is_never_replaced_silently(pairs: Path, tmp_path: Path, format_: str) -> None:
    out = tmp_path / f"out.{format_}"
    out.write_text("precious")
    with pytest.raises(TableError, match=r"exists.*`resume`.*`overwrite`"):
        score(pairs, out)
    with pytest.raises(TableError, match=r"record of its run, is not beside it.*overwrite"):
        score(pairs, out, resume=True)
    assert out.read_text() == "precious"
    score(pairs, out, overwrite=True)
    assert len(read(out)) == ROWS


def test_the_input_is_never_the_output(pairs: Path) -> None:
    with pytest.raises(OptionError, match="is read, and writing"):
        score(pairs, pairs, overwrite=True)
    assert len(read(pairs)) == ROWS


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_record_never_replaces_the_input(tmp_path: Path, options: dict[str, bool]) -> None:
    table = tmp_path / "s.csv.run.jsonl"
    table.write_text('{"image": "a.png", "text": "A cup."}\n')
    with pytest.raises(OptionError, match="is read, and writing"):
        score(table, tmp_path / "s.csv", **options)
    assert files(tmp_path) == {table.name: b'{"image": "a.png", "text": "A cup."}\n'}


def test_a_file_with_a_records_name_that_is_none_stays(pairs: Path, tmp_path: Path) -> None:
    notes = tmp_path / "s.csv.run.jsonl"
    notes.write_text("my notes\n")
    with pytest.raises(TableError, match="is not the record of a run"):
        score(pairs, tmp_path / "s.csv", overwrite=True)
    assert notes.read_text() == "my notes\n"


@pytest.mark.parametrize("options", [{"resume": True}, {"overwrite": True}])
def test_a_second_writer_of_an_output_is_refused(
    pairs: Path, tmp_path: Path, options: dict[str, bool]
) -> None:
    def meanwhile(done: int, total: int) -> None:
        if done == 0:
            with pytest.raises(DescscoreError, match=r"another process writes .*out\.csv"):
                score(pairs, tmp_path / "out.csv", **options)

    score(pairs, tmp_path / "out.csv", progress=meanwhile, overwrite=True)
    assert len(read(tmp_path / "out.csv")) == ROWS
    assert sorted(files(tmp_path)) == ["out.csv", "out.csv.run.jsonl", "pairs.csv"]


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("no/out.csv", {}, TableError, "folder .*no for the output does not exist"),
        ("out.txt", {}, TableError, r"use \.csv, \.tsv, \.jsonl or \.parquet"),
        (".", {"overwrite": True}, TableError, "is a folder"),
        ("out.csv", {"resume": True, "overwrite": True}, OptionError, "give one of them"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(
    pairs: Path,
    tmp_path: Path,
    name: str,
    options: dict[str, bool],
    error: type[DescscoreError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        score(pairs, tmp_path / name, **options)


# Resuming.


@pytest.fixture
def whole(pairs: Path, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, bytes]:
    """What an uninterrupted run leaves."""
    folder = tmp_path / "whole"
    folder.mkdir()
    score(pairs, folder / f"out.{request.getfixturevalue('format_')}")
    return files(folder)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("rows", [0, CHUNK, 5 * CHUNK, ROWS])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    pairs: Path, tmp_path: Path, format_: str, rows: int, whole: dict[str, bytes]
) -> None:
    (tmp_path / "run").mkdir()
    out = tmp_path / "run" / f"out.{format_}"
    with pytest.raises(Stop):
        score(pairs, out, progress=stopping_after(rows))
    with pytest.raises(TableError, match="`resume`"):
        score(pairs, out)
    metric = FakeMetric()
    summary = score(pairs, out, metric, resume=True)
    assert sum(metric.calls) == ROWS - rows
    assert files(out.parent) == whole
    assert summary == score(pairs, tmp_path / f"again.{format_}")


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_parts_that_are_damaged_or_half_there_are_made_again(
    pairs: Path, tmp_path: Path, format_: str, whole: dict[str, bytes]
) -> None:
    (tmp_path / "run").mkdir()
    out = tmp_path / "run" / f"out.{format_}"
    with pytest.raises(Stop):
        score(pairs, out, progress=stopping_after(5 * CHUNK))
    parts = sorted(out.with_name(f"{out.name}.parts").glob("part-*"))
    entries = sorted(out.with_name(f"{out.name}.parts").glob("_part-*"))
    parts[0].write_bytes(parts[0].read_bytes()[:-1])
    parts[1].write_bytes(parts[1].read_bytes() + b"x")
    parts[2].unlink()
    entries[3].write_bytes(b'{"rows"')
    metric = FakeMetric()
    score(pairs, out, metric, resume=True)
    assert sum(metric.calls) == ROWS - CHUNK
    assert files(out.parent) == whole


def test_parts_of_another_run_are_refused(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(Stop):
        score(pairs, out, progress=stopping_after(CHUNK))
    (tmp_path / "out.csv.parts" / "part-000001-01234567.csv").touch()
    with pytest.raises(TableError, match=r"01234567\.csv is a part of another run"):
        score(pairs, out, resume=True)


@pytest.mark.parametrize("format_", FORMATS)
def test_resuming_without_an_earlier_run_begins(
    pairs: Path, tmp_path: Path, format_: str, whole: dict[str, bytes]
) -> None:
    (tmp_path / "run").mkdir()
    score(pairs, tmp_path / "run" / f"out.{format_}", resume=True)
    assert files(tmp_path / "run") == whole


@pytest.mark.parametrize("format_", FORMATS)
def test_resuming_a_finished_run_does_nothing_but_report(
    pairs: Path, tmp_path: Path, format_: str
) -> None:
    out, metric = tmp_path / f"out.{format_}", FakeMetric()
    summary = score(pairs, out)
    before = files(tmp_path)
    assert score(pairs, out, metric, resume=True) == summary
    assert metric.calls == []
    assert files(tmp_path) == before


@pytest.mark.parametrize("format_", FORMATS)
def test_a_finished_output_that_was_lost_is_made_again(
    pairs: Path, tmp_path: Path, format_: str, whole: dict[str, bytes]
) -> None:
    (tmp_path / "run").mkdir()
    out = tmp_path / "run" / f"out.{format_}"
    score(pairs, out)
    out.unlink()
    score(pairs, out, resume=True)
    assert files(out.parent) == whole


@pytest.mark.parametrize(
    "change", [lambda text: text + "more", lambda text: text.upper(), lambda text: text[:-9]]
)
def test_a_finished_output_that_was_edited_is_left_alone(
    pairs: Path, tmp_path: Path, change: Any
) -> None:
    out = tmp_path / "out.csv"
    score(pairs, out)
    edited = change(out.read_text())
    out.write_text(edited)
    with pytest.raises(TableError, match=r"changed after it was finished.*`overwrite`"):
        score(pairs, out, resume=True)
    assert out.read_text() == edited


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"metric": FakeMetric("checkpoint:a|scale:cosine|prefix:none|images:pillow-1")},
            "resumed: scale was clipscore and is now cosine, prefix was 'a\\|b' and is now none;",
        ),
        ({"text_column": "id"}, "resumed: text_column was text and is now id;"),
        (
            {"column_prefix": "x_"},
            r'resumed: added_columns was \["score", .*\] and is now \["x_score", .*\];',
        ),
        ({"images": "."}, "resumed: images was .* and is now"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    pairs: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    out = tmp_path / "out.jsonl"
    metric = FakeMetric("checkpoint:a|scale:clipscore|prefix:'a|b'|images:pillow-1")
    with pytest.raises(Stop):
        score(pairs, out, metric, progress=stopping_after(CHUNK))
    before = files(tmp_path / "out.jsonl.parts")
    with pytest.raises(TableError, match=message):
        score(pairs, out, **({"metric": metric} | change), resume=True)
    assert files(tmp_path / "out.jsonl.parts") == before


def test_resuming_with_a_changed_table_is_refused(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        score(pairs, tmp_path / "out.csv", progress=stopping_after(CHUNK))
    pairs.write_text(pairs.read_text() + "x,0.jpg,more\n")
    with pytest.raises(TableError, match="resumed: the table was changed;"):
        score(pairs, tmp_path / "out.csv", resume=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_a_killed_run_ends_as_an_uninterrupted_one(
    pairs: Path, tmp_path: Path, format_: str, whole: dict[str, bytes]
) -> None:
    (tmp_path / "run").mkdir()
    out = tmp_path / "run" / f"out.{format_}"
    program = (
        "import sys, time\n"
        "from descscore.tables.scoring import score_table\n"
        "from tests.fake_metric import FakeMetric\n"
        f"score_table(FakeMetric, sys.argv[1], sys.argv[2], chunk={CHUNK}, resume=True,\n"
        "            progress=lambda done, total: (print(done, flush=True), time.sleep(0.02)))\n"
    )
    command = [sys.executable, "-c", program, str(pairs), str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for _ in range(2):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline()  # it has begun
            time.sleep(random.uniform(0, 0.2))
            process.kill()
        assert process.returncode in {-signal.SIGKILL, 0}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert files(out.parent) == whole


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
@pytest.mark.parametrize("name", ["out.csv", "out.csv.run.jsonl"])
def test_what_a_killed_run_left_of_its_output_is_cleared(
    pairs: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "run").mkdir()
    program = (
        "import os, pathlib, signal, sys\n"
        "from descscore.writing import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as unfinished:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", program, str(tmp_path / "run" / name)]
    subprocess.run(command, env=environment, check=False)
    assert [path.suffix for path in (tmp_path / "run").iterdir()] == [".tmp"]
    score(pairs, tmp_path / "run" / "out.csv")
    assert files(tmp_path / "run").keys() == {"out.csv", "out.csv.run.jsonl"}


@pytest.mark.parametrize("linked", [False, True])
def test_an_image_is_never_overwritten(tmp_path: Path, linked: bool) -> None:
    image, out = tmp_path / "photo.csv", tmp_path / ("out.csv" if linked else "photo.csv")
    image.write_bytes(b"a photo")
    if linked:
        out.symlink_to(image)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image,text\nphoto.csv,a\n")
    with pytest.raises(OptionError, match="is read, and writing"):
        score(pairs, out, overwrite=True)
    assert image.read_bytes() == b"a photo"


def test_a_file_where_the_parts_would_go_is_left_alone(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv.parts").write_text("mine")
    with pytest.raises(TableError, match="is not a run's; move it away"):
        score(pairs, tmp_path / "out.csv")
    assert (tmp_path / "out.csv.parts").read_text() == "mine"
