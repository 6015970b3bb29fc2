"""The images of an HTML page, or of a format that is turned into one."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from descscore.audit.addresses import join_address
from descscore.audit.elements import Control, ImageElement, Place
from descscore.audit.marks import MARK, Lines, Mark, Marker, shorten_tag
from descscore.audit.names import (
    bound,
    content_of,
    control_name,
    embeds_image,
    is_image,
    is_templated,
    labels_of,
    name_of,
)
from descscore.audit.tree import (
    AX_IGNORED,
    AX_NAME,
    HEADINGS,
    IMAGE_ROLES,
    NAMED_ROLES,
    NO_ROLE,
    collapse,
    href,
    in_svg,
    is_button,
    is_link,
    language,
    local,
    parse,
    role,
)
from descscore.audit.visibility import Page, background
from descscore.errors import DocumentError
from descscore.strings import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element as Element

    from descscore.audit.elements import Kind

KIND = "data-descscore-kind"
"""The attribute by which a format that is turned into HTML says what an image was in it."""

# Elements whose text is compared with the names of images in them, as axe-core does.
_BESIDE = HEADINGS | names("p li td th dt dd label summary legend caption")
_PAINTED = re.compile(r"<style\b[^>]*>.*?background[^;}]*url\(", re.IGNORECASE | re.DOTALL)
_WITH_CLASS = re.compile(r"\brole\s*=|\bbackground|\bclass\s*=|\bid\s*=", re.IGNORECASE)
_LEVELS = 8
_GLOBAL_ARIA = sorted(
    f"aria-{name}"
    for name in names(
        "atomic busy controls current describedby details disabled dropeffect errormessage flowto "
        "grabbed haspopup invalid keyshortcuts label labelledby live owns relevant roledescription"
    )
)


def read_html(text: str, file: str, *, xml: bool = False) -> Iterator[ImageElement]:
    """The images of a page in the order of its source.

    Args:
        text: of the page.
        file: as it is called in findings.
        xml: XHTML that is read as XML.

    Raises:
        DocumentError: after the images that were read, some are nested too deeply.
    """
    marker = Marker()
    also = _WITH_CLASS if not xml and _PAINTED.search(text) else None
    marked = marker.rewrite(text, Lines(text), xml=xml, also=also)
    yield from read_marked(marked, marker.marks, file, xml=xml)


def read_marked(
    marked: str, marks: list[Mark], file: str, *, xml: bool = False, whole: bool = True
) -> Iterator[ImageElement]:
    """The images of HTML whose tags have marks.

    Args:
        marked: the HTML.
        marks: of its tags.
        file: as it is called in findings.
        xml: XHTML that is read as XML.
        whole: all that is marked must be found again; false for a page that scripts may change,
            where images without a mark are read as well.

    Raises:
        DocumentError: after the images that were read, some are nested too deeply.
    """
    root = parse(marked, xml=xml)
    if xml and (root is None or sum(MARK in each.attrib for each in root.iter("*")) < len(marks)):
        # Browsers refuse such a page, but readers of books show what they can.
        root = parse(marked)
    if root is None:
        return
    reader = _Reader(Page(root), marks, file)
    seen = 0
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        number = element.get(MARK, "" if not whole and element.get(AX_NAME) is not None else None)
        if number is not None:
            seen += 1
            if (found := reader.read(element, number)) is not None:
                yield found
    if whole and seen < len(marks):
        raise DocumentError(
            f"{len(marks) - seen:,} of {len(marks):,} elements could not be read; they are nested "
            "too deeply, or the markup around them is broken"
        )


class _Reader:
    def __init__(self, page: Page, marks: list[Mark], file: str) -> None:
        self.page = page
        self.marks = marks
        self.file = file
        base = next(iter(page.root.iter("{*}base")), None)
        self.base = "" if base is None else base.get("href") or ""
        self.content = cache(lambda element: content_of(element, page, images=False))
        self.control = cache(self._control)

    def read(self, element: Element, number: str) -> ImageElement | None:
        found = self._kind(element)
        if found is None:
            return None
        kind, required = found
        place, snippet = self._place(element, number)
        state = self.page.state(element)
        hidden, unsure = state.reason, state.unsure
        name, name_from = name_of(element, self.page)
        decorative = _decorative(element)
        if (shown := element.get(AX_NAME)) is not None:
            # A browser has seen styles and scripts, and leaves nothing open.
            # The default of an image button is no name that anyone gave it.
            name, unsure = collapse(shown) if name or kind != "input" else "", ""
            name_from = name_from if name else ""
            ignored = element.get(AX_IGNORED) == "true" and not decorative
            hidden = (
                "the browser leaves it out of its accessibility tree" if ignored else state.part
            )
        elif bound(element) or (not name and is_templated(snippet)):
            unsure, required, name = "a script or a template gives the name", False, ""
        src = self._source(element, kind)
        figure = next((each for each in element.iterancestors() if local(each) == "figure"), None)
        return ImageElement(
            place=place,
            html=snippet,
            kind=element.get(KIND) or kind,
            tag=local(element),
            src=src,
            alt=element.get("alt"),
            name=name,
            name_from=name_from,
            decorative=decorative,
            conflict=_conflict(element, name, name_from) if decorative else "",
            hidden=hidden,
            unsure=unsure,
            required=required,
            lang=language(element),
            control=self._control_of(element),
            beside=tuple(self._beside(element)),
            caption=self._caption(element, figure),
            heading=self._heading(element),
            context=self._context(element),
            image=join_address(self.base, src),
        )

    def _place(self, element: Element, number: str) -> tuple[Place, str]:
        """Where an element stands in the source, and its start tag there."""
        if number.isdigit() and int(number) < len(self.marks):
            mark = self.marks[int(number)]
            return Place(file=self.file, line=mark.line, column=mark.column), mark.html
        given = "".join(
            f' {name}="{value}"'
            for name, value in element.attrib.items()
            if "descscore" not in name
        )
        place = Place(file=self.file, part="added by a script")
        return place, shorten_tag(f"<{local(element)}{given}>")

    def _kind(self, element: Element) -> tuple[Kind, bool] | None:
        """What an element is as an image, and whether it must have a name; None if it is none."""
        tag, given = local(element), role(element)
        if tag == "img":
            return "img", not given or given in NAMED_ROLES or given in NO_ROLE
        if tag == "input":
            image = (element.get("type") or "").strip().lower() == "image"
            return ("input", True) if image else None
        if tag == "area":
            return ("area", True) if href(element) is not None else None
        if tag == "svg" or (in_svg(element) and (given in IMAGE_ROLES or tag == "image")):
            return "svg", given in IMAGE_ROLES
        if tag == "object" and (embeds_image(element) or given in ("img", "image")):
            return "object", True
        if given in ("img", "image"):
            return "role-img", True
        if background(element.get("style") or "") or self.page.sheet.paints(element):
            return "background", False
        return None

    def _source(self, element: Element, kind: Kind) -> str:
        get = element.get
        if kind == "object":
            return get("data") or ""
        if kind == "svg":
            return href(element) or "" if local(element) == "image" else ""
        if kind in ("background", "role-img"):
            return background(get("style") or "") or self.page.sheet.paints(element)
        first = (get("srcset") or "").split(",")[0].split()
        return get("src") or (first[0] if first else "") or get("data-src") or ""

    def _control_of(self, element: Element) -> Control | None:
        around = next(
            (each for each in element.iterancestors() if is_link(each) or is_button(each)), None
        )
        if around is None or self.page.state(around).reason or around.get(AX_IGNORED) == "true":
            return None
        name, image_only, first = self.control(around)
        return Control(
            kind="link" if is_link(around) else "button",
            name=name,
            image_only=image_only,
            first=first is element,
            target=href(around) or "",
            download=around.get("download") is not None,
        )

    def _control(self, around: Element) -> tuple[str, bool, Element | None]:
        """Name, whether it shows images only, and its first image."""
        name = collapse(around.get(AX_NAME)) or control_name(around, self.page)
        if not name and bound(around):
            name = "(filled in by a script)"
        first = next((each for each in around.iterdescendants() if is_image(each)), None)
        return name, not self.content(around), first

    def _beside(self, element: Element) -> Iterator[str]:
        labels = labels_of(element, self.page)
        for each in element.iterancestors():
            link = is_link(each)
            if not (link or is_button(each) or local(each) in _BESIDE):
                continue
            # Text that gives the name is meant to be both.
            if self._holds(each, labels) or (local(each) == "label" and local(element) == "input"):
                continue
            if text := self.content(each):
                yield text
            if link:
                yield from self._same_target(each)

    @staticmethod
    def _holds(around: Element, elements: list[Element]) -> bool:
        return any(each is around or around in each.iterancestors() for each in elements)

    def _same_target(self, link: Element) -> Iterator[str]:
        """Texts of the links before and after that lead to the same place."""
        for other in self.page.links_beside.get(link, ()):
            if other is not None and href(other) == href(link):
                yield self.content(other)

    def _caption(self, element: Element, figure: Element | None) -> str:
        if figure is not None:
            caption = next(iter(figure.iter("{*}figcaption")), None)
            if caption is not None and not self._holds(caption, labels_of(element, self.page)):
                return self.content(caption)
        for each in (element, element.getparent()):
            after = None if each is None else each.getnext()
            if after is not None and "caption" in (after.get("class") or "").lower():
                return self.content(after)
        return ""

    def _heading(self, element: Element) -> str:
        """The text of a heading with nothing between it and the image."""
        each = element
        for _ in range(_LEVELS):
            before, parent = each.getprevious(), each.getparent()
            if before is None:
                if parent is None or collapse(parent.text):
                    return ""
                each = parent
            elif collapse(before.tail):
                return ""
            elif local(before) in HEADINGS:
                return self.content(before)
            elif local(before):
                return ""
            else:
                each = before
        return ""

    def _context(self, element: Element) -> str:
        """The text of the paragraph around an image, or else of the one next to it."""
        around = next((each for each in element.iterancestors() if local(each) in _BESIDE), None)
        if around is not None and (text := self.content(around)):
            return text
        figure = next(
            (each for each in element.iterancestors() if local(each) in ("figure", "picture", "a")),
            element,
        )
        for each in (figure.getprevious(), figure.getnext()):
            if each is not None and local(each) == "p" and (text := self.content(each)):
                return text
        return ""


def _decorative(element: Element) -> str:
    """How an element is marked as decorative."""
    if local(element) == "img" and element.get("alt") == "":
        return "alt"
    if role(element) in NO_ROLE and local(element) in ("img", "svg", "object", "image"):
        return "role"
    return ""


def _conflict(element: Element, name: str, name_from: str) -> str:
    """Why a browser takes a decorative image for an image all the same (WAI-ARIA 1.2, 7.2)."""
    if name and name_from in ("aria-label", "aria-labelledby"):
        return f"has {name_from}"
    if element.get("tabindex") is not None:
        return "can be focused"
    found = next((each for each in _GLOBAL_ARIA if collapse(element.get(each))), None)
    if found in ("aria-label", "aria-labelledby"):
        return ""
    return f"has {found}" if found else ""
