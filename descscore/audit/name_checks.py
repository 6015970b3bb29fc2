"""Texts that are no descriptions, recognised by their wording."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import unquote

from descscore.audit import vocabulary as words
from descscore.audit.addresses import path_in
from descscore.audit.tree import normalise

_FILE = re.compile(
    r"[^?#]*\.(?:ai|apng|avif|bmp|eps|gif|heic|heif|ico|jfif|jpe?g|pdf|png|psd|svgz?|tiff?|webp)"
    r"(?:[?#]\S*)?",
    re.IGNORECASE,
)
_LONGEST_FILE = 6
"""Words of a file name; a longer text that ends in one is a sentence."""

_ADDRESS = re.compile(r"(?:https?:|file:|data:|www\.|\.{0,2}/\w)\S+", re.IGNORECASE)
_EXPORT = re.compile(
    r"""(?=.*\d)(?:
    (?:img|imag|image|dsc|dscn|dscf|pxl|mvimg|gopr|pict|pic|photo|foto|bild|picture|scan|
    screenshot|screen\ shot|bildschirmfoto|capture|captura|schermata|untitled|unbenannt|unnamed|
    download|file|clipboard|export|artboard|asset|frame|group|rectangle|layer|whatsapp\ image|
    fb_img|inshot)
    (?:[\s_.()-]*+(?:\d[\d\s_.:()-]*+|at|um|à|a\ las|am|pm|copy|final|edited|edit|v\d+|wa\d+|
    @\dx))++
    |[a-z]{1,2}\d{6,}|\d{8}[_-]\d{4,}\w*
    |[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_OPENINGS = {("untitled",), ("unnamed",), ("unbenannt",)}
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,6});")
_PREFIX = re.compile(rf"(?:{'|'.join(words.PREFIXES)})", re.IGNORECASE)
_LAST_OF_A_SENTENCE = re.compile(
    r"(?:and|or|und|oder|et|ou|y|o|e|en)\s|.*\s(?:on|in|at|of|with|under|beside|near|behind)\s",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*[,;|]\s*")


def is_filename(name: str, src: str = "") -> bool:
    """The name is a file's, an address, or what a camera or a program calls a picture."""
    if len(name.split(None, _LONGEST_FILE)) <= _LONGEST_FILE and _FILE.fullmatch(name):
        return True
    if _ADDRESS.fullmatch(name) or _EXPORT.fullmatch(name):
        # With a blank before its number it is a generic word.
        return not is_vague(name) or not re.fullmatch(r"\D+(?:\s\d+)+", name)
    if src.startswith("data:") or " " in name:
        return False
    parts = re.split(r"[-_]", name.casefold())
    # Nobody writes so for a reader.
    if all(parts) and ("_" in name or (len(parts) > 2 and not words.MEDIUM.isdisjoint(parts))):
        return any(part.isalpha() for part in parts) and len(parts) > 1
    # A stem that is a word can be the right name of what is shown; this is none.
    coded = "_" in name or name.count("-") > 1 or bool(re.search(r"\d{3}", name))
    stem = PurePosixPath(unquote(path_in(src))).stem
    return coded and name.casefold() == stem.casefold()


def is_placeholder(name: str) -> bool:
    """The name was meant to be replaced by one."""
    if name.casefold() in ("n/a", "n.a."):
        return True
    found = _words(name)
    if found[:2] == ("lorem", "ipsum") or (found[:1] in _OPENINGS and len(found) <= 3):
        return True
    beside = words.ABOUT_WRITING | words.MEDIUM | words.LINKING | words.WITHOUT
    if not all(each in words.NEVER_WRITTEN or each in beside for each in found):
        return False
    many = len(found) > 1
    return any(
        each in words.NEVER_WRITTEN or (many and each in words.WITHOUT) for each in found
    ) or ("here" in found and any(each in words.MEDIUM for each in found))


def is_vague(name: str, own: frozenset[str] = frozenset()) -> bool:
    """The name is generic: it fits any image, or has no words at all.

    Args:
        name: of an image.
        own: names, normalised, that are generic on the site at hand.
    """
    if normalise(name) in own:
        return True
    found = _words(name)
    generic = words.MEDIUM | words.FURNITURE
    if not found:
        return not any(each.isalpha() for each in name)
    return all(each in generic or each in words.LINKING for each in found) and any(
        each in generic for each in found
    )


def has_prefix(name: str) -> bool:
    """The name begins by saying that it is an image."""
    return bool(_PREFIX.match(name))


@lru_cache(maxsize=1024)
def has_markup(name: str) -> bool:
    """The name holds tags or entities that a reader would hear."""
    return bool(_MARKUP.search(name))


def is_keywords(name: str) -> bool:
    """The name is a list of search words and no sentence."""
    items = [each for each in _ITEM.split(name) if each]
    sizes = [len(each.split()) for each in items]
    if len(items) >= 6 and max(sizes) <= 5 and sum(sizes) <= 2.5 * len(items):
        # A list within a sentence ends with "and" or goes on; a list of names is in capitals.
        lower = sum(each[0].islower() for each in items)
        return 2 * lower >= len(items) and not _LAST_OF_A_SENTENCE.match(items[-1])
    found = [each for each in _words(name) if len(each) > 3]
    most = max((found.count(each) for each in set(found)), default=0)
    return most >= 4 and len(found) <= 4 * most


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(name.casefold()))
