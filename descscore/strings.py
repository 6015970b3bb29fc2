"""Strings that users give: whether they show anything, which are alike, how messages quote them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    if isinstance(value, str | bytes) and len(value) > 2 * limit:
        text = repr(value[:limit])[:-1] + repr(value[-limit:])[1:]
    else:
        text = repr(value)
    return shortened(text, limit)


def shortened(text: str, limit: int = QUOTED) -> str:
    """A text cut in the middle to at most `limit` characters."""
    if len(text) <= limit:
        return text
    end = limit // 4
    return f"{text[: limit - end - 3]}...{text[-end:]}"


def counted(n: int, one: str, many: str = "") -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def names(text: str) -> frozenset[str]:
    """Names that are written one after another."""
    return frozenset(text.split())


def normal_form(name: str) -> str:
    """The composed Unicode form (NFC), in which names are compared."""
    return unicodedata.normalize("NFC", name)


_WAYS = {
    "in its Unicode form": normal_form,
    "in case": str.casefold,
    "in escapes such as %20": unquote,
    "by a decimal point": lambda name: _POINT_NOUGHT.sub("", name),
    "in spaces or underscores": lambda name: "_".join(name.replace("_", " ").split()),
    "in how letters are composed": lambda name: unicodedata.normalize("NFKC", name),
}
"""In what names can differ that stand for one thing, and what takes the difference away."""

_POINT_NOUGHT = re.compile(r"\.0(?=\.|$)")


def loose_form(name: str) -> str:
    """A name without anything in which names that stand for one thing can differ."""
    for change in _WAYS.values():
        name = change(name)
    return normal_form(name)


def closest(name: str, known: Iterable[str]) -> str:
    """How a name differs from one that is known, as "'Cat' differs in case"; empty if none is near.

    Args:
        name: that is not known.
        known: names.
    """
    known = list(known)
    for way, change in {**_WAYS, "in form and case": loose_form}.items():
        changed = change(name)
        for other in known:
            if other != name and change(other) == changed:
                return f"{quoted(other)} differs from {quoted(name)} {way}"
    return ""


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
