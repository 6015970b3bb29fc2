"""`descscore evaluate human` and `benchmark`: what they print, and what they refuse."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from scipy.stats import pearsonr

from descscore import DescriptionScore
from tests import benchmarks_made as made
from tests.command_line import command_line

PHOTOS = sorted((Path(__file__).parents[1] / "examples" / "photos").glob("*.jpg"))
TEXTS = ["a dog", "two cats on a sofa", "an old clock", "noise", "grey"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    return command_line(capsys, "evaluate")


def write(path: Path, *rows: list[object]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Four images with a text each, ratings of them, and one item that nobody rated."""
    for name, photo in zip("abcde", [*PHOTOS, PHOTOS[0]], strict=True):
        shutil.copy(photo, tmp_path / f"{name}.jpg")
    items = [[name, f"{name}.jpg", text] for name, text in zip("abcde", TEXTS, strict=True)]
    write(tmp_path / "items.csv", ["id", "image", "text"], *items)
    ratings = [["a", 1], ["a", 2], ["b", 4], ["c", 3], ["d", 5]]
    write(tmp_path / "ratings.csv", ["id", "rating"], *ratings)
    write(tmp_path / "scores.csv", ["id", "score"], *[[n, i] for i, n in enumerate("abcde")])
    return tmp_path


def test_scores_of_a_checkpoint_are_correlated_with_ratings(run, files: Path):
    given = ("--ratings", files / "ratings.csv", "--items", files / "items.csv")
    options = ("--resamples", 100)
    done = run("human", *given, *options, "--json")
    assert done.code == 0
    result = json.loads(done.out)
    images = [str(files / f"{name}.jpg") for name in "abcd"]
    scores = DescriptionScore()(images, TEXTS[:4]).scores
    [row] = result["questions"]
    pearson = row["correlations"]["pearson"]
    assert pearson["value"] == pytest.approx(pearsonr(scores, [1.5, 4, 3, 5])[0], abs=1e-5)
    assert (pearson["n"], result["unrated"]) == (4, ["e"])
    assert "1 of 5 ids have no rating and are skipped, the first: 'e'" in done.err
    assert "scale:clipscore" in result["signature"]
    table = run("human", *given, *options)
    assert f"{pearson['value']:.2f} [" in table.out


def test_given_scores_need_no_checkpoint(run, files: Path):
    done = run(
        *("human", "--ratings", files / "ratings.csv", "--scores", files / "scores.csv"),
        *("--resamples", 100, "--json"),
    )
    result = json.loads(done.out)
    expected = pearsonr([0, 1, 2, 3], [1.5, 4, 3, 5])[0]
    assert result["questions"][0]["correlations"]["pearson"]["value"] == pytest.approx(expected)
    assert (result["signature"], result["questions"][0]["given_length"]) == (None, None)


def test_an_undefined_correlation_is_shown_and_said(run, files: Path):
    write(files / "scores.csv", ["id", "score"], *[[name, 0.5] for name in "abcd"])
    given = ("human", "--ratings", files / "ratings.csv", "--scores", files / "scores.csv")
    done = run(*given)
    assert done.code == 0
    assert "undefined" in done.out
    assert "all, rating: all 4 scores are 0.5" in done.err
    assert "NaN" not in run(*given, "--json").out


def test_the_kreiss2022_table_stands_beside_the_papers(run, shared_data: Path):
    folder = shared_data / "kreiss2022"
    given = ("--scores", folder / "published_clipscores.csv", "--score-column", "clipscore")
    done = run("human", "--kreiss2022", folder, *given, "--by-image", "--resamples", 100)
    assert "Zur et al. 2024, Table 2, no tuning" in done.out
    lines = {line.split()[0]: line for line in reversed(done.out.splitlines()) if line.split()}
    assert lines["overall"].split()[1:4] == ["score", "68", "0.07"]
    assert lines["overall"].split()[-1] == "0.08"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --kreiss2022 DIR or --ratings FILE"),
        (["--kreiss2022", ".", "--ratings", "x.csv"], "give either"),
        (["--kreiss2022", ".", "--question", "x"], "names its own files and columns"),
        (["--kreiss2022", "nowhere"], "the folder 'nowhere' does not exist"),
        (["--ratings", "ratings.csv"], "needs --items FILE to score, or --scores FILE"),
        (["--ratings", "no.csv", "--scores", "scores.csv"], "there is no file no.csv"),
        (
            ["--ratings", "ratings.csv", "--scores", "scores.csv", "--by-image"],
            "--by-image needs --items",
        ),
        (
            ["--ratings", "ratings.csv", "--scores", "scores.csv", "--score-column", "x"],
            "no column 'x'; it has 'id', 'score'",
        ),
        (
            ["--ratings", "ratings.csv", "--items", "items.csv", "--images", "gone"],
            "the folder of images 'gone' does not exist",
        ),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_do(
    run, files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
):
    monkeypatch.chdir(files)
    done = run("human", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_a_benchmark_is_run_from_its_files(run, tmp_path: Path):
    made.flickr8k(tmp_path)
    for n, path in enumerate(sorted((tmp_path / "Images").glob("*.jpg"))):
        shutil.copy(PHOTOS[n % len(PHOTOS)], path)
    given = ("benchmark", "flickr8k-expert", "--data", tmp_path)
    done = run(*given, "--references", "--resamples", 100, "--json")
    result = json.loads(done.out)
    assert [(m["name"], m["references"]) for m in result["measures"]] == [
        ("tau_c", False),
        ("tau_b", False),
        ("tau_c", True),
        ("tau_b", True),
    ]
    assert "6 captions skipped" in done.err
    table = run(*given, "--resamples", 100).out
    assert f"{100 * result['measures'][0]['estimate']['value']:.1f} [" in table
    assert "51.2" in table
    assert "Hessel et al. 2021, Table 1" in table


def test_a_benchmark_without_its_files_is_one_line(run, tmp_path: Path):
    done = run("benchmark", "foil", "--data", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "https://foilunitn.github.io/" in done.err
    assert len(done.err.splitlines()) == 1
