"""Where start tags stand in their source, kept through a parser that forgets it.

lxml knows lines only, and no columns. So every tag that may be an image is given an attribute with
the number of its `Mark` before the source is parsed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "data-descscore-at"

SNIPPET = 300
"""Characters of a start tag that are kept."""

_NEW_LINE = re.compile(r"\r\n?|\n")
# Attribute values hold ">" only in quotes, and quotes only open a value after "=".
_ATTRIBUTES = r"""((?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)*+)>"""
_TOKEN = re.compile(
    rf"<(?:(!--)|(!\[CDATA\[)|[!?][^>]*+>|/[^A-Za-z>][^>]*+>"
    rf"|(/[A-Za-z][^\s/>]*+)[^>]*+>|([A-Za-z][^\s/>]*+){_ATTRIBUTES})"
)
_COMMENT_END = re.compile(r"--!?>")
_RAW = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"}
_ALWAYS = {"img", "image", "input", "area", "svg", "object"}
_ENDS_NOTHING = {"body", "html"}
# Void elements that libxml2 does not know as such.
_VOID = {"source", "track", "wbr"}
_MAYBE = re.compile(r"\brole\s*=|\bbackground", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mark:
    """Line and column of a start tag, and its source."""

    line: int
    column: int
    html: str


class Lines:
    """Line and column of an offset, both from 1; CRLF is one line end."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in _NEW_LINE.finditer(text))]

    def __call__(self, offset: int) -> tuple[int, int]:
        """The line and column of a character."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


@dataclass
class Marker:
    """Writes marks into HTML, and keeps them."""

    marks: list[Mark] = field(default_factory=list)

    def mark(self, line: int, column: int, html: str) -> str:
        """The attribute for a tag, with a blank before it."""
        self.marks.append(Mark(line, column, shorten_tag(html)))
        return f' {MARK}="{len(self.marks) - 1}"'

    def rewrite(
        self,
        text: str,
        locate: Callable[[int], tuple[int, int]],
        *,
        xml: bool = False,
        also: re.Pattern[str] | None = None,
    ) -> str:
        """Mark the tags of a document or a fragment, and ease what libxml2 reads unlike browsers.

        Args:
            text: HTML, or XML.
            locate: line and column in the document of an offset in the text.
            xml: it is XML: no element holds raw text.
            also: attributes of elements that are marked whatever their names; by default a role
                or a background.
        """
        parts: list[str] = []
        done = position = svg = 0
        last = text.rfind(">")
        maybe = also or _MAYBE
        # Without a ">" ahead, each "<" would be followed to the end in vain.
        while position < last and (found := _TOKEN.search(text, position)):
            comment, cdata, closing, tag, attributes = found.groups()
            position = found.end()
            if comment:
                # A browser takes "<!-->" for a whole comment.
                end = _COMMENT_END.search(text, position - 2)
                position = end.end() if end else len(text)
            elif cdata:
                # In HTML it is a comment that ends at the first ">", but for foreign elements.
                end = text.find("]]>" if xml or svg else ">", position)
                position = end + 1 if end >= 0 else len(text)
            elif closing:
                name = _local(closing[1:])
                if name == "svg":
                    svg = max(svg - 1, 0)
                elif name in _ENDS_NOTHING and not xml:
                    # What follows is part of the body for browsers, and lost for libxml2.
                    parts.append(text[done : found.start()])
                    done = position = found.end()
            elif tag:
                name = _local(tag)
                closed = attributes.endswith("/")
                start = found.start()
                if name in _RAW and not xml:
                    if closed and svg:
                        # A parser that knows no foreign elements would look for the end.
                        parts += text[done:start], f"<{tag}></{tag}>"
                        done = position
                        continue
                    end = re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE).search(text, position)
                    position = end.start() if end else len(text)
                if name in _ALWAYS or maybe.search(attributes):
                    line, column = locate(start)
                    # A parser that follows HTML makes an img of an image outside of svg.
                    new = "img" if name == "image" and not svg and not xml else tag
                    mark = self.mark(line, column, found[0])
                    parts += text[done:start], f"<{new}{mark}"
                    done = start + 1 + len(tag)
                elif name in _VOID and not closed and not xml:
                    parts += text[done : found.end() - 1], "/"
                    done = found.end() - 1
                if name == "svg" and not closed:
                    svg += 1
        parts.append(text[done:])
        return "".join(parts)


def shorten_tag(html: str) -> str:
    """A start tag on one line."""
    html = " ".join(html.split())
    return html if len(html) <= SNIPPET else f"{html[: SNIPPET - 1]}…"


def _local(tag: str) -> str:
    return tag.lower().rpartition(":")[2]
