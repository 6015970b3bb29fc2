"""Bytes of a document into text: declared character sets, and refusals of what is no text."""

from __future__ import annotations

import codecs
import re

from descscore.errors import DocumentError

LARGEST = 32 * 2**20
"""Bytes of a document that are read at most."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PROLOGUE = 4096
_DECLARED = (
    re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)"""),
    re.compile(rb"""<meta[^>]+?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE),
)
# Python's, but no character sets of pages, and slow on long texts.
_NO_CHARSET = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs"}
# What browsers read under a name that says less (WHATWG Encoding, section 4.2).
_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


def decode(content: bytes, *, declared: bool = True, charset: str = "") -> str:
    """The text of a document, by its byte order mark, its declaration, UTF-8 or Windows-1252.

    Args:
        content: of a file.
        declared: whether the format has a place where a character set is declared.
        charset: that a server names, before any declaration; empty if it names none.

    Raises:
        DocumentError: it is too large, or no text.
    """
    check_size(len(content))
    for bom, name in _BOMS:
        if content.startswith(bom):
            return content[len(bom) :].decode(name, "replace")
    start = content[:_PROLOGUE]
    if b"\0" in start or start.startswith((b"\x1f\x8b", b"%PDF-")):
        raise DocumentError("is not text but binary data; omit it")
    named = [found[1] for each in _DECLARED if declared and (found := each.search(start))]
    if charset:
        named.insert(0, charset.encode("ascii", "replace"))
    for name in ([_python_name(named[0])] if named else []) + ["utf-8"]:
        try:
            return content.decode(name, "replace" if named and name != "utf-8" else "strict")
        except (LookupError, UnicodeError):
            continue
    return content.decode("cp1252", "replace")


def _python_name(label: bytes) -> str:
    try:
        name = codecs.lookup(label.decode("ascii")).name
    except (LookupError, UnicodeError):
        return "utf-8"
    # A declaration that is read as ASCII cannot be right about UTF-16.
    if name.startswith(("utf-16", "utf-32")) or name.replace("-", "_") in _NO_CHARSET:
        return "utf-8"
    return _WIDER.get(name, name)


def check_size(size: int) -> None:
    """Refuse what would take too much memory.

    Raises:
        DocumentError: it is larger than `LARGEST`.
    """
    if size > LARGEST:
        raise DocumentError(
            f"has {size / 2**20:.0f} MiB, and at most {LARGEST / 2**20:.0f} MiB are read; split it"
        )
