"""References on the command line: columns, lists, and annotations of COCO."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from descscore import DescriptionScore
from descscore.cli.app import app
from descscore.errors import TableError
from descscore.tables.references import references_in
from tests.conftest import ROOT

PHOTOS = [str(ROOT / "examples" / "photos" / name) for name in ("coffee.jpg", "rocket.jpg")]
TEXTS = ["A red cup.", "A rocket at dusk."]
REFERENCES = [["Espresso in a red cup.", "A cup on a table."], ["A launch pad."]]


def score(tmp_path: Path, table: Path, *options: str) -> list[dict[str, str]]:
    words = ["score", str(table), "-o", str(tmp_path / "o.csv"), "--json", *options]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    with (tmp_path / "o.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    means = [float(row["ref_score"]) for row in rows]
    assert json.loads(result.stdout)["mean_ref_score"] == pytest.approx(np.mean(means), abs=1e-6)
    return rows


@pytest.mark.parametrize("form", ["list", "json", "columns", "coco"])
def test_references_in_any_form_add_refclipscore(tmp_path: Path, form: str) -> None:
    path, options = tmp_path / "t.jsonl", ["--references", "refs"]
    made = [{"image": image, "text": text} for image, text in zip(PHOTOS, TEXTS, strict=True)]
    for number, (row, references) in enumerate(zip(made, REFERENCES, strict=True)):
        if form == "list":
            row["refs"] = references
        elif form == "json":
            row["refs"] = json.dumps(references)
        elif form == "columns":
            row["a"], row["b"] = (*references, None)[:2]
            options = ["--references", "a", "--references", "b"]
        else:
            row["image_id"] = number
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    if form == "coco":
        annotations = [
            {"id": 9, "image_id": number, "caption": text}
            for number, texts in enumerate(REFERENCES)
            for text in texts
        ]
        (tmp_path / "captions.json").write_text(json.dumps({"annotations": annotations}))
        options = ["--references", str(tmp_path / "captions.json")]
        options += ["--image-pattern", "{image}"]
    expected = DescriptionScore()(PHOTOS, TEXTS, REFERENCES)
    rows = score(tmp_path, path, *options)
    assert list(rows[0])[-5:] == ["score", "ref_score", "purpose", "truncated", "error"]
    np.testing.assert_allclose([float(r["ref_score"]) for r in rows], expected.scores, atol=1e-6)
    np.testing.assert_allclose([float(r["score"]) for r in rows], expected.image_scores, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "'refs' hold no reference"),
        ("[]", "'refs' hold no reference"),
        ([1], "'refs' holds 1 where a reference should be"),
        ('["a"', "'refs' holds a list that is not JSON"),
    ],
)
def test_a_row_without_references_says_so(value: object, message: str) -> None:
    with pytest.raises(TableError, match=message):
        references_in(["refs"], "image").of({"refs": value})


def test_a_file_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="there is no file"):
        references_in([str(tmp_path / "no.json")], "image_id")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(TableError, match="has no annotations"):
        references_in([str(tmp_path / "a.json")], "image_id")
