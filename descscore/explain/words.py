"""Tokens and words as they are spelled in a text.

Tokenizers lowercase a text and normalise its characters (NFC) before they split it. Here every
token and word is a piece of the original text, with its capitals, accents and punctuation.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from descscore.explain.explanation import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

# Apostrophes, and what joins letters in some scripts: part of a word, but not at its ends.
_INNER = "'\u2019\u200c\u200d"


def token_spans(text: str, offsets: Sequence[tuple[int, int]]) -> tuple[Span, ...]:
    """Give each character that is not white space to one token.

    A character of several tokens (an emoji's bytes, say) goes to the first of them; tokens left
    without a character are empty. A character of no token (an accent that the tokenizer joined to
    its letter) goes to the token before it.

    Args:
        text: the tokenized text.
        offsets: first character of each content token and the one after its last, in order.
    """
    spans: list[Span] = []
    done = 0
    for number, (start, end) in enumerate(offsets):
        start, end = max(start, done), max(end, done)
        following = offsets[number + 1][0] if number + 1 < len(offsets) else len(text)
        end += len(text[end:following].rstrip())
        spans.append(Span(text=text[start:end], start=start, end=end))
        done = end
    return tuple(spans)


def words(text: str, tokens: Sequence[Span]) -> tuple[tuple[Span, ...], list[int]]:
    """Join tokens to words.

    A word is a run of letters, digits and their accents, with the apostrophes inside it: "dog's",
    "Ångström", "1990s". Each run of other characters, white space apart, is a word too: ".", "...",
    an emoji. So "dog." is two words and "black-and-white" five. Words that share a token are
    merged, as in "'tis", which OpenAI's tokenizer starts with "'t". In scripts without spaces
    between words, a whole run of letters is one word.

    Args:
        text: the tokenized text.
        tokens: its content tokens, from `token_spans`.

    Returns:
        The words, and for each token the position of its word.
    """
    kinds = _kinds(text, tokens)
    runs: list[tuple[int, int]] = []
    run_of: list[int] = []
    for kind, run in groupby(kinds):
        start = len(run_of)
        run_of += [len(runs)] * len(list(run))
        if kind != "space":
            runs.append((start, len(run_of)))
    found: list[tuple[int, int]] = []
    word_of: list[int] = []
    for token in tokens:
        if token.start < token.end:
            first, last = runs[run_of[token.start]], runs[run_of[token.end - 1]]
            if found and first[0] < found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], last[1]))
            else:
                found.append((first[0], last[1]))
        word_of.append(len(found) - 1)
    spans = (Span(text=text[start:end], start=start, end=end) for start, end in found)
    return tuple(spans), word_of


def _kinds(text: str, tokens: Sequence[Span]) -> list[Literal["word", "other", "space"]]:
    """What each character is part of."""
    kinds: list[Literal["word", "other", "space"]] = []
    for character in text:
        category = unicodedata.category(character)
        if character.isspace():
            kinds.append("space")
        elif category[0] == "M" and kinds and kinds[-1] != "space":
            # An accent, or the mark that asks for an emoji in colour.
            kinds.append(kinds[-1])
        else:
            kinds.append("word" if category[0] in "LMN" else "other")
    for place in range(1, len(text) - 1):
        if text[place] in _INNER and kinds[place - 1] == kinds[place + 1] == "word":
            kinds[place] = "word"
    for token in tokens:
        for place in range(token.start, token.end):
            if kinds[place] == "space":
                kinds[place] = "other"
    return kinds
