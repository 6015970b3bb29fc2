"""The images of Markdown: it becomes HTML whose images know their places in the Markdown."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from descscore.audit.html import KIND, read_marked
from descscore.audit.marks import Lines, Marker
from descscore.extras import imports_of

with imports_of("audit"):
    from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

    from descscore.audit.elements import ImageElement

_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n.*?\n\1[ \t]*(?=\n|\Z)", re.DOTALL)


def read_markdown(text: str, file: str) -> Iterator[ImageElement]:
    """The images of a Markdown document, those of HTML in it included.

    Args:
        text: CommonMark, with tables.
        file: as it is called in findings.

    Raises:
        DocumentError: after the images that were read, some are nested too deeply.
    """
    text = re.sub(r"\r\n?", "\n", text)
    if front := _FRONT_MATTER.match(text):
        text = "\n" * front[0].count("\n") + text[front.end() :]
    parser, writer = _markdown(), _Writer(text.split("\n"))
    tokens = parser.parse(text)
    yield from read_marked(writer.write(tokens), writer.marker.marks, file)


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": 100}).enable(["table", "strikethrough"])
    for name in ("image", "html_inline"):
        rule = next(each for each in parser.inline.ruler.__rules__ if each.name == name)
        parser.inline.ruler.at(name, _with_position(rule.fn))
    return parser


def _with_position(rule: Callable[[StateInline, bool], bool]) -> Callable[..., bool]:
    """A rule whose tokens know where in their paragraph they begin."""

    def apply(state: StateInline, silent: bool) -> bool:
        start, before = state.pos, len(state.tokens)
        found = rule(state, silent)
        if found and not silent and len(state.tokens) > before:
            state.tokens[-1].meta["position"] = start
        return found

    return apply


class _Writer:
    """Writes tokens as HTML, with marks on images."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.marker = Marker()
        self.renderer: Any = _markdown().renderer
        # Where in a line the search for the next cell of a table goes on.
        self.cell = (0, 0)

    def write(self, tokens: Sequence[Token]) -> str:
        parts: list[str] = []
        first, end = 0, len(self.lines)
        for token in tokens:
            if token.map:
                first, end = token.map
            if token.type == "inline":
                parts.append(self._inline(token, first, end))
            elif token.type == "html_block":
                parts.append(self._html(token.content, first))
            elif token.type in ("fence", "code_block"):
                parts.append("<pre></pre>")
            else:
                parts.append(self._rendered(token))
        return "".join(parts)

    def _rendered(self, token: Token) -> str:
        options: Any = {"xhtmlOut": False}
        return self.renderer.renderToken([token], 0, options, {})

    def _html(self, content: str, first: int) -> str:
        """A block of HTML; its lines are those of the source, without marks of lists around it."""
        lines = Lines(content)
        shift: list[int] = []
        for number, line in enumerate(content.split("\n")):
            source = self.lines[first + number] if first + number < len(self.lines) else ""
            shift.append(max(source.find(line.strip()) - (len(line) - len(line.lstrip())), 0))

        def locate(offset: int) -> tuple[int, int]:
            line, column = lines(offset)
            return first + line, column + shift[line - 1]

        return self.marker.rewrite(content, locate)

    def _inline(self, token: Token, first: int, end: int) -> str:
        lines = Lines(token.content)
        places = self._places(token.content, first, end)

        def locate(offset: int) -> tuple[int, int]:
            line, column = lines(offset)
            number, shift = places[line - 1]
            return number + 1, column + shift

        return "".join(self._child(each, token.content, locate) for each in token.children or [])

    def _places(self, content: str, first: int, end: int) -> list[tuple[int, int]]:
        """For each line of a paragraph its line in the source, and where it begins there."""
        places: list[tuple[int, int]] = []
        number = first
        for line in content.split("\n"):
            for each in range(number, min(end, len(self.lines))):
                begin = self.cell[1] if each == self.cell[0] else 0
                at = self.lines[each].find(line, begin)
                if at >= 0:
                    number = each
                    self.cell = (each, at + len(line))
                    places.append((each, at))
                    break
            else:
                places.append((min(number, len(self.lines) - 1), 0))
            number += 1
        return places

    def _child(self, token: Token, content: str, locate: Callable[[int], tuple[int, int]]) -> str:
        position = token.meta.get("position", 0)
        if token.type == "html_inline":
            return self.marker.rewrite(token.content, lambda offset: locate(position + offset))
        if token.type == "image":
            line, column = locate(position)
            alt = self.renderer.renderInlineAsText(token.children or [], {}, {})
            source = content[position:]
            end = _end_of_image(source)
            mark = self.marker.mark(line, column, source[:end])
            title = token.attrGet("title")
            return (
                f'<img{mark} {KIND}="markdown" src="{escape(str(token.attrGet("src") or ""))}" '
                f'alt="{escape(alt)}"' + (f' title="{escape(str(title))}"' if title else "") + ">"
            )
        if token.type in ("text", "code_inline"):
            return escape(token.content)
        if token.type in ("softbreak", "hardbreak"):
            return "\n"
        return self._rendered(token)


def _end_of_image(source: str) -> int:
    """About where an image ends: after the parenthesis or bracket that closes it."""
    depth = 0
    for place, sign in enumerate(source):
        if sign in "[(":
            depth += 1
        elif sign in "])":
            depth -= 1
            if depth == 0 and source[place + 1 : place + 2] not in ("(", "["):
                return place + 1
    return len(source)
