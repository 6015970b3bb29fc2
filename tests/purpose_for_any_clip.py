"""What `mini`'s purpose adds to the published CLIPScores of ViT-B/32, with its controls.

The scores are those of Hessel et al.'s program, published with Concadia and Kreiss et al. 2022a;
no other CLIP is run. `python -m tests.purpose_for_any_clip DATA` renews the stored table, and the
one in docs/scores.md, after a new reader is shipped.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from descscore import DescriptionScore
from descscore.evaluate.correlations import correlation, partial_correlation

STORED = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).parents[1] / "docs" / "scores.md"
WEIGHTS = (0.0, 0.02, 0.05, 0.1)
_QUESTIONS = {"overall": "q_overall", "imaginability": "q_reconstructivity"}


def measure(data: Path) -> dict[str, Any]:
    """The table: a row per score, with the identity of the reader."""
    reader = DescriptionScore("mini")
    pairs, rated = _pairs(data / "concadia-val200"), _rated(data / "kreiss2022")
    sides = [pairs.description, pairs.caption, rated.description]
    purpose = [_logit(reader.purpose(list(texts))) for texts in sides]
    published = [pairs.description_clipscore, pairs.caption_clipscore, rated.clipscore]
    lengths = [texts.str.split().str.len() for texts in sides]
    classifier = _tfidf(data / "concadia-test-texts.csv.gz")
    rows = {
        score_name(weight): [
            score + weight * logit for score, logit in zip(published, purpose, strict=True)
        ]
        for weight in WEIGHTS
    }
    rows["purpose alone"] = purpose
    rows["length in words"] = lengths
    rows["TF-IDF"] = [classifier.decision_function(texts) for texts in sides]
    return {
        "reader": reader.checkpoint.identity,
        "rows": {name: _row(scores, rated, lengths[2]) for name, scores in rows.items()},
    }


def score_name(weight: float) -> str:
    """A row's name."""
    return f"clipscore + {weight} · logit(purpose)" if weight else "clipscore"


def as_markdown(table: dict[str, Any]) -> str:
    """The table as the docs show it."""
    lines = [
        "| score | preference | BLV overall r | given length | BLV imaginability r | given "
        "length |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in table["rows"].items():
        cells = [f"{row['preference']:.3f}"]
        for question in _QUESTIONS:
            for value in (row[question], row[f"{question} given length"]):
                cells.append("" if value is None else "{:.3f} [{:.2f}, {:.2f}]".format(*value))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str, table: dict[str, Any]) -> str:
    """A page with the table in its place."""
    before, rest = page.split("<!-- purpose for any clip -->")
    after = rest.partition("<!-- end -->")[2]
    shown = as_markdown(table)
    return f"{before}<!-- purpose for any clip -->\n\n{shown}\n\n<!-- end -->{after}"


def _row(scores: list[Any], rated: pd.DataFrame, words: pd.Series) -> dict[str, Any]:
    descriptions, captions, of_rated = (np.asarray(side, dtype=np.float64) for side in scores)
    row: dict[str, Any] = {"preference": float(np.mean(descriptions > captions))}
    for question in _QUESTIONS:
        means, length = (np.asarray(rated[question]), words.to_numpy(np.float64))
        groups = rated.img_id.to_numpy()
        plain = correlation(of_rated, means, groups=groups)
        given = partial_correlation(of_rated, means, length, groups=groups)
        row[question] = [plain.value, plain.low, plain.high]
        defined = given.value is not None
        row[f"{question} given length"] = [given.value, given.low, given.high] if defined else None
    return row


def _logit(probability: np.ndarray) -> np.ndarray:
    """Clipped as `purpose_weight` clips it."""
    probability = probability.astype(np.float64).clip(1e-12, 1 - 1e-12)
    return np.log(probability / (1 - probability)).clip(-4, 4)


def _pairs(folder: Path) -> pd.DataFrame:
    """200 images with description, caption and their published CLIPScores."""
    entries = json.loads((folder / "wiki_split.json").read_text(encoding="utf-8"))["images"]
    texts = pd.DataFrame(
        {
            "filename": [entry["filename"] for entry in entries],
            "description": [entry["description"]["raw"] for entry in entries],
            "caption": [entry["caption"]["raw"] for entry in entries],
        }
    )
    published = pd.read_csv(folder / "published_clipscores.csv")
    return texts.merge(published, on="filename", validate="one_to_one")


def _rated(folder: Path) -> pd.DataFrame:
    """68 descriptions with their published CLIPScores and mean ratings by BLV participants."""
    descriptions = pd.read_csv(folder / "descriptions.csv", keep_default_na=False)
    published = pd.read_csv(folder / "published_clipscores.csv")
    ratings = pd.read_csv(folder / "blv_ratings.csv").groupby("description_id")
    means: Any = ratings[list(_QUESTIONS.values())].mean()
    means = means.rename(columns={asked: name for name, asked in _QUESTIONS.items()})
    rated = descriptions.merge(published, on="description_id", validate="one_to_one")
    return rated.merge(means, on="description_id", validate="one_to_one")


def _tfidf(path: Path) -> Any:
    """A classifier that sees words alone, trained on Concadia's test split."""
    texts = pd.read_csv(path, keep_default_na=False)
    classifier = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(C=8, max_iter=500),
    )
    labels = np.repeat([1, 0], len(texts))
    return classifier.fit([*texts.description, *texts.caption], labels)


if __name__ == "__main__":
    found = measure(Path(sys.argv[1]))
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
