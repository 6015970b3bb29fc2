"""The functions of the rules on markup: what is wrong with an image, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from descscore.audit.addresses import same_image
from descscore.audit.credits import is_credit, without_credit
from descscore.audit.name_checks import is_filename, is_keywords, is_placeholder, is_vague
from descscore.audit.tree import normalise

if TYPE_CHECKING:
    from descscore.audit.elements import ImageElement, Kind


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What rules know beside an image.

    Attributes:
        vague_words: normalised names that say nothing on this site.
        max_length: of a name, in characters.
        content: what an image file holds, as a digest; empty if it cannot be read.
    """

    vague_words: frozenset[str] = frozenset()
    max_length: int = 300
    content: Callable[[ImageElement], str] = lambda element: ""


Check = Callable[["ImageElement", Facts], "str | None"]
"""What is wrong with an image; None if nothing is."""


# Names that are missing.


def missing(*kinds: Kind) -> Check:
    """The image has no name, and needs one."""

    def check(element: ImageElement, facts: Facts) -> str | None:
        if element.kind not in kinds or element.hidden or not element.required or element.name:
            return None
        if element.decorative and not (element.conflict and element.decorative == "role"):
            return None
        if element.decorative and element.alt == "":
            return None
        if element.kind in ("role-img", "object", "svg"):
            return "has no accessible name"
        if element.alt is None:
            return "has no alt text and no other name"
        return "has empty alt text" if element.alt == "" else "has alt text of blanks only"

    return check


def nameless(kind: str) -> Check:
    """The image is all that a link or a button shows, and gives it no name."""

    def check(element: ImageElement, facts: Facts) -> str | None:
        control = element.control
        if control is None or control.kind != kind or control.name or not control.image_only:
            return None
        # A missing alt is reported as that; the missing name of the link follows from it.
        if not control.first or missing(element.kind)(element, facts):
            return None
        return f"is the only content of a {kind}, which it leaves without a name"

    return check


# Names that are no descriptions.


@lru_cache(maxsize=2**15)  # more than most pages have images: five rules go through them in turn
def _broken(name: str, src: str, vague_words: frozenset[str], *, download: bool) -> str:
    """The first rule on wording that a name breaks; one is enough to rewrite it."""
    if is_filename(name, src):
        # What a link saves may well be called by its file name.
        return "" if download else "alt-filename"
    return _badly_worded(name, vague_words)


@lru_cache(maxsize=1024)  # many images of a page can have one name
def _badly_worded(name: str, vague_words: frozenset[str]) -> str:
    if is_placeholder(name):
        return "alt-placeholder"
    if is_vague(name, vague_words):
        return "alt-vague"
    if is_credit(name):
        return "alt-credit"
    return "alt-keywords" if is_keywords(name) else ""


def worded(rule: str, problem: str) -> Check:
    """The wording of the name breaks a rule, and none that comes before."""

    def check(element: ImageElement, facts: Facts) -> str | None:
        if not (element.exposed and element.name):
            return None
        download = element.control is not None and element.control.download
        broken = _broken(element.name, element.src, facts.vague_words, download=download)
        return f"{element.quoted} {problem}" if broken == rule else None

    return check


def named(holds: Callable[[str, Facts], bool], problem: str) -> Check:
    """Something holds for the name."""

    def check(element: ImageElement, facts: Facts) -> str | None:
        if element.exposed and element.name and holds(element.name, facts):
            return f"{element.quoted} {problem}"
        return None

    return check


# Names that repeat what is said anyway.


def redundant(element: ImageElement, facts: Facts) -> str | None:
    """The name repeats text beside the image."""
    if not (element.exposed and element.name):
        return None
    name = normalise(element.name)
    if any(normalise(text) == name for text in element.beside):
        return f"{element.quoted} repeats adjacent text"
    if element.heading and normalise(element.heading) == name:
        return f"{element.quoted} repeats the heading above"
    return None


def equals_caption(element: ImageElement, facts: Facts) -> str | None:
    """The name repeats the caption."""
    if not (element.exposed and element.name and element.caption):
        return None
    captions = {normalise(element.caption), normalise(without_credit(element.caption))}
    if normalise(element.name) in captions:
        return f"{element.quoted} repeats the caption"
    return None


def duplicates(elements: list[ImageElement], facts: Facts) -> Iterator[tuple[ImageElement, str]]:
    """Images, or links, that differ and have one name."""
    groups: dict[str, list[ImageElement]] = {}
    for element in elements:
        if element.exposed and element.name and element.kind not in ("area", "background"):
            groups.setdefault(normalise(element.name), []).append(element)
    for group in groups.values():
        if len(group) > 1:
            yield from _different(group, facts)


def _different(group: list[ImageElement], facts: Facts) -> Iterator[tuple[ImageElement, str]]:
    """Of images with one name, those that differ from the others."""
    keys = [same_image(element, facts.content(element)) for element in group]
    counts = Counter(keys)
    ranked = counts.most_common(2)
    # A name that is used for one image again and again belongs to it.
    owner = ranked[0][0] if len(ranked) > 1 and ranked[0][1] > ranked[1][1] else None
    targets = [each.control.target if each.control else "" for each in group]
    for element, key, target in zip(group, keys, targets, strict=True):
        if len(counts) > 1 and key != owner:
            yield element, f"{element.quoted} also names another image"
        elif len(counts) == 1 and target and len({*targets} - {""}) > 1:
            yield element, f"{element.quoted} also names a link to another target"


# Images marked as decorative.


def conflict(element: ImageElement, facts: Facts) -> str | None:
    """The image is marked as decorative in vain."""
    if element.decorative and element.conflict and not element.hidden:
        return f"is marked as decorative, but {element.conflict}"
    return None


def captioned(element: ImageElement, facts: Facts) -> str | None:
    """The image is marked as decorative, and has a caption."""
    if element.decorative and not element.exposed and not element.hidden and element.caption:
        return "has a caption, but is marked as decorative"
    return None


def empty_in_markdown(element: ImageElement, facts: Facts) -> str | None:
    """The alt is empty, which in Markdown can mean that nobody thought of it."""
    if element.kind == "markdown" and element.alt == "" and not element.hidden:
        return None if nameless("link")(element, facts) else "has empty alt text"
    return None


# Matters of style.


def unfinished(name: str, facts: Facts) -> bool:
    """Several words without a mark at their end."""
    return " " in name and name[-1] not in ".!?\u2026\u3002\uff01\uff1f\"'\u201d\u2019»)"
