"""What shows a reader nothing, and how messages quote values."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from descscore.strings import QUOTED, closest, is_blank, quoted

# By name, so that a slip in a code point shows.
UNSEEN = [
    "SPACE",
    "NO-BREAK SPACE",
    "IDEOGRAPHIC SPACE",
    "OGHAM SPACE MARK",
    "ZERO WIDTH SPACE",
    "ZERO WIDTH JOINER",
    "ZERO WIDTH NO-BREAK SPACE",
    "WORD JOINER",
    "SOFT HYPHEN",
    "LEFT-TO-RIGHT MARK",
    "RIGHT-TO-LEFT OVERRIDE",
    "LINE SEPARATOR",
    "MONGOLIAN VOWEL SEPARATOR",
    "INVISIBLE TIMES",
    "HANGUL FILLER",
    "HANGUL CHOSEONG FILLER",
    "HANGUL JUNGSEONG FILLER",
    "HALFWIDTH HANGUL FILLER",
    "BRAILLE PATTERN BLANK",
    "KHMER VOWEL INHERENT AQ",
    "COMBINING GRAPHEME JOINER",
    "COMBINING ACUTE ACCENT",
    "VARIATION SELECTOR-16",
    "VARIATION SELECTOR-17",
    "MUSICAL SYMBOL NULL NOTEHEAD",
    "TAG LATIN SMALL LETTER A",
    "LANGUAGE TAG",
]
CONTROLS = ["", "\0", "\x1b", "\x7f", "\x85", "\n\t", "\u2065", "\ufff0", "\ufffe", "\U000e0fff"]
SEEN = ["a", "é", "e\u0301", "क", "한", "東", ".", "🐶", "☃", "\ufffd", "\u2801", "0", "\ue000"]


@pytest.mark.parametrize("name", UNSEEN)
def test_characters_without_a_mark_on_the_page_are_blank(name: str) -> None:
    character = unicodedata.lookup(name)
    assert is_blank(character)
    assert is_blank(f" {character}\u200b{character}\n")
    assert not is_blank(f"{character}a")


@pytest.mark.parametrize("text", CONTROLS)
def test_controls_and_noncharacters_are_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", SEEN)
def test_what_a_reader_sees_is_not_blank(text: str) -> None:
    assert not is_blank(text)
    assert not is_blank(f"\u200b{text}\u00ad")


def test_every_letter_digit_and_symbol_but_the_fillers_shows() -> None:
    shown = ("L", "N", "P", "S")
    hidden = [
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character).startswith(shown) and is_blank(character)
    ]
    names = [unicodedata.name(character) for character in hidden]
    assert all(any(word in name for word in ("FILLER", "BLANK", "NULL")) for name in names)


def test_short_values_are_quoted_whole() -> None:
    assert quoted("a\tb") == r"'a\tb'"
    assert quoted(None) == "None"


@pytest.mark.parametrize("value", ["x" * 10**6, b"\0" * 10**6, "\0" * 300, ["a" * 90] * 9])
def test_no_quotation_is_longer_than_its_limit(value: object) -> None:
    text = quoted(value)
    assert len(text) <= QUOTED
    assert "..." in text
    assert text[0] == repr(value)[0]
    assert text[-1] == repr(value)[-1]


@pytest.mark.parametrize(
    ("name", "there", "said"),
    [
        ("caf\u00e9.png", "cafe\u0301.png", "in its Unicode form"),
        ("A.PNG", "a.png", "in case"),
        ("a%20b.png", "a b.png", "in escapes such as %20"),
        ("42.0", "42", "by a decimal point"),
        ("b.png", "a.png", ""),
    ],
)
def test_a_name_that_is_nearly_another_says_how(name: str, there: str, said: str) -> None:
    assert closest(name, [there]).endswith(said)
    assert bool(closest(name, [there])) == bool(said)
