"""HTML as a list of elements, for tests that look into pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "meta", "br", "link", "input", "hr"}


@dataclass
class Element:
    """An element with the text of all that it holds."""

    tag: str
    attributes: dict[str, str]
    text: str = ""

    def has(self, name: str) -> bool:
        """Whether it is of a class."""
        return name in self.attributes.get("class", "").split()


@dataclass
class Page:
    """All elements in the order of their start."""

    elements: list[Element] = field(default_factory=list)

    def all(self, tag: str | None = None, of_class: str | None = None) -> list[Element]:
        """Those of a tag and a class."""
        return [
            element
            for element in self.elements
            if (tag is None or element.tag == tag) and (of_class is None or element.has(of_class))
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.page.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def read(html: str) -> Page:
    """Read HTML whose every element is closed in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, [element.tag for element in reader.open]
    return reader.page
