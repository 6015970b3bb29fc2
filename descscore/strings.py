"""Strings that users give: whether they show anything, and how messages quote them."""

from __future__ import annotations

import unicodedata

QUOTED = 200
"""Characters of a value that a message repeats at most."""

# Letters and symbols without a mark on the page: fillers of Hangul, blanks of Braille and of
# Egyptian hieroglyphs, the null notehead.
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\U00013441\U00013442\U0001d159")

# Controls, formats, separators, and marks, which need a letter to sit on.
_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Mc", "Me")


def is_blank(text: str) -> bool:
    """Whether a text shows a reader nothing: white space, zero-width characters, fillers."""
    return not any(map(_shows, text))


def quoted(value: object, limit: int = QUOTED) -> str:
    """A value as messages quote it: its `repr`, cut in the middle to at most `limit` characters."""
    # A long value is cut before it is escaped, which could cost seconds.
    if isinstance(value, str | bytes | bytearray) and len(value) > limit:
        value = value[:limit] + value[-limit:]
    text = repr(value)
    if len(text) <= limit:
        return text
    end = limit // 4
    return f"{text[: limit - end - 3]}...{text[-end:]}"


def _shows(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cn":
        # Unassigned: letters of a newer Unicode, apart from what it reserves for formats.
        code = ord(character)
        return not (
            code & 0xFFFE == 0xFFFE
            or 0xFDD0 <= code <= 0xFDEF
            or 0xFFF0 <= code <= 0xFFF8
            or 0xE0000 <= code <= 0xE0FFF
            or code == 0x2065
            or character in _BLANKS
        )
    return category not in _UNSEEN and character not in _BLANKS
