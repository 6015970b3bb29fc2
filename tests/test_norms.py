"""Attributions against ratings of words: reading, correlating, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from scipy.stats import pearsonr
from typer.testing import CliRunner

from descscore.cli.norms import norms as command
from descscore.datasets.described_images import DescribedImage
from descscore.datasets.word_ratings import WordRatings, read_word_ratings
from descscore.errors import OptionError, PairingError, TableError
from descscore.evaluate.norms import correlate_norms, sample_texts, shared_words
from descscore.explain.explanation import Attributions, Explanation, Span
from tests.checkpoints_made import lora_checkpoint
from tests.conftest import ROOT


def explanation(words: list[tuple[str, float]], **other):
    """Of words with attributions, of which a quarter goes through the subspace."""
    spans, start = [], 0
    for word, _ in words:
        spans.append(Span(text=word, start=start, end=start + len(word)))
        start += len(word) + 1
    total = np.array([value for _, value in words], dtype=np.float32)
    of_words = Attributions(total=total, through=total / 4, around=total * 3 / 4)
    values = {
        "target": "score",
        "text": " ".join(word for word, _ in words),
        "image": None,
        "tokens": tuple(spans),
        "of_tokens": of_words,
        "words": tuple(spans),
        "of_words": of_words,
        "value": 1.0,
        "baseline_value": 0.0,
        "completeness_error": 0.0,
        "score": 1.0,
        "purpose": 0.5,
        "baseline": "padding",
        "n_steps": 50,
        "signature": "none",
    }
    return Explanation(**(values | other))


def rated(**of_word: float) -> WordRatings:
    return WordRatings(of_word=of_word, rows=len(of_word), expressions=0, senses=0, repeated=0)


RATINGS = rated(dog=4.9, idea=1.2, red=4.1, hope=1.5, beach=4.7, run=3.6, quiet=2.9)


def random_texts(count: int, seed: int = 0) -> list[Explanation]:
    draws = np.random.default_rng(seed)
    words = [*RATINGS.of_word, "of", "zyx"]
    return [
        explanation(
            [
                (word, RATINGS.of_word.get(word, 2) / 10 + float(draws.normal()))
                for word in draws.choice(words, draws.integers(2, 9))
            ]
        )
        for _ in range(count)
    ]


def occurrences(texts: list[Explanation]) -> list[tuple[int, str, float]]:
    return [
        (place, word.text, float(value))
        for place, text in enumerate(texts)
        for word, value in zip(text.words, text.of_words.total, strict=True)
        if word.text in RATINGS.of_word
    ]


def of_means(rows: list[tuple[int, str, float]]) -> float:
    by_word: dict[str, list[float]] = {}
    for _, word, value in rows:
        by_word.setdefault(word, []).append(value)
    x = [np.mean(values) for values in by_word.values()]
    found: Any = pearsonr(x, [RATINGS.of_word[word] for word in by_word])
    return found.statistic


# Correlations


def test_a_word_counts_once_with_its_mean() -> None:
    texts = random_texts(40)
    found = correlate_norms(texts, RATINGS, resamples=100)
    rows = occurrences(texts)
    assert found.total.value == pytest.approx(of_means(rows), abs=1e-6)
    assert (found.words, found.total.n) == (7, 7)
    assert found.occurrences == len(rows)
    assert found.texts == len({place for place, *_ in rows})
    assert found.unrated == sum(len(text.words) for text in texts) - len(rows)


def test_every_occurrence_counts_if_asked() -> None:
    texts = random_texts(40)
    found = correlate_norms(texts, RATINGS, every_occurrence=True, resamples=100)
    rows = occurrences(texts)
    expected = pearsonr([row[2] for row in rows], [RATINGS.of_word[row[1]] for row in rows])
    assert found.total.value == pytest.approx(expected[0], abs=1e-6)
    assert found.total.n == len(rows)


def test_interval_is_that_of_whole_texts_drawn_anew() -> None:
    texts = random_texts(60)
    rows = occurrences(texts)
    present = sorted({place for place, *_ in rows})
    draws = np.random.default_rng(5)
    resampled = []
    for _ in range(1500):
        drawn = [
            row for place in draws.choice(present, len(present)) for row in rows if row[0] == place
        ]
        resampled.append(of_means(drawn))
    low, high = np.percentile(resampled, [2.5, 97.5])
    found = correlate_norms(texts, RATINGS, resamples=10_000)
    assert (found.total.low, found.total.high) == pytest.approx((low, high), abs=0.04)
    # Drawing words rather than texts would give another interval.
    assert found.total.high - found.total.low > 0.1


def test_parts_are_correlated_too() -> None:
    texts = random_texts(30)
    found = correlate_norms(texts, RATINGS, resamples=200)
    # Proportional to the total, so the same correlations.
    assert found.through.value == pytest.approx(found.total.value, abs=1e-6)
    assert found.around.low == pytest.approx(found.total.low, abs=1e-6)
    without = [
        explanation(
            [("dog", 1.0), ("idea", 0.1), ("red", 0.4)],
            of_words=Attributions(total=np.ones(3, np.float32), through=None, around=None),
        )
    ]
    assert correlate_norms(without, RATINGS, resamples=100).through is None


def test_the_same_seed_gives_the_same_interval() -> None:
    texts = random_texts(30)
    one, same, other = (
        correlate_norms(texts, RATINGS, resamples=300, seed=seed) for seed in (1, 1, 2)
    )
    assert one == same
    assert (one.total.value, one.total.low) != (other.total.value, other.total.low)


def test_what_has_no_correlation_says_why() -> None:
    few = correlate_norms([explanation([("dog", 1.0), ("idea", 0.0)])], RATINGS)
    assert few.total.value is None
    assert "fewer than 3" in str(few.total.undefined)
    one_text = correlate_norms([explanation([("dog", 1.0), ("idea", 0.0), ("red", 0.6)])], RATINGS)
    assert one_text.total.value == pytest.approx(
        pearsonr([1.0, 0.0, 0.6], [4.9, 1.2, 4.1])[0], abs=1e-6
    )
    assert one_text.total.low is None
    assert "of one group" in str(one_text.total.undefined)


def test_failed_texts_are_left_out_and_none_is_an_error() -> None:
    texts = random_texts(10)
    failed = explanation([("dog", float("nan"))], error="text 3 is too long")
    assert correlate_norms([*texts, failed], RATINGS, resamples=100) == correlate_norms(
        texts, RATINGS, resamples=100
    )
    with pytest.raises(PairingError, match="none of the words of 1 explained texts"):
        correlate_norms([explanation([("xyz", 1.0)])], RATINGS)


# WordRatings


def ratings_file(folder: Path, *lines: str) -> Path:
    path = folder / "ratings.csv"
    path.write_text("\n".join(["word,rating", *lines]) + "\n", encoding="utf-8")
    return path


def test_ratings_of_single_words_are_kept(tmp_path: Path) -> None:
    found = read_word_ratings(
        ratings_file(
            tmp_path, "dog,4.5", "null,1.5", "nan,2", "Dog,3.5", "ice cream,5", "aim (target),6"
        )
    )
    assert dict(found.of_word) == {"dog": 4.0, "null": 1.5, "nan": 2.0}
    assert (found.rows, found.expressions, found.senses, found.repeated) == (6, 1, 1, 1)


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("dog", "dog"),
        ("DOG", "dog"),
        ("Dog's", "dog"),
        ("dog\u2019s", "dog"),
        ("'dog", "dog"),
        ("don't", "don't"),
        ("cafe\u0301", "caf\u00e9"),
        ("dogs", None),
        (".", None),
    ],
)
def test_words_are_looked_up_as_texts_spell_them(word: str, form: str | None) -> None:
    assert rated(**{"dog": 4.9, "don't": 1.4, "caf\u00e9": 4.8}).form(word) == form


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["dog,high"], "row 1 of .*: the rating of 'dog' is 'high'; give a number"),
        (["dog,nan"], "the rating of 'dog' is 'nan'"),
        (["ice cream,5"], "rates no single word"),
    ],
)
def test_bad_ratings_are_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_word_ratings(ratings_file(tmp_path, *lines))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("Word,Conc.M\ndog,4.9\n")
    with pytest.raises(TableError, match=r"has no column 'word'; it has 'Word', .*mean 'Word'"):
        read_word_ratings(path)


def test_published_norms_are_read(shared_data: Path) -> None:
    concreteness = read_word_ratings(shared_data / "norms" / "concreteness_brysbaert2014.csv")
    assert (concreteness.rows, concreteness.expressions) == (39_954, 2_896)
    assert concreteness.of_word["tush"] == 4.45
    assert {"none", "null"} & set(concreteness.of_word)
    imageability = read_word_ratings(shared_data / "norms" / "imageability_glasgow2019.csv")
    assert (imageability.rows, imageability.senses) == (5_553, 871)
    assert imageability.of_word["aim"] == 2.941


# Texts


def test_a_sample_is_drawn_by_seed() -> None:
    examples = [
        DescribedImage(id=f"{i}", image=f"{i}.jpg", description=f"d{i}", caption=f"c{i}")
        for i in range(30)
    ]
    first, second = sample_texts(examples, 10, seed=0), sample_texts(examples, 10, seed=0)
    assert first == second != sample_texts(examples, 10, seed=1)
    captions, descriptions = first
    assert len({str(example.image) for example in captions}) == 10
    assert captions != descriptions
    with pytest.raises(OptionError, match="31 captions cannot be drawn from 30"):
        sample_texts(examples, 31, seed=0)


def test_a_sample_has_texts_with_a_word_that_all_ratings_have(tmp_path: Path) -> None:
    for name, words in (("a", ("dog", "cat")), ("b", ("dog", "tree"))):
        (tmp_path / name).write_text("".join(["word,rating\n", *(f"{w},2\n" for w in words)]))
    ratings = [read_word_ratings(tmp_path / name) for name in "ab"]
    texts = ["A cat", "The dog's house", "A cat by a tree", "A DOG.", "Nothing"]
    examples = [
        DescribedImage(id=f"{i}", image=f"{i}.jpg", description=text, caption=text)
        for i, text in enumerate(texts)
    ]
    captions, descriptions = sample_texts(examples, 2, seed=0, ratings=ratings)
    assert [one.caption for one in captions] == ["The dog's house", "A DOG."]
    assert descriptions == captions


def test_words_that_all_ratings_have_are_counted_once(tmp_path: Path) -> None:
    for name, words in (("a", ("dog", "cat")), ("b", ("dog", "tree", "cat"))):
        (tmp_path / name).write_text("".join(["word,rating\n", *(f"{w},2\n" for w in words)]))
    ratings = [read_word_ratings(tmp_path / name) for name in "ab"]
    texts = [explanation([(word, 1.0) for word in ("Dog", "tree", "dog's", "cat")])] * 2
    assert shared_words(texts, ratings) == 2


# The command


@pytest.fixture(scope="module")
def checkpoint(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(lora_checkpoint(tmp_path_factory.mktemp("norms") / "checkpoint", tiny_clip))


def run(*arguments: str):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def test_the_command_prints_json_and_a_table(tmp_path: Path, checkpoint: str) -> None:
    path = ratings_file(tmp_path, "a,1.5", "cat,5", "the,1.4", "with,1.8", "cup,4.9", "coffee,5")
    photos = ROOT / "examples" / "photos"
    table = tmp_path / "texts.csv"
    table.write_text(
        "image,description,caption\n"
        f"{photos / 'chelsea.jpg'},a cat with the cup,the cat\n"
        f"{photos / 'coffee.jpg'},a cup with coffee,the coffee\n"
    )
    options = [
        *["--concadia", str(table), "--norms", f"concreteness={path}", "--sample", "2"],
        *["--checkpoint", checkpoint, "--resamples", "200", "--n-steps", "3"],
    ]
    done = run(*options, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    parts = found["norms"]["concreteness"]
    assert parts["total"]["n"] >= 3
    assert parts["total"]["low"] <= parts["total"]["value"] <= parts["total"]["high"]
    assert "explained:score" in found["signature"]
    shown = run(*options)
    total = next(line for line in shown.stdout.splitlines() if line.startswith("  total"))
    assert total.split()[-3:] == ["0.20", "0.26", "0.26"]  # the paper's, beside the result
    assert f"{parts['total']['value']:.2f}" in shown.stdout


def test_no_text_is_drawn_of_an_image_that_lacks_one(tmp_path: Path) -> None:
    entries = [
        {
            "filename": f"{i}.jpg",
            "split": "val",
            "description": {"raw": raw},
            "caption": {"raw": "c"},
        }
        for i, raw in enumerate(["a cat", None])
    ]
    (tmp_path / "wiki_split.json").write_text(json.dumps({"images": entries}))
    path = ratings_file(tmp_path, "cat,5")
    done = run("--concadia", str(tmp_path), "--norms", f"concreteness={path}", "--sample", "2")
    assert "2 captions cannot be drawn from 0 with a rated word" in str(done.exception)


@pytest.mark.parametrize(
    ("given", "message"),
    [(["ratings.csv"], "give NAME=FILE"), (["a=x.csv", "a=y.csv"], "names 'a' twice")],
)
def test_names_of_norms_are_checked(given: list[str], message: str) -> None:
    arguments = [part for value in given for part in ("--norms", value)]
    found = run("--concadia", "texts.csv", *arguments)
    assert isinstance(found.exception, OptionError)
    assert message in str(found.exception)
