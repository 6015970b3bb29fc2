"""The images of reStructuredText: docutils reads it, and its HTML knows places in the source."""

from __future__ import annotations

import re
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from descscore.audit.html import KIND, read_marked
from descscore.audit.marks import MARK, Lines, Marker
from descscore.errors import DocumentError
from descscore.extras import imports_of
from descscore.strings import names

with imports_of("audit"):
    from docutils import nodes
    from docutils.core import publish_doctree, publish_from_doctree
    from docutils.parsers.rst import Directive, Parser, directives, roles
    from docutils.parsers.rst.directives.images import Figure, Image
    from docutils.parsers.rst.directives.misc import Raw
    from docutils.parsers.rst.languages import en
    from docutils.parsers.rst.states import Inliner
    from docutils.writers.html5_polyglot import HTMLTranslator, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from descscore.audit.elements import ImageElement

_DIRECTIVE = re.compile(r"^\s*(?:[-*+]\s+)?\.\.\s+(?:\|[^|\n]*\|\s+)?([\w:.+-]+?)::(?:\s|$)", re.M)
_ROLE = re.compile(r":([a-zA-Z][\w:+.-]*):`")
_AT = "descscore_at"
# Of Sphinx and its extensions: what they hold is no reStructuredText.
_LITERAL = names(
    "literalinclude highlight graphviz digraph graph plantuml uml mermaid prompt doctest testcode "
    "testsetup testcleanup testoutput ipython plot productionlist jupyter-execute code-cell exec "
    "tikz toctree autosummary todolist index only-code tabularcolumns"
)
_SETTINGS = {
    "report_level": 5,
    "halt_level": 6,
    "file_insertion_enabled": False,
    "raw_enabled": True,
    "embed_stylesheet": False,
    "stylesheet_path": None,
    "input_encoding": "unicode",
    "output_encoding": "unicode",
    "line_length_limit": 10_000_000,
    "warning_stream": False,
    "_disable_config": True,
    "doctitle_xform": False,
}


def read_rst(text: str, file: str) -> Iterator[ImageElement]:
    """The images of a reStructuredText document, those of raw HTML in it included.

    Directives that are not docutils' own, such as Sphinx's, are read for the images in them.

    Args:
        text: of the document.
        file: as it is called in findings.

    Raises:
        DocumentError: the document is nested too deeply.
    """
    marker = Marker()
    lines = text.splitlines()
    try:
        with _reading(text):
            parser = Parser(inliner=_Inliner())
            tree = publish_doctree(text, parser=parser, settings_overrides=_SETTINGS)
            _mark_images(tree, lines, marker)
            writer: Any = Writer()
            writer.translator_class = _translator(marker)
            html = publish_from_doctree(tree, writer=writer, settings_overrides=_SETTINGS)
    except RecursionError as error:
        raise DocumentError("is nested too deeply") from error
    yield from read_marked(str(html), marker.marks, file)


class _Inliner(Inliner):
    """Reads a mark that is opened and never closed as text.

    docutils looks for the end anew at each, and writes a message for it that no one reads: its time
    grows with the square of their number.
    """

    def parse(self, text: str, lineno: int, memo: Any, parent: Any) -> Any:
        self._endless: set[Any] = set()  # patterns that the rest of this text does not match
        return super().parse(text, lineno, memo, parent)

    def inline_obj(self, match: Any, lineno: int, end_pattern: Any, *args: Any, **more: Any) -> Any:
        if end_pattern not in self._endless:
            if self._ends(match, "start", end_pattern):
                return super().inline_obj(match, lineno, end_pattern, *args, **more)
            self._endless.add(end_pattern)
        end = match.end("start")
        return match.string[:end], [], match.string[end:], [], ""

    def interpreted_or_phrase_ref(self, match: Any, lineno: int) -> Any:
        end_pattern = self.patterns.interpreted_or_phrase_ref
        if end_pattern not in self._endless:
            if self._ends(match, "backquote", end_pattern):
                return super().interpreted_or_phrase_ref(match, lineno)
            self._endless.add(end_pattern)
        end = match.end("backquote")
        return match.string[:end], [], match.string[end:], []

    # docutils calls it by this table.
    dispatch: Any = Inliner.dispatch | {"`": interpreted_or_phrase_ref}

    @staticmethod
    def _ends(match: Any, group: str, end_pattern: Any) -> bool:
        return end_pattern.search(match.string[match.end(group) :]) is not None


for _name, _value in vars(Inliner).items():
    if isinstance(_value, str | re.Pattern) and not _name.startswith("__"):
        setattr(_Inliner, _name, _value)  # docutils looks for its patterns in the class itself


def _mark_images(tree: Any, lines: list[str], marker: Marker) -> None:
    """Mark each image once; one that is defined for substitution, where that is done."""
    defined = {
        image.get(_AT): image
        for definition in tree.findall(nodes.substitution_definition)
        for image in definition.findall(nodes.image)
    }
    for image in tree.findall(nodes.image):
        number = image.get(_AT, 0)
        if defined.get(image.get(_AT), image) is image:
            line = lines[number - 1] if 0 < number <= len(lines) else ""
            image[MARK] = str(len(marker.marks))
            marker.mark(max(number, 1), max(line.find(".."), 0) + 1, line.strip())


class _Placed:
    """A directive whose images know its line."""

    def run(self) -> list[Any]:
        found = super().run()  # pyright: ignore[reportAttributeAccessIssue]
        for node in found:
            for image in node.findall(nodes.image):
                image[_AT] = self.lineno  # pyright: ignore[reportAttributeAccessIssue]
                image[KIND] = "rst"
        return found


class _Image(_Placed, Image):
    pass


class _Figure(_Placed, Figure):
    pass


class _Raw(Raw):
    def run(self) -> list[Any]:
        found: list[Any] = [*super().run()]
        for node in found:
            node[_AT] = self.content_offset
        return found


class _Any(Directive):
    """A directive that is not known here: what it holds is read as part of the document."""

    has_content = True
    optional_arguments = 100
    final_argument_whitespace = True

    def run(self) -> list[Any]:
        node = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


class _Literal(_Any):
    """A directive whose content is no part of the document."""

    def run(self) -> list[Any]:
        return []


def _as_text(name: str, rawtext: str, text: str, *_: Any, **__: Any) -> tuple[list[Any], list[Any]]:
    return [nodes.inline(rawtext, text)], []


@contextmanager
def _reading(text: str) -> Iterator[None]:
    """Within, docutils knows our directives, and all that the text names."""
    known_directives: dict[str, Any] = vars(directives)["_directives"]
    known_roles: dict[str, Any] = vars(roles)["_roles"]
    before = dict(known_directives), dict(known_roles)
    builtin = {"image": _Image, "figure": _Figure, "raw": _Raw}
    try:
        for name in {each.lower() for each in _DIRECTIVE.findall(text)} - en.directives.keys():
            known_directives.setdefault(name, _Literal if name in _LITERAL else _Any)
        for name in {each.lower() for each in _ROLE.findall(text)} - en.roles.keys():
            known_roles.setdefault(name, _as_text)
        known_directives.update(builtin)
        yield
    finally:
        for registry, old in zip((known_directives, known_roles), before, strict=True):
            registry.clear()
            registry.update(old)


def _translator(marker: Marker) -> type[HTMLTranslator]:
    class Translator(HTMLTranslator):
        def visit_image(self, node: Any) -> None:
            alt = node.get("alt")
            given = "" if alt is None else f' alt="{escape(alt)}"'
            mark = f' {MARK}="{node[MARK]}" {KIND}="rst"' if MARK in node else ""
            self.body.append(f'<img{mark} src="{escape(node["uri"])}"{given}>')

        def depart_image(self, node: Any) -> None:
            pass

        def visit_raw(self, node: Any) -> None:
            if "html" in node.get("format", "").split():
                lines, first = Lines(node.astext()), node.get(_AT, 0)

                def locate(offset: int) -> tuple[int, int]:
                    line, column = lines(offset)
                    return first + line, column

                self.body.append(marker.rewrite(node.astext(), locate))
            raise nodes.SkipNode

        def visit_substitution_definition(self, node: Any) -> None:
            self.body.append("<p>")

        def depart_substitution_definition(self, node: Any) -> None:
            self.body.append("</p>")

        def visit_system_message(self, node: Any) -> None:
            raise nodes.SkipNode

    return Translator
