"""Explanations as HTML: one file that needs no script, no network and no colour vision.

A page holds its images as data. Its policy forbids everything else that a browser might fetch.
"""

from __future__ import annotations

import io
import textwrap
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from descscore.errors import OptionError
from descscore.explain import wording
from descscore.explain.shades import DARK, LEVELS, LIGHT, level_of, line_width
from descscore.templates import templates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from descscore.explain.explanation import Explanation

LONGEST_TITLE = 80
"""Characters of a text in the title of its page."""

LONGEST_SIDE_OF_MANY = 320
"""Pixels of images on a page of many: each comes with every text it is paired with."""


@dataclass(frozen=True, kw_only=True)
class _Cell:
    number: str
    shade: str


@dataclass(frozen=True, kw_only=True)
class _Piece:
    text: str
    number: str | None = None
    shade: str = ""


@dataclass(frozen=True, kw_only=True)
class _Row:
    name: str
    means: str
    sum: str
    pieces: list[_Piece]


@dataclass(frozen=True, kw_only=True)
class _Line:
    word: str
    cells: list[_Cell]


@dataclass(frozen=True, kw_only=True)
class _Image:
    address: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class _View:
    """Everything the templates show of one explanation."""

    row: int
    heading: str
    image_name: str
    text: str
    error: str | None
    image: _Image | None
    unit: str
    adds: str
    takes: str
    facts: dict[str, str]
    summary: dict[str, str]
    sentences: str
    note: str
    rows: list[_Row]
    table: list[_Line]
    method: str
    n_steps: int
    baseline: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class Link:
    """A page of several.

    Attributes:
        name: what it is called.
        address: relative; None for the page that the link is on.
    """

    name: str
    address: str | None


def to_html(
    explanations: Sequence[Explanation],
    *,
    rows: Sequence[int] | None = None,
    lowest_first: bool = False,
    pages: Sequence[Link] = (),
    whole: tuple[int, int] | None = None,
) -> str:
    """A whole page: one explanation, or those of a table under an overview with links.

    Args:
        explanations: at least one; those that failed are shown with their error.
        rows: their numbers in the table that they are from; by default several are counted from 1.
        lowest_first: they are in the order of what is explained, which the overview then says.
        pages: all pages, if there are several.
        whole: explanations on all pages, and how many of them failed; by default those given.

    Raises:
        OptionError: there is no explanation.
    """
    if not explanations:
        raise OptionError("there is no explanation to show; give at least one")
    many = len(explanations) > 1 or rows is not None
    numbers = range(1, len(explanations) + 1) if rows is None else rows
    views = [
        _view(explanation, row, many=many)
        for explanation, row in zip(explanations, numbers, strict=True)
    ]
    whole = whole or (len(explanations), sum(e.error is not None for e in explanations))
    heading = _heading(explanations, *whole)
    page = next((link.name for link in pages if link.address is None), None)
    if page is not None:
        heading += f", page {page} of {len(pages):,}"
    shown = [view for view in views if view.error is None]
    text = textwrap.shorten(views[0].text, LONGEST_TITLE, placeholder="…")
    return (
        _templates()
        .get_template("page.html.jinja")
        .render(
            style=_style(),
            title=heading if many or not text else f"{heading} {text}",
            heading=heading,
            opening=_opening(explanations, *whole),
            legend_of=shown[0] if shown else None,
            views=views,
            many=many,
            pages=pages,
            leads=_leads(explanations, lowest_first=lowest_first),
            images_named=any(view.image_name for view in views),
            columns=[
                {"name": name, "names_word": name in wording.NAMING}
                for name in dict.fromkeys(name for view in shown for name in view.summary)
            ],
            distinct=_distinct(shown or views),
        )
    )


def to_fragment(explanation: Explanation) -> str:
    """One explanation to be shown inside another page, such as a notebook.

    Its styles reach nothing but itself: every class begins with `dse`, and no rule names elements
    alone. It has no ids, so that it can be shown twice.
    """
    template = _templates().get_template("fragment.html.jinja")
    return template.render(style=_style(), view=_view(explanation, 1, many=False))


@cache
def _templates() -> Environment:
    environment = templates("descscore.explain.render")
    environment.globals["minus"] = wording.MINUS
    return environment


@cache
def _style() -> str:
    from markupsafe import Markup

    style = (
        _templates()
        .get_template("style.css.jinja")
        .render(light=LIGHT, dark=DARK, levels=range(1, LEVELS + 1), width=line_width)
    )
    return Markup(style)


def _view(explanation: Explanation, row: int, *, many: bool) -> _View:
    image_name = wording.printable(explanation.image_name or "")
    failed = explanation.error is not None
    adds, takes = wording.means_of_sign(explanation)
    places = 0 if failed else wording.decimals(explanation)
    parts = [] if failed else wording.parts(explanation)
    strongest = wording.strongest(explanation)
    columns = {part: wording.values(explanation, part) for part in parts}
    cells = {
        part: [
            _Cell(
                number=wording.signed(value, places),
                shade=_shade(level_of(value, strongest)),
            )
            for value in column
        ]
        for part, column in columns.items()
    }
    return _View(
        row=row,
        heading=_heading_of_row(row, image_name) if many else _kind(explanation),
        image_name=image_name,
        text=wording.printable(explanation.text),
        error=None if explanation.error is None else wording.printable(explanation.error),
        image=None if failed else _image(explanation.image, LONGEST_SIDE_OF_MANY if many else None),
        unit=wording.unit(explanation),
        adds=adds,
        takes=takes,
        facts={} if failed else wording.facts(explanation),
        summary={} if failed else wording.summary(explanation),
        sentences="" if failed else " ".join(wording.sentences(explanation)),
        note="" if failed or "through" in parts else wording.NO_SUBSPACE,
        rows=[
            _Row(
                name=part.capitalize(),
                means=wording.MEANS[part],
                sum=wording.signed(sum(columns[part]), places),
                pieces=_pieces(explanation, cells[part]),
            )
            for part in parts
        ],
        table=[
            _Line(word=wording.printable(word.text), cells=[cells[part][row] for part in parts])
            for row, word in enumerate(explanation.words)
        ],
        method=explanation.method,
        n_steps=explanation.n_steps,
        baseline=explanation.baseline,
        signature=wording.printable(explanation.signature),
    )


def _heading_of_row(row: int, image_name: str) -> str:
    return f"Row {row:,}: {image_name}" if image_name else f"Row {row:,}"


def _kind(explanation: Explanation) -> str:
    return "The text" if explanation.image is None else "The image and its text"


def _pieces(explanation: Explanation, cells: Sequence[_Cell]) -> list[_Piece]:
    return [
        _Piece(text=piece.text)
        if piece.word is None
        else _Piece(text=piece.text, number=cells[piece.word].number, shade=cells[piece.word].shade)
        for piece in wording.pieces(explanation.text, explanation.words)
    ]


def _shade(level: int) -> str:
    """The class of a level, to be put behind another."""
    return "" if not level else f" dse-{'p' if level > 0 else 'n'}{abs(level)}"


def _image(content: bytes | None, longest_side: int | None) -> _Image | None:
    if content is None:
        return None
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        kind = image.format or "PNG"
        if longest_side is not None and max(image.size) > longest_side:
            image.thumbnail((longest_side, longest_side))
            file = io.BytesIO()
            image.save(file, kind)
            content = file.getvalue()
        width, height = image.size
    data = b64encode(content).decode("ascii")
    return _Image(address=f"data:image/{kind.lower()};base64,{data}", width=width, height=height)


def _heading(explanations: Sequence[Explanation], total: int, failed: int) -> str:
    targets = {explanation.target for explanation in explanations}
    if total > 1 and failed:
        return f"{total - failed:,} of {total:,} texts explained"
    if total > 1:
        return f"{total:,} texts explained"
    return "Why this score?" if targets == {"score"} else "A description or a caption?"


def _opening(explanations: Sequence[Explanation], total: int, failed: int) -> str:
    purpose = all(explanation.target == "purpose" for explanation in explanations)
    opening = (
        "What each word adds to the log-odds that the text is a description, not a caption."
        if purpose
        else "What each word of a text adds to the score of the text and its image."
    )
    if failed and total > 1:
        opening += f" {failed:,} of {total:,} could not be explained."
    return opening


def _leads(explanations: Sequence[Explanation], *, lowest_first: bool) -> str:
    """The caption of the overview."""
    leads = "Each text leads to its explanation"
    if not lowest_first:
        return leads
    purpose = all(explanation.target == "purpose" for explanation in explanations)
    return f"{leads}, the lowest {'P(description)' if purpose else 'score'} first"


def _distinct(views: Sequence[_View]) -> list[_View]:
    """The first of those that were made in the same way."""
    ways = {
        (view.signature, view.method, view.n_steps, view.baseline): view for view in views[::-1]
    }
    return list(ways.values())[::-1]
