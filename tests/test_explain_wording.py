"""What the views of an explanation say, against numbers that are known."""

from __future__ import annotations

import pytest

from descscore.explain.wording import ADDS_MOST, TAKES_MOST, Wording
from tests import explanations_made as made


def test_numbers_carry_their_sign_unless_they_round_to_zero() -> None:
    said = Wording(made.explanation())
    assert said.signed(0.256) == "+0.26"
    assert said.signed(-1.25) == "\N{MINUS SIGN}1.25"
    assert said.signed(-0.004) == said.signed(0.0) == "0.00"
    assert said.unsigned(-3.0) == "\N{MINUS SIGN}3.00"
    assert said.unsigned(3.0) == "3.00"


@pytest.mark.parametrize(
    ("total", "through", "places"),
    [
        (30.0, None, 2),
        (1.0, None, 2),
        (0.5, None, 2),
        (0.05, None, 3),
        (0.004, None, 4),
        (1e-9, None, 6),
        (6.5, 0.02, 2),
        (0.0, 0.0, 2),
    ],
)
def test_small_attributions_get_more_decimals(
    total: float, through: float | None, places: int
) -> None:
    assert Wording(made.explanation("word", total, through)).places == places


def test_levels_are_shares_of_the_strongest() -> None:
    said = Wording(made.explanation("one two three", [4, -2, 0.1], None))
    assert [said.level(value) for value in (4.0, -2.0, 0.1, 0.0)] == [8, -4, 0, 0]
    assert Wording(made.explanation("word", 0.0, None)).level(0.0) == 0


def test_pieces_are_the_whole_text_in_order() -> None:
    text = "  A Café,\nnaïve — and\ttail  "
    pieces = list(Wording(made.explanation(text)).pieces())
    assert "".join(piece.text for piece in pieces) == text
    words = [piece.text for piece in pieces if piece.word is not None]
    assert words == ["A", "Café", ",", "naïve", "—", "and", "tail"]


def test_sentences_tell_the_change_its_causes_and_its_ways() -> None:
    change, most, ways = Wording(made.explanation()).sentences()
    assert change.startswith("The words of this text raise its logit score by 5.30: from 15.00 ")
    assert change.endswith("to 20.30.")
    assert most == (
        "“espresso” (+3.00) and “red” (+2.00) raise it most; “saucer” (−1.25) and “on” (−0.50) "  # noqa: RUF001
        "lower it most."
    )
    assert ways == "+1.20 goes through the purpose subspace, +4.10 around it."


def test_a_single_word_and_a_plain_clip_are_told_in_the_singular_and_without_ways() -> None:
    change, most = Wording(made.explanation("espresso", -2.0, None)).sentences()
    assert change.startswith("The words of this text lower its logit score by 2.00")
    assert most == "“espresso” (−2.00) lowers it most."  # noqa: RUF001


def test_purpose_is_told_as_log_odds() -> None:
    explanation = made.explanation(target="purpose", score=None)
    assert "log-odds of a description by 5.30" in Wording(explanation).sentences()[0]
    assert "Log-odds of a description" in Wording(explanation).facts()
    assert "Score" not in Wording(explanation).facts()
    assert Wording(explanation).takes == "suggests a caption"


def test_facts_are_the_numbers_of_the_explanation() -> None:
    assert Wording(made.explanation()).facts() == {
        "Score": "0.5123",
        "P(description)": "0.871",
        "Logit score": "20.30",
        "Baseline": "15.00",
        "Sum of words": "+5.30",
        "Completeness error": "0.0012 (0.02%)",
    }


def test_completeness_error_without_a_change_has_no_share() -> None:
    explanation = made.explanation("word", 0.0, None, completeness_error=0.0)
    assert Wording(explanation).facts()["Completeness error"] == "0"


def test_tiny_completeness_error_is_told_as_such() -> None:
    explanation = made.explanation(completeness_error=6e-7)
    assert Wording(explanation).facts()["Completeness error"] == "6e-07 (under 0.01%)"


def test_summary_names_the_words_at_both_ends() -> None:
    summary = Wording(made.explanation()).summary()
    assert summary[ADDS_MOST] == "espresso +3.00"
    assert summary[TAKES_MOST] == "saucer \N{MINUS SIGN}1.25"
    assert Wording(made.explanation("good", 1.0, None)).summary()[TAKES_MOST] == "none"
