"""Tokens and words keep the spelling of the text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from descscore.explain.words import token_spans, words


@pytest.fixture(scope="module")
def tokenizer(shared_data: Path):
    """OpenAI's."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(shared_data / "clip-vit-base-patch32")


@pytest.fixture(scope="module")
def tiny_tokenizer(tiny_clip: Path):
    """One with a small vocabulary, which splits most characters outside ASCII into bytes."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_clip)


def split(tokenizer, text):
    encoded = tokenizer(text, return_offsets_mapping=True)
    tokens = token_spans(text, encoded["offset_mapping"][1:-1])
    return tokens, *words(text, tokens)


CASES = {
    "A Dog on the beach.": ["A", "Dog", "on", "the", "beach", "."],
    "dog's DON'T rock\u2019n\u2019roll dogs'": [
        "dog's",
        "DON'T",
        "rock\u2019n\u2019roll",
        "dogs",
        "'",
    ],
    "black-and-white, (aim)": ["black", "-", "and", "-", "white", ",", "(", "aim", ")"],
    "Café  naïve\n\tÅngström": ["Café", "naïve", "Ångström"],
    "Cafe\u0301s e\u0301te\u0301 A\u030angstro\u0308m!": [
        "Cafe\u0301s",
        "e\u0301te\u0301",
        "A\u030angstro\u0308m",
        "!",
    ],
    "In the 1990s, x\u00b2 = 3.5": ["In", "the", "1990s", ",", "x\u00b2", "=", "3", ".", "5"],
    "İstanbul \ufb01ne Straße": ["İstanbul", "\ufb01ne", "Straße"],
    "犬がいる。한국": ["犬がいる", "。", "한국"],
    "हिन्दी भाषा": ["हिन्दी", "भाषा"],
    "hi👩\u200d👩\u200d👧 ❤\ufe0f 👍🏽": ["hi", "👩\u200d👩\u200d👧", "❤\ufe0f", "👍🏽"],
    "snake_case a/b": ["snake", "_", "case", "a", "/", "b"],
}


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize("name", ["tokenizer", "tiny_tokenizer"])
def test_words_are_spelled_as_in_the_text(name: str, text: str, request) -> None:
    _, found, _ = split(request.getfixturevalue(name), text)
    assert [word.text for word in found] == CASES[text]


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize("name", ["tokenizer", "tiny_tokenizer"])
def test_tokens_and_words_share_out_every_character_in_order(name, text, request) -> None:
    tokens, found, word_of = split(request.getfixturevalue(name), text)
    for spans in (tokens, found):
        assert all(span.text == text[span.start : span.end] for span in spans)
        assert "".join(span.text for span in spans) == "".join(text.split())
        assert all(a.end <= b.start for a, b in pairwise(spans))
    for place, word in enumerate(found):
        parts = [token for token, of in zip(tokens, word_of, strict=True) if of == place]
        assert "".join(token.text for token in parts) == word.text
    assert word_of == sorted(word_of)


def test_a_character_of_several_tokens_is_written_once(tiny_tokenizer) -> None:
    tokens, found, word_of = split(tiny_tokenizer, "a 👩")
    assert [token.text for token in tokens] == ["a", "👩", "", "", ""]
    assert word_of == [0, 1, 1, 1, 1]
    assert [word.text for word in found] == ["a", "👩"]


def test_words_that_share_a_token_are_one(tokenizer) -> None:
    tokens, found, _ = split(tokenizer, "'tis...")
    assert [token.text for token in tokens] == ["'t", "is", "..."]
    assert [word.text for word in found] == ["'tis", "..."]


def test_what_a_token_spans_is_one_word() -> None:
    # No tokeniser of CLIP's makes this token; another's may.
    text = "New York, now"
    tokens = token_spans(text, [(0, 8), (8, 9), (10, 13)])
    found, word_of = words(text, tokens)
    assert [word.text for word in found] == ["New York", ",", "now"]
    assert word_of == [0, 1, 2]
