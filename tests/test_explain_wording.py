"""What the views of an explanation say, against numbers that are known."""

from __future__ import annotations

import pytest

from descscore.explain import wording
from tests import explanations_made as made


def test_numbers_carry_their_sign_unless_they_round_to_zero() -> None:
    assert wording.signed(0.256, 2) == "+0.26"
    assert wording.signed(-1.25, 2) == "\N{MINUS SIGN}1.25"
    assert wording.signed(-0.004, 2) == wording.signed(0.0, 2) == "0.00"
    assert wording.unsigned(-3.0, 1) == "\N{MINUS SIGN}3.0"
    assert wording.unsigned(3.0, 1) == "3.0"


@pytest.mark.parametrize(
    ("total", "through", "decimals"),
    [
        (30.0, None, 2),
        (1.0, None, 2),
        (0.5, None, 2),
        (0.05, None, 3),
        (0.004, None, 4),
        (1e-9, None, 6),
        (6.5, 6.5, 2),
        (6.5, 0.02, 3),  # so that there is something to see of the weaker part
        (6.5, 1e-9, 3),
        (0.0, 0.0, 2),
    ],
)
def test_small_attributions_get_more_decimals(
    total: float, through: float | None, decimals: int
) -> None:
    assert wording.decimals(made.explanation("word", total, through)) == decimals


def test_pieces_are_the_whole_text_in_order() -> None:
    text = "  A Café,\nnaïve — and\ttail  "
    spans = made.word_spans(text)
    assert "".join(piece.text for piece in wording.pieces(text, spans)) == text
    words = [piece.text for piece in wording.pieces(text, spans) if piece.word is not None]
    assert words == ["A", "Café", ",", "naïve", "—", "and", "tail"]


def test_unprintable_characters_are_replaced() -> None:
    assert wording.printable("a\x1b[31mb\x00\x85\ufffe\U0010ffffc\n\td") == (
        "a\ufffd[31mb\ufffd\ufffd\ufffd\ufffdc\n\td"
    )


def test_sentences_tell_the_change_its_causes_and_its_ways() -> None:
    change, most, ways = wording.sentences(made.explanation())
    assert change.startswith("The words of this text raise its logit score by 5.30: from 15.00 ")
    assert change.endswith("to 20.30.")
    assert most == (
        "“espresso” (+3.00) and “red” (+2.00) raise it most; “saucer” (−1.25) and “on” (−0.50) "  # noqa: RUF001
        "lower it most."
    )
    assert ways == "+1.20 goes through the purpose subspace, +4.10 around it."


def test_a_single_word_and_a_plain_clip_are_told_in_the_singular_and_without_ways() -> None:
    change, most = wording.sentences(made.explanation("espresso", -2.0, None))
    assert change.startswith("The words of this text lower its logit score by 2.00")
    assert most == "“espresso” (−2.00) lowers it most."  # noqa: RUF001


def test_purpose_is_told_as_log_odds() -> None:
    explanation = made.explanation(target="purpose", score=None)
    assert "log-odds of a description by 5.30" in wording.sentences(explanation)[0]
    assert "Log-odds of a description" in wording.facts(explanation)
    assert "Score" not in wording.facts(explanation)
    assert wording.means_of_sign(explanation)[1] == "suggests a caption"


def test_facts_are_the_numbers_of_the_explanation() -> None:
    assert wording.facts(made.explanation()) == {
        "Score": "0.5123",
        "P(description)": "0.871",
        "Logit score": "20.30",
        "Baseline": "15.00",
        "Sum of words": "+5.30",
        "Completeness error": "0.0012 (0.02%)",
    }


def test_completeness_error_without_a_change_has_no_share() -> None:
    explanation = made.explanation("word", 0.0, None, completeness_error=0.0)
    assert wording.facts(explanation)["Completeness error"] == "0"


def test_tiny_completeness_error_is_told_as_such() -> None:
    explanation = made.explanation(completeness_error=6e-7)
    assert wording.facts(explanation)["Completeness error"] == "under 0.01%"


def test_summary_names_the_words_at_both_ends() -> None:
    summary = wording.summary(made.explanation())
    assert summary[wording.ADDS_MOST] == "espresso +3.00"
    assert summary[wording.TAKES_MOST] == "saucer \N{MINUS SIGN}1.25"
    assert wording.summary(made.explanation("good", 1.0, None))[wording.TAKES_MOST] == "none"
