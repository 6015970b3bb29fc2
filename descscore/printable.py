"""Text from files and file names, made safe for a terminal and for UTF-8."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
# C0 without tab and newline, DEL, C1, and what overrides the order of other characters.
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def valid_unicode(text: str) -> str:
    r"""Escape what UTF-8 cannot hold: `\xe9` for a file name's stray byte, `\ud83d` otherwise."""
    return _SURROGATE.sub(_escape, text)


def printable(text: str) -> str:
    r"""Escape control characters too, so that none reaches a terminal: ESC becomes `\x1b`."""
    return _CONTROL.sub(_escape, valid_unicode(text))


def is_valid_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text."""
    return _SURROGATE.search(text) is None


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
