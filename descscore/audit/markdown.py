"""The images of Markdown: it becomes HTML whose images know their places in the Markdown."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from descscore.audit.html import KIND, read_marked
from descscore.audit.marks import Lines, Marker
from descscore.extras import imports_of

with imports_of("audit"):
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

    from descscore.audit.elements import ImageElement

    Locate = Callable[[int], tuple[int, int]]

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
    parser, marker = _markdown(), Marker()
    tokens = parser.parse(text)
    _Source(text.split("\n")).place(tokens)
    html = parser.renderer.render(tokens, parser.options, {"marker": marker})
    yield from read_marked(html, marker.marks, file)


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": 100}, renderer_cls=_Renderer)
    parser.enable(["table", "strikethrough"])
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


class _Renderer(RendererHTML):
    """Writes HTML with marks on images, which know their places; without the text of code."""

    def html_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return env["marker"].rewrite(tokens[idx].content, tokens[idx].meta["locate"])

    html_inline = html_block

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "<pre></pre>"

    code_block = fence

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        mark = env["marker"].mark(*token.meta["locate"](0), token.meta["source"])
        token.attrSet("alt", self.renderInlineAsText(token.children, options, env))
        return f'<img{mark} {KIND}="markdown"{self.renderAttrs(token)}>'


class _Source:
    """The lines of a document, in which tokens are found again."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        # Where in a line the search for the next cell of a table goes on.
        self.cell = (0, 0)

    def place(self, tokens: Sequence[Token]) -> None:
        """Let images and HTML know how an offset in them is a line and a column of the source."""
        first, end = 0, len(self.lines)
        for token in tokens:
            first, end = token.map or (first, end)
            if token.type == "html_block":
                token.meta["locate"] = self._locate(token.content, first, end)
            elif token.type == "inline":
                locate = self._locate(token.content, first, end)
                for child in token.children or []:
                    if (position := child.meta.get("position")) is not None:
                        child.meta["locate"] = _after(locate, position)
                    if child.type == "image":
                        source = token.content[position:]
                        child.meta["source"] = source[: _end_of_image(source)]

    def _locate(self, content: str, first: int, end: int) -> Locate:
        """Of a paragraph or HTML, each of whose lines is looked for in the source."""
        lines = Lines(content)
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

        def locate(offset: int) -> tuple[int, int]:
            line, column = lines(offset)
            number, shift = places[line - 1]
            return number + 1, column + shift

        return locate


def _after(locate: Locate, position: int) -> Locate:
    return lambda offset: locate(position + offset)


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
