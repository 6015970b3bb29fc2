"""Correlations with people's ratings, against scipy and the numbers that were published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, linregress, pearsonr, spearmanr

from descscore.datasets.kreiss2022 import read_kreiss2022
from descscore.datasets.rated_items import read_items
from descscore.datasets.ratings import Ratings, read_ratings, read_scores
from descscore.errors import OptionError, PairingError, TableError
from descscore.evaluate.human import human_ratings
from descscore.evaluate.paper import NONE, TABLE_2

RATINGS = """\
id,who,clear,true
a,blv,1,2
a,blv,3,2
b,blv,5,
c,blv,2,4
d,blv,4,5
a,sighted,2,1
b,sighted,4,3
c,sighted,3,2
d,sighted,5,4
"""
SCORES = {"a": 0.4, "b": 0.7, "c": 0.3, "d": 0.9}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(RATINGS)
    return path


def read(path: Path, **options):
    return read_ratings(path, group_column="who", questions=["clear", "true"], **options)


def test_published_clipscores_give_the_published_correlations(shared_data: Path):
    folder = shared_data / "kreiss2022"
    scores = read_scores(
        folder / "published_clipscores.csv", id_column="description_id", score_column="clipscore"
    )
    study = read_kreiss2022(folder)
    published = {
        (group, question): row.value
        for group, runs in TABLE_2.items()
        for question, row in runs[NONE].items()
    }
    result = human_ratings(
        scores, study.ratings, texts=study.items.texts, published=published, resamples=100
    )
    found = {(row.group, row.question): row for row in result.questions}
    expected = json.loads((folder / "expected_baseline.json").read_text())
    assert len(expected["rows"]) == len(found) == 11
    for row in expected["rows"]:
        ours = found[row["group"], row["dimension"]]
        assert ours.correlations["pearson"].value == pytest.approx(row["pearson"], abs=5e-4)
        assert ours.correlations["pearson"].n == expected["n_descriptions"] == 68
        assert ours.published == row["paper_table2"]
    assert sum(row.ratings for row in result.questions if row.group == "BLV") == 4 * 272
    assert result.unrated == ()


def test_means_of_an_items_ratings_are_correlated_by_group_and_question(table: Path):
    result = human_ratings(SCORES, read(table), resamples=50)
    rows = {(row.group, row.question): row for row in result.questions}
    assert list(rows) == [
        ("blv", "clear"),
        ("blv", "true"),
        ("sighted", "clear"),
        ("sighted", "true"),
    ]
    x, clear = [0.4, 0.7, 0.3, 0.9], [2, 5, 2, 4]
    assert rows["blv", "clear"].ratings == 5
    found = rows["blv", "clear"].correlations
    assert found["pearson"].value == pytest.approx(pearsonr(x, clear)[0])
    assert found["spearman"].value == pytest.approx(spearmanr(x, clear)[0])
    for kind in "bc":
        tau = kendalltau(x, clear, variant=kind)[0]
        assert found[f"kendall_{kind}"].value == pytest.approx(tau)
    # b's answer to "true" is missing: three items are left.
    true = rows["blv", "true"].correlations["pearson"]
    assert (true.n, true.value) == (3, pytest.approx(pearsonr([0.4, 0.3, 0.9], [2, 4, 5])[0]))


def test_length_is_held_fixed_as_by_correlating_residuals(table: Path):
    texts = {"a": "one", "b": "one two three", "c": "one two", "d": "one two three four five"}
    [row, *_] = human_ratings(SCORES, read(table), texts=texts, resamples=50).questions
    lengths, x, y = [1, 3, 2, 5], [0.4, 0.7, 0.3, 0.9], [2, 5, 2, 4]
    left = []
    for values in (x, y):
        line: Any = linregress(lengths, values)
        left.append(values - (line.intercept + line.slope * np.array(lengths)))
    assert row.given_length is not None
    assert row.given_length.value == pytest.approx(pearsonr(*left)[0])


def test_length_and_other_values_stand_beside_the_score(table: Path):
    texts = {"a": "one", "b": "one two three", "c": "one two", "d": "one two three four five"}
    purpose = {"a": 0.1, "b": 0.9, "c": 0.3, "d": 0.4}
    [row, *_] = human_ratings(
        SCORES, read(table), texts=texts, others={"purpose": purpose}, resamples=50
    ).questions
    clear, words = [2, 5, 2, 4], np.array([1, 3, 2, 5])
    assert list(row.others) == ["purpose", "words", "log words"]
    for name, values in (
        ("purpose", list(purpose.values())),
        ("words", words),
        ("log words", np.log(words)),
    ):
        expected = pearsonr(values, clear)[0]
        assert row.others[name].pearson.value == pytest.approx(expected)
        assert (row.others[name].given_length is None) == (name != "purpose")
    del purpose["d"]
    with pytest.raises(PairingError, match="1 of 4 rated ids have no purpose, the first: 'd'"):
        human_ratings(SCORES, read(table), others={"purpose": purpose})


def test_one_question_may_be_named_without_a_list(table: Path):
    ratings = read_ratings(table, questions="clear")
    assert set(ratings.questions) == {"clear"}
    with pytest.raises(TableError, match="has no column 'overall'"):
        read_ratings(table, questions="overall")


def test_images_of_items_are_relative_to_their_table_but_addresses_stay(tmp_path: Path):
    (tmp_path / "items.csv").write_text("id,image,text\na,a.png,x\nb,https://b.org/b.png,y\n")
    images = read_items(tmp_path / "items.csv").images
    assert images == {"a": str(tmp_path / "a.png"), "b": "https://b.org/b.png"}


def test_items_that_nobody_rated_are_named(table: Path):
    result = human_ratings(SCORES | {"e": 0.1}, read(table), resamples=50)
    assert (result.items, result.unrated) == (5, ("e",))
    assert result.questions == human_ratings(SCORES, read(table), resamples=50).questions


def test_the_work_grows_with_the_items_and_not_with_their_square():
    looked_up = 0

    class Id(str):
        def __hash__(self) -> int:
            nonlocal looked_up
            looked_up += 1
            return super().__hash__()

    ids = tuple(Id(i) for i in range(500))
    ratings = Ratings(
        items=ids[:400], groups=("all",) * 400, questions=("good",) * 400, values=np.arange(400.0)
    )
    scores = {item: float(item) for item in ids}
    looked_up = 0
    assert human_ratings(scores, ratings, resamples=1).unrated == ids[400:]
    assert looked_up < 20 * len(ids)


def test_a_bootstrap_over_clusters_is_wider_than_one_over_items():
    rng = np.random.default_rng(0)
    ids = [str(i) for i in range(60)]
    # Ten items of a cluster share their score and, nearly, their rating.
    scores = {item: float(np.sin(i // 10)) for i, item in enumerate(ids)}
    values = np.array([3 + np.cos(i // 10) + 0.01 * rng.normal() for i in range(60)])
    ratings = Ratings(items=tuple(ids), groups=("g",) * 60, questions=("q",) * 60, values=values)
    of_cluster = {item: str(i // 10) for i, item in enumerate(ids)}
    [by_item] = human_ratings(scores, ratings, resamples=500).questions
    [by_cluster] = human_ratings(scores, ratings, clusters=of_cluster, resamples=500).questions

    def width(row):
        return row.correlations["pearson"].high - row.correlations["pearson"].low

    assert by_item.correlations["pearson"].value == by_cluster.correlations["pearson"].value
    assert width(by_cluster) > 1.5 * width(by_item)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (dict.fromkeys(SCORES, 0.5), "all 4 scores are 0.5"),
        ({"a": 0.4}, "there is 1 item, fewer than 3"),
        ({"a": 0.4, "b": 0.1}, "there are 2 items, fewer than 3"),
    ],
)
def test_an_undefined_correlation_says_why(tmp_path: Path, scores: dict[str, float], reason: str):
    path = tmp_path / "ratings.csv"
    path.write_text("id,rating\n" + "".join(f"{item},{3}\n{item},{5}\n" for item in scores))
    [row] = human_ratings(scores, read_ratings(path), resamples=50).questions
    for found in row.correlations.values():
        assert (found.value, found.low, found.undefined) == (None, None, reason)


def test_constant_ratings_are_said(tmp_path: Path):
    path = tmp_path / "ratings.csv"
    path.write_text("id,rating\n" + "".join(f"{item},3\n" for item in SCORES))
    [row] = human_ratings(SCORES, read_ratings(path), resamples=50).questions
    assert row.correlations["pearson"].undefined == "all 4 ratings are 3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("a,blv,1", "a,blv,good"), r"row 1 of .* has 'good' in 'clear', which is not a number"),
        (("c,blv,2", "c,blv,6"), r"row 4 of .* has 6 in 'clear', but ratings range from 1 to 5"),
        (("c,blv,2", "c,blv,nan"), r"row 4 of .* has 'nan' in 'clear'"),
        (("c,blv,2", ",blv,2"), r"row 4 of .* has nothing in 'id'"),
        (("id,who,clear", "id,who,Clear"), r"no column 'clear'; .*mean 'Clear'"),
        (("id,who", "item,who"), r"no column 'id'; it has 'item', 'who', 'clear', 'true'"),
        (("id,who", "id,group"), r"no column 'who'"),
    ],
)
def test_malformed_ratings_are_refused(table: Path, change: tuple[str, str], message: str):
    table.write_text(table.read_text().replace(*change))
    with pytest.raises(TableError, match=message):
        read(table)


def test_another_scale_is_taken_when_it_is_named(table: Path):
    table.write_text(table.read_text().replace("c,blv,2", "c,blv,6"))
    assert 6 in read(table, highest=7).values
    with pytest.raises(OptionError, match="from 7 to 7"):
        read(table, lowest=7, highest=7)


def test_ratings_without_an_answer_are_refused(tmp_path: Path):
    path = tmp_path / "ratings.csv"
    path.write_text("id,rating\na,\n")
    with pytest.raises(TableError, match="has no rating in rating"):
        read_ratings(path)


def test_ids_that_do_not_fit_are_refused(table: Path):
    with pytest.raises(PairingError, match="1 of 4 rated ids have no score, the first: 'd'"):
        human_ratings({i: s for i, s in SCORES.items() if i != "d"}, read(table))
    with pytest.raises(PairingError, match="no text, the first: 'a'"):
        human_ratings(SCORES, read(table), texts={"b": "", "c": "", "d": ""})
    with pytest.raises(PairingError, match="the score of 'b' is nan"):
        human_ratings(SCORES | {"b": float("nan")}, read(table))
    with pytest.raises(PairingError, match="no scores"):
        human_ratings({}, read(table))


def test_an_id_that_comes_twice_is_refused(tmp_path: Path):
    path = tmp_path / "scores.csv"
    path.write_text("id,score\na,1\nb,2\na,3\n")
    with pytest.raises(TableError, match="id 'a' twice, in rows 1 and 3"):
        read_scores(path)


@pytest.mark.parametrize("value", ["", "high", "nan", "inf"])
def test_a_score_that_is_no_number_is_refused(tmp_path: Path, value: str):
    path = tmp_path / "scores.csv"
    path.write_text(f"id,score\na,1\nb,{value}\n")
    with pytest.raises(
        TableError, match=r"item 'b' of .* (has no score|in 'score', which is not a number)"
    ):
        read_scores(path)


def test_a_study_without_its_files_names_where_they_are(tmp_path: Path):
    with pytest.raises(OptionError, match=r"github\.com/elisakreiss"):
        read_kreiss2022(tmp_path / "nowhere")
    with pytest.raises(TableError, match=r"no descriptions\.csv.*github\.com/elisakreiss"):
        read_kreiss2022(tmp_path)


def test_decimal_commas_are_read_in_a_table_with_semicolons_only(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("id;clear\nx;3,5\ny;2\n")
    assert read_ratings(path, questions="clear").values.tolist() == [3.5, 2.0]
    path.write_text('id,clear\nx,"3,5"\n')
    with pytest.raises(TableError, match="'3,5' in 'clear', which is not a number"):
        read_ratings(path, questions="clear")
