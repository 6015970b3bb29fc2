"""Accessible names of static markup: aria-labelledby, aria-label, alt and the like, title.

The part of HTML-AAM 1.0, SVG-AAM 1.0 and Accname 1.2 that needs neither styles nor scripts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import lxml.etree as etree

from descscore.audit.tree import IMAGE_ROLES, collapse, in_svg, is_block, is_silent, local, role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element as Element

    from descscore.audit.visibility import Page

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|<%.*?%>|<\?.*?\?>|\$\{.*?\}|\[\[.*?\]\]", re.DOTALL)
_QUOTED = re.compile(r"""=\s*(?:"[^"]*"|'[^']*'|\{\{.*?\}\})""")
_WRITTEN = re.compile(r"\{\{|\{%|\{\.\.\.|<%|<\?|\{#")
_NAMING = ("alt", "aria-label", "title", "aria-labelledby")
_BINDING = (":{}", "v-bind:{}", "[{}]", "[attr.{}]", "ng-attr-{}", "x-bind:{}", "{}.bind")
_BOUND = frozenset(pattern.format(name) for pattern in _BINDING for name in _NAMING)


def name_of(element: Element, page: Page) -> tuple[str, str]:
    """The accessible name of an image, an area, an image button, and what it comes from.

    Returns:
        The name, blanks collapsed, and the attribute or element that gives it; both are empty if
        nothing does.
    """
    return next(_names(element, page), ("", ""))


def _names(element: Element, page: Page, *, labelled: bool = True) -> Iterator[tuple[str, str]]:
    if labelled and (name := labelled_by(element, page)):
        yield name, "aria-labelledby"
    if name := collapse(element.get("aria-label")):
        yield name, "aria-label"
    tag = local(element)
    if tag == "input" and (name := _label(element, page)):
        yield name, "label"
    if tag in ("img", "area", "input") and (name := collapse(element.get("alt"))):
        yield name, "alt"
    if (tag == "svg" or in_svg(element)) and (name := _svg_title(element)):
        yield name, "svg title"
    # An empty alt is the name, and no title takes its place.
    decorative = tag == "img" and element.get("alt") == ""
    if not decorative and (name := collapse(element.get("title"))):
        yield name, "title"


def labels_of(element: Element, page: Page) -> list[Element]:
    """The elements that aria-labelledby refers to."""
    references = (element.get("aria-labelledby") or "").split()
    return [page.ids[each] for each in references if each in page.ids] if references else []


def labelled_by(element: Element, page: Page) -> str:
    """The text of the elements that aria-labelledby refers to."""
    labels = tuple(labels_of(element, page))
    if not labels:
        return ""
    inside = any(each in labels for each in (element, *element.iterancestors()))
    if not inside and (known := page.texts_of_labels.get(labels)) is not None:
        return known
    text = collapse(
        " ".join(
            collapse(each.get("aria-label")) or content_of(each, page, all_of_it=True, but=element)
            for each in labels
        )
    )
    if not inside:
        page.texts_of_labels[labels] = text
    return text


def control_name(element: Element, page: Page) -> str:
    """The accessible name of a link or a button: from ARIA, from its content, from its title."""
    return (
        labelled_by(element, page)
        or collapse(element.get("aria-label"))
        or content_of(element, page)
        or collapse(element.get("title"))
    )


def content_of(
    element: Element,
    page: Page,
    *,
    images: bool = True,
    all_of_it: bool = False,
    but: Element | None = None,
) -> str:
    """The text that an element shows.

    Args:
        element: whose content it is.
        page: that holds it.
        images: put names of images in their place.
        all_of_it: hidden parts as well, as for a hidden label.
        but: an element that is left out: the one that the content names.
    """
    parts: list[str] = []
    walk = etree.iterwalk(element, events=("start", "end", "comment", "pi"))
    for event, each in walk:
        if event == "start":
            inner = each is not element
            silent = is_silent(each) or (not all_of_it and bool(page.state(each).reason))
            if each is but or (inner and silent):
                walk.skip_subtree()
                continue
            if inner and is_image(each):
                # References within a label are not followed (Accname 1.2, 2B).
                named = _names(each, page, labelled=not all_of_it)
                name, _ = next(named, ("", ""))
                # An svg without a name shows the text in it.
                if name or local(each) != "svg" or role(each) in IMAGE_ROLES:
                    parts.append(f" {name} " if images and not _silenced(each) else "")
                    walk.skip_subtree()
                    continue
            if inner and images and (name := collapse(each.get("aria-label"))):
                parts.append(f" {name} ")
                walk.skip_subtree()
                continue
            parts.append(" " if is_block(each) else "")
            parts.append(each.text or "")
        else:
            if event == "end" and is_block(each):
                parts.append(" ")
            if each is not element:
                parts.append(each.tail or "")
    return collapse("".join(parts))


def is_image(element: Element) -> bool:
    """It stands for an image, whatever its name."""
    tag = local(element)
    if tag in ("img", "svg"):
        return True
    if tag == "input":
        return (element.get("type") or "").lower() == "image"
    return role(element) in IMAGE_ROLES or (tag == "object" and embeds_image(element))


_IMAGE_FILE = re.compile(
    r"\.(?:apng|avif|bmp|gif|ico|jfif|jpe?g|png|svgz?|tiff?|webp)(?=$|[?#])", re.IGNORECASE
)


def embeds_image(element: Element) -> bool:
    """An object element shows an image file."""
    kind = (element.get("type") or "").strip().lower()
    data = element.get("data") or ""
    if kind:
        return kind.startswith("image/")
    return data.lower().startswith("data:image/") or bool(_IMAGE_FILE.search(data))


def bound(element: Element) -> bool:
    """A script or a template fills in an attribute that names an element."""
    return any(
        name in _BOUND or (name in _NAMING and bool(_TEMPLATE.search(str(value))))
        for name, value in element.items()
    )


def is_templated(tag: str) -> bool:
    """A template writes attributes of a start tag, and not only values of attributes."""
    return bool(_WRITTEN.search(_QUOTED.sub("", tag)))


def _silenced(image: Element) -> bool:
    """An image marked as decorative gives no name to what it is in."""
    return role(image) in ("none", "presentation") and local(image) in ("img", "svg")


def _label(element: Element, page: Page) -> str:
    for_it = page.labels.get(element.get("id") or "")
    around = next((each for each in element.iterancestors() if local(each) == "label"), None)
    texts = [content_of(each, page, but=element) for each in (for_it, around) if each is not None]
    return next(filter(None, texts), "")


def _svg_title(element: Element) -> str:
    """The first title, which must be a child."""
    title = next((child for child in element if local(child) == "title"), None)
    return "" if title is None else collapse("".join(map(str, title.itertext())))
