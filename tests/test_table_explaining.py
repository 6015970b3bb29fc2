"""Tables are explained row by row; interrupted runs end as uninterrupted ones do."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descscore.errors import OptionError, TableError
from descscore.explain import stored
from descscore.explain.explanation import ExplainOptions
from descscore.explain.stored import LINES, from_dict, to_line, write_pages
from descscore.tables.explaining import ExplainSummary, explain_table
from tests import explanations_made as made
from tests.explanations_made import FakeExplainer
from tests.html_read import read

ROWS, CHUNK = 20, 4


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A table in which two images are missing and one text is bad."""
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text"])
        for i in range(ROWS):
            image = f"missing{i}.jpg" if i % 10 == 3 else f"{i}.jpg"
            writer.writerow([image, "bad" if i == 5 else f"text number {i}, naïve"])
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "explained"


def run(pairs: Path, out: Path, metric: Any = None, **options: Any) -> ExplainSummary:
    return explain_table(
        lambda: metric or FakeExplainer(), pairs, out, **({"chunk": CHUNK} | options)
    )


def test_every_row_is_explained_or_says_why_not(pairs: Path, out: Path) -> None:
    summary = run(pairs, out)
    records = [json.loads(line) for line in (out / "explanations.jsonl").read_bytes().splitlines()]
    assert len(records) == summary.n == ROWS
    failed = {row for row, record in enumerate(records) if record["error"] is not None}
    assert failed == {3, 5, 13}
    assert (summary.explained, summary.failed) == (ROWS - 3, 3)
    assert summary.first_error == "image ('missing3.jpg') does not exist; check the path"
    assert records[0]["words"][1]["text"] == "number"
    assert [record["row"] for record in records] == list(range(1, ROWS + 1))
    assert [record["image_name"] for record in records[2:5]] == ["2.jpg", "missing3.jpg", "4.jpg"]
    page = read((out / "index.html").read_text("utf-8"))
    assert len(page.all("article")) == ROWS
    assert summary.page == str(out / "index.html")
    assert summary.largest_error == pytest.approx(
        max(abs(r["relative_error"]) for r in records if r["relative_error"] is not None)
    )


def test_tables_and_images_on_another_file_system(pairs: Path, out: Path) -> None:
    pytest.importorskip("upath")
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/explained/pairs.csv", pairs.read_bytes())
    for i in range(ROWS):
        if i % 10 != 3:
            memory.pipe(f"/explained/{i}.jpg", f"{i}.jpg".encode())

    class ByBytes(FakeExplainer):
        def explain(self, images: Any, texts: Any, **how: Any) -> Any:
            return super().explain([image.decode() for image in images], texts, **how)

    summary = explain_table(ByBytes, "memory://explained/pairs.csv", out, chunk=CHUNK)
    assert (summary.n, summary.failed) == (ROWS, 3)
    assert "memory://explained/missing3.jpg') does not exist" in str(summary.first_error)
    records = [json.loads(line) for line in (out / "explanations.jsonl").read_bytes().splitlines()]
    assert [record["image_name"] for record in records[2:5]] == ["2.jpg", "missing3.jpg", "4.jpg"]


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(
    pairs: Path, out: Path, stop_after: int
) -> None:
    whole = out.with_name("whole")
    expected = run(pairs, whole)
    with pytest.raises(KeyboardInterrupt):
        run(pairs, out, FakeExplainer(stop_after=stop_after))
    assert not (out / "explanations.jsonl").exists()
    assert len(list(out.glob("explanations.jsonl.parts/part-*"))) == stop_after
    metric = FakeExplainer()
    summary = run(pairs, out, metric, resume=True)
    assert len(metric.calls) == ROWS // CHUNK - stop_after
    assert asdict(summary) == asdict(expected) | {"page": str(out / "index.html")}
    for name in ("explanations.jsonl", "index.html"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_finished_run_resumes_to_itself(pairs: Path, out: Path) -> None:
    first = run(pairs, out)
    (out / "index.html").unlink()
    metric = FakeExplainer()
    assert run(pairs, out, metric, resume=True) == first
    assert metric.calls == []
    assert (out / "index.html").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"how": ExplainOptions(n_steps=7)},
        {"how": ExplainOptions(target="purpose")},
        {"metric": FakeExplainer("another")},
    ],
    ids=["steps", "target", "metric"],
)
def test_run_is_not_resumed_with_other_settings(
    pairs: Path, out: Path, changed: dict[str, Any]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(pairs, out, FakeExplainer(stop_after=1))
    with pytest.raises(TableError, match="cannot be resumed"):
        run(pairs, out, resume=True, **changed)


def test_what_is_there_is_not_replaced_unasked(pairs: Path, out: Path) -> None:
    run(pairs, out)
    with pytest.raises(TableError, match="`resume`"):
        run(pairs, out)
    assert run(pairs, out, FakeExplainer("other"), overwrite=True).signature == "other"
    with pytest.raises(OptionError, match="give one of them"):
        run(pairs, out, overwrite=True, resume=True)
    with pytest.raises(TableError, match="is a file"):
        run(pairs, pairs)


@pytest.mark.parametrize("name", ["out.html", "out.JSON", "out.jsonl", "out.csv"])
def test_folder_named_like_a_file_is_refused_unless_it_is_there(pairs: Path, name: str) -> None:
    out = pairs.with_name(name)
    with pytest.raises(OptionError, match=r"name one, such as .*out$"):
        run(pairs, out)
    assert not out.exists()
    out.mkdir()
    assert run(pairs, out).n == ROWS


def test_folder_with_a_dot_in_its_name_is_no_file(pairs: Path) -> None:
    assert run(pairs, pairs.with_name("mini-v1.2")).n == ROWS


def test_purpose_needs_no_images(pairs: Path, out: Path) -> None:
    texts = pairs.with_name("texts.csv")
    texts.write_text("text\nA red cup.\nbad\n", encoding="utf-8")
    with pytest.raises(TableError, match="no column 'image'"):
        run(texts, out)
    assert run(texts, out, how=ExplainOptions(target="purpose")).explained == 1


def test_row_without_a_text_is_one_failure(pairs: Path, out: Path) -> None:
    table = pairs.with_name("pairs.jsonl")
    table.write_text('{"image": "a.jpg", "text": 3}\n{"image": "b.jpg", "text": "A dog."}\nno\n')
    summary = run(table, out)
    assert (summary.explained, summary.failed) == (1, 2)
    assert summary.first_error == "column 'text' contains 3, not text"


def test_table_of_one_row_names_it_too(pairs: Path, out: Path) -> None:
    pairs.write_text("image,text\nsub/a.jpg,A dog.\n", encoding="utf-8")
    run(pairs, out)
    page = read((out / "index.html").read_text("utf-8"))
    assert [heading.text for heading in page.all("h2")] == ["All pairs", "Row 1: sub/a.jpg"]


def test_long_tables_go_on_several_pages(
    pairs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PAIRS_ON_PAGE", 8)
    run(pairs, out)
    pages = [
        read((out / name).read_text("utf-8"))
        for name in ("index.html", "page-2.html", "page-3.html")
    ]
    assert [len(page.all("article")) for page in pages] == [8, 8, 4]
    assert pages[1].all("article")[0].attributes["id"] == "pair-9"
    for number, page in enumerate(pages, start=1):
        assert page.all("h1")[0].text == f"17 of 20 texts explained, page {number} of 3"
    links = [link.attributes["href"] for link in pages[1].all("a") if link.text.startswith("Page ")]
    assert links == ["index.html", "page-3.html"]
    (out / "page-about.html").write_text("by hand")
    pairs.write_text("image,text\n1.jpg,A dog.\n")
    run(pairs, out, overwrite=True)
    assert sorted(page.name for page in out.glob("*.html")) == ["index.html", "page-about.html"]


def shown_rows(page: Path) -> list[int]:
    """The numbers of the rows on a page, in its order, which is the overview's too."""
    found = read(page.read_text("utf-8"))
    rows = [article.attributes["id"].removeprefix("pair-") for article in found.all("article")]
    links = [link.attributes["href"] for link in found.all("a")]
    first = links.index(f"#pair-{rows[0]}")
    assert links[first : first + len(rows)] == [f"#pair-{row}" for row in rows]
    return [int(row) for row in rows]


def test_pages_by_score_begin_with_the_lowest_and_end_with_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PAIRS_ON_PAGE", 4)
    explanations = [
        made.explanation(score=0.7),
        made.explanation(score=0.2),
        made.failed(),
        made.explanation(score=0.0, value=-1.0),
        made.explanation(score=0.0, value=-2.0),
        made.failed(),
        made.explanation(score=0.9),
    ]
    lines = (to_line(row, each) for row, each in enumerate(explanations, start=1))
    (tmp_path / LINES).write_bytes(b"".join(lines))
    pages = write_pages(tmp_path, order="score")
    assert [shown_rows(page) for page in pages] == [[5, 4, 2, 1], [7, 3, 6]]
    captions = [read(page.read_text("utf-8")).all("caption")[0].text for page in pages]
    assert captions == ["Each text leads to its explanation, the lowest score first"] * 2
    pages = write_pages(tmp_path)
    assert [shown_rows(page) for page in pages] == [[1, 2, 3, 4], [5, 6, 7]]
    assert "first" not in read(pages[0].read_text("utf-8")).all("caption")[0].text


def test_pages_of_purposes_are_ordered_by_them_and_not_by_the_score(tmp_path: Path) -> None:
    values = [(0.1, 2.0), (0.2, -3.0), (0.3, 1.0)]
    lines = (
        to_line(row, made.explanation(target="purpose", score=score, value=value))
        for row, (score, value) in enumerate(values, start=1)
    )
    (tmp_path / LINES).write_bytes(b"".join(lines))
    (page,) = write_pages(tmp_path, order="score")
    assert shown_rows(page) == [2, 3, 1]
    caption = read(page.read_text("utf-8")).all("caption")[0].text
    assert caption.endswith("the lowest P(description) first")


def test_finished_run_is_put_in_another_order_without_explaining_again(
    pairs: Path, out: Path
) -> None:
    letters = [1, 3, 2]
    rows = "".join(f"{i}.jpg,{'a ' * n}\n" for i, n in enumerate(letters))
    pairs.write_text(f"image,text\n{rows}", encoding="utf-8")
    run(pairs, out)
    page, lines = out / "index.html", out / LINES
    by_table, explained = page.read_bytes(), lines.read_bytes()
    assert shown_rows(page) == [1, 2, 3]
    metric = FakeExplainer()
    run(pairs, out, metric, resume=True, order="score")
    assert shown_rows(page) == [2, 3, 1]
    run(pairs, out, metric, resume=True)
    assert page.read_bytes() == by_table
    assert lines.read_bytes() == explained
    assert metric.calls == []
    with pytest.raises(OptionError, match="order is 'scores'; did you mean 'score'"):
        run(pairs, out, order="scores")


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(pairs: Path, tmp_path: Path) -> None:
    def load() -> Any:
        raise AssertionError

    (tmp_path / "file").write_text("")
    with pytest.raises(TableError, match=r"the folder .*file cannot be written to .* the output"):
        explain_table(load, pairs, tmp_path / "file" / "explained" / "here")


def test_explanation_read_back_is_the_same() -> None:
    for explanation in (
        made.explanation(image=made.photo()),
        made.explanation(through=None, image_name="a/b.jpg"),
        made.failed(),
    ):
        line = to_line(7, explanation)
        assert json.loads(line)["row"] == 7
        again = from_dict(json.loads(line))
        assert to_line(7, again) == line
        assert again.image == explanation.image
        np.testing.assert_array_equal(again.of_words.total, explanation.of_words.total)
        assert again.of_words.total.dtype == np.float32
