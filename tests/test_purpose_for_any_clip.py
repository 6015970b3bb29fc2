"""Purpose added to the published CLIPScores of ViT-B/32: the stored table comes out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.purpose_for_any_clip import PAGE, STORED, measure, score_name, with_table

RENEW = "renew the table with: python -m tests.purpose_for_any_clip DATA"


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return json.loads(STORED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found(shared_data: Path) -> dict[str, Any]:
    return measure(shared_data)


def test_the_table_is_that_of_the_shipped_reader(
    found: dict[str, Any], stored: dict[str, Any]
) -> None:
    assert stored["reader"] == found["reader"], RENEW
    assert stored["rows"].keys() == found["rows"].keys()
    for name, row in stored["rows"].items():
        for column, value in row.items():
            expected = value if isinstance(value, float) or value is None else value[0]
            again = found["rows"][name][column]
            again = again if isinstance(again, float) or again is None else again[0]
            assert again == (expected and pytest.approx(expected, abs=0.005)), (name, column, RENEW)


def test_without_a_weight_it_is_the_published_baseline(
    stored: dict[str, Any], shared_data: Path
) -> None:
    published = json.loads((shared_data / "kreiss2022" / "expected_baseline.json").read_text())
    expected = {row["dimension"]: row["pearson"] for row in published["rows"][:2]}
    baseline = stored["rows"]["clipscore"]
    assert {name: round(baseline[name][0], 6) for name in expected} == expected
    # Of the 200 images' published scores, 110 are higher for the description.
    assert baseline["preference"] == 0.55


def test_the_reader_adds_more_than_length_and_words_do(stored: dict[str, Any]) -> None:
    rows = stored["rows"]
    plain, added = rows[score_name(0.0)], rows[score_name(0.05)]
    assert added["preference"] > plain["preference"] + 0.2
    assert added["overall given length"][0] > plain["overall given length"][0]
    assert added["overall given length"][0] > rows["TF-IDF"]["overall given length"][0]


def test_the_docs_show_the_table(stored: dict[str, Any]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page, stored), RENEW
