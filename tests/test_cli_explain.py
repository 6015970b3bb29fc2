"""`descscore explain`: what it writes where, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.command_line import Done, command_line
from tests.explanations_made import PHOTOS, FakeExplainer
from tests.html_read import read

COFFEE = PHOTOS / "coffee.jpg"
TEXT = "A red cup on a table."


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(capsys, "explain")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Puts a metric without a model in place of the real one; the options it was made with."""
    made: list[dict[str, Any]] = []

    class Recorded(FakeExplainer):
        def __init__(self, checkpoint: str | None, **options: Any) -> None:
            super().__init__()
            made.append({"checkpoint": checkpoint, **options})

    monkeypatch.setattr("descscore.metric.DescriptionScore", Recorded)
    return made


# With a real model.


def test_json_is_what_python_gives(run: Run, tiny_clip: Path) -> None:
    from descscore.metric import DescriptionScore

    done = run(COFFEE, TEXT, "--json", "--checkpoint", tiny_clip, "--n-steps", 5)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    expected = DescriptionScore(tiny_clip).explain(COFFEE, TEXT, n_steps=5)
    assert found["text"] == TEXT
    assert [word["text"] for word in found["words"]] == TEXT.replace(".", " .").split()
    np.testing.assert_allclose(found["of_words"]["total"], expected.of_words.total, rtol=1e-5)
    assert found["of_words"]["through"] is None
    assert found["n_steps"] == 5


def test_page_of_mini_shows_three_rows(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    done = run(COFFEE, TEXT, "-o", out, "--n-steps", 5)
    assert done.code == 0, done.err
    assert done.out == ""
    assert f"the explanation is in {out}" in done.err
    page = read(out.read_text("utf-8"))
    assert len(page.all("p", "dse-words")) == 3
    assert page.all("img")[0].attributes["alt"] == TEXT


def test_terminal_view_of_a_purpose_needs_no_image(run: Run) -> None:
    done = run("--target", "purpose", "Courtesy of a bar.", "--n-steps", 5)
    assert done.code == 0, done.err
    assert "Log-odds of a description" in done.out
    assert "\x1b" not in done.out


def test_table_becomes_a_folder(run: Run, tmp_path: Path, tiny_clip: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    pairs.write_text("image,text\nred.png,a red wall\ngone.png,a wall\n", encoding="utf-8")
    out = tmp_path / "out"
    options = ("--pairs", pairs, "-o", out, "--checkpoint", tiny_clip, "--n-steps", 5)
    done = run(*options, "--json")
    assert done.code == 1
    summary = json.loads(done.out)
    assert (summary["explained"], summary["failed"]) == (1, 1)
    assert "gone.png" in summary["first_error"]
    page = read((out / "index.html").read_text("utf-8"))
    assert [article.attributes["id"] for article in page.all("article")] == ["pair-1", "pair-2"]
    assert run(*options).code == 2  # it is there already
    assert run(*options, "--resume").code == 1


# Without a model.


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("suffix", [".html", ".json", ".png"])
def test_files_are_replaced_only_when_asked(run: Run, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    assert run(COFFEE, TEXT, "-o", out).code == 0
    content = out.read_bytes()
    done = run(COFFEE, TEXT, "-o", out)
    assert (done.code, out.read_bytes()) == (2, content)
    assert "--overwrite" in done.err
    assert run(COFFEE, TEXT, "-o", out, "--overwrite").code == 0


@pytest.mark.usefixtures("fake")
def test_quiet_says_nothing_of_what_went_well(run: Run, tmp_path: Path) -> None:
    done = run(COFFEE, TEXT, "-o", tmp_path / "out.html", "-q")
    assert done == Done(0, "", "")


def test_options_reach_the_metric(run: Run, fake: list[dict[str, Any]]) -> None:
    options = ("--checkpoint", "x/y", "--revision", "r", "--local-files-only", "--prefix", "p ")
    done = run(
        COFFEE,
        TEXT,
        "--json",
        *options,
        "--device",
        "cpu",
        "--baseline",
        "zero",
        "--n-steps",
        7,
    )
    assert done.code == 0, done.err
    (made,) = fake
    assert made["checkpoint"] == "x/y"
    assert made["revision"] == "r"
    assert made["local_files_only"] is True
    assert made["prefix"] == "p "
    assert made["device"] == "cpu"
    found = json.loads(done.out)
    assert (found["baseline"], found["n_steps"]) == ("zero", 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing is given; name an image and a text"),
        ((TEXT,), f"given: {TEXT!r}; name an image and a text in quotes"),
        ((COFFEE,), "--target purpose"),
        ((COFFEE, "A", "red"), "'A', 'red'; name an image and a text in quotes"),
        ((COFFEE, TEXT, "-o", "out.pdf"), ".html, .json, .png"),
        (
            (COFFEE, TEXT, "-o", "no/such/out.html"),
            "the folder no/such for the output does not exist; create it",
        ),
        ((COFFEE, TEXT, "--overwrite"), "--overwrite needs an output file"),
        ((COFFEE, TEXT, "--resume"), "--resume is for tables"),
        ((COFFEE, TEXT, "--images", "x"), "--images is for tables"),
        ((COFFEE, TEXT, "--order", "score"), "--order is for tables"),
        (("--pairs", "x.csv"), "name it with -o DIR"),
        (("--pairs", "x.csv", TEXT, "-o", "x"), "both given"),
        (("--pairs", "x.csv", "-o", "x"), "there is no file x.csv"),
        ((COFFEE, TEXT, "--n-steps", 0), "--n-steps"),
        ((COFFEE, TEXT, "--target", "colour"), "--target"),
    ],
)
def test_wrong_usage_is_one_line_before_a_model_is_loaded(
    run: Run, fake: list[dict[str, Any]], arguments: tuple[Any, ...], message: str
) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert fake == []


@pytest.mark.usefixtures("fake")
def test_page_of_a_table_is_ordered_as_asked(run: Run, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image,text\na.jpg,a long description\nb.jpg,a\n", encoding="utf-8")
    options = ("--pairs", pairs, "-o", tmp_path / "out", "--order")
    assert run(*options, "score").code == 0
    page = read((tmp_path / "out" / "index.html").read_text("utf-8"))
    assert [heading.text for heading in page.all("h2")][1:] == ["Row 2: b.jpg", "Row 1: a.jpg"]
    done = run(*options, "colour", "--resume")
    assert (done.code, "--order" in done.err) == (2, True)


def test_table_is_not_explained_into_a_file(
    run: Run, tmp_path: Path, fake: list[dict[str, Any]]
) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image,text\na.jpg,a dog\n", encoding="utf-8")
    done = run("--pairs", pairs, "-o", tmp_path / "e.html")
    assert (done.code, done.out) == (2, "")
    assert "explanations go to a folder" in done.err
    assert fake == []
    assert list(tmp_path.iterdir()) == [pairs]


@pytest.mark.usefixtures("fake")
def test_pair_that_fails_is_an_error_without_its_place(run: Run, tmp_path: Path) -> None:
    done = run("missing.jpg", TEXT, "-o", tmp_path / "out.html")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: image ('missing.jpg') does not exist; check the path\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fake")
def test_table_of_which_nothing_is_explained_is_an_error(run: Run, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image,text\na.jpg,bad\n", encoding="utf-8")
    done = run("--pairs", pairs, "-o", tmp_path / "out")
    assert done.code == 2
    assert "nothing was explained: all 1 rows failed, the first: text is bad" in done.err


def test_interruption_says_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "descscore.metric.DescriptionScore", lambda *_, **__: FakeExplainer(stop_after=1)
    )
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image,text\n" + "a.jpg,a dog\n" * 20, encoding="utf-8")
    done = run("--pairs", pairs, "-o", tmp_path / "out")
    assert done.code == 130
    assert "interrupted after 16 of 20 rows; repeat the command with --resume" in done.err


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(("limit", "noted"), [(0.0, True), (1.0, False)])
def test_a_large_error_is_noted_with_the_remedy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float, noted: bool
) -> None:
    monkeypatch.setattr("descscore.cli.explain._LARGE_ERROR", limit)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"image,text\n{COFFEE},{TEXT}\n")
    done = run("--pairs", pairs, "-o", tmp_path / "out")
    assert ("Note: the largest error is above" in done.err) == noted
