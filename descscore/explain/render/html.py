"""Explanations as HTML: one file that needs no script, no network and no colour vision.

A page holds its images as data. Its policy forbids everything else that a browser might fetch.
"""

from __future__ import annotations

import io
import textwrap
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from descscore.errors import OptionError
from descscore.explain import wording
from descscore.explain.shades import DARK, LEVELS, LIGHT, level_of, line_width
from descscore.templates import templates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from descscore.explain.explanation import Explanation, Part

LONGEST_TITLE = 80
"""Characters of a text in the title of its page."""

LONGEST_SIDE_OF_MANY = 320
"""Pixels of images on a page of many: each comes with every text it is paired with."""


_View = dict[str, Any]
"""Everything the templates show of one explanation, as `_view` makes it."""


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
    shown = [view for view in views if view["error"] is None]
    text = textwrap.shorten(views[0]["text"], LONGEST_TITLE, placeholder="…")
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
            images_named=any(view["image_name"] for view in views),
            columns=[
                {"name": name, "names_word": name in wording.NAMING}
                for name in dict.fromkeys(name for view in shown for name in view["summary"])
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

    template = _templates().get_template("style.css.jinja")
    levels = range(1, LEVELS + 1)
    return Markup(template.render(light=LIGHT, dark=DARK, levels=levels, width=line_width))


def _view(explanation: Explanation, row: int, *, many: bool) -> _View:
    image_name = wording.printable(explanation.image_name or "")
    kind = "The text" if explanation.image is None else "The image and its text"
    of_row = f"Row {row:,}: {image_name}" if image_name else f"Row {row:,}"
    about = {
        "row": row,
        "heading": of_row if many else kind,
        "image_name": image_name,
        "text": wording.printable(explanation.text),
        "error": explanation.error and wording.printable(explanation.error),
        "n_steps": explanation.n_steps,
        "baseline": explanation.baseline,
        "signature": wording.printable(explanation.signature),
    }
    if explanation.error is not None:
        return about
    adds, takes = wording.means_of_sign(explanation)
    places = wording.decimals(explanation)
    strongest = wording.strongest(explanation)
    parts = wording.parts(explanation)
    columns: dict[Part, list[float]] = {part: wording.values(explanation, part) for part in parts}
    cells = {
        part: [
            {"number": wording.signed(value, places), "shade": _shade(level_of(value, strongest))}
            for value in column
        ]
        for part, column in columns.items()
    }
    return about | {
        "image": _image(explanation.image, LONGEST_SIDE_OF_MANY if many else None),
        "unit": wording.unit(explanation),
        "adds": adds,
        "takes": takes,
        "facts": wording.facts(explanation),
        "summary": wording.summary(explanation),
        "sentences": " ".join(wording.sentences(explanation)),
        "note": "" if "through" in columns else wording.NO_SUBSPACE,
        "rows": [
            {
                "name": part.capitalize(),
                "means": wording.MEANS[part],
                "sum": wording.signed(sum(column), places),
                "pieces": [
                    {"text": piece.text} | ({} if piece.word is None else cells[part][piece.word])
                    for piece in wording.pieces(explanation.text, explanation.words)
                ],
            }
            for part, column in columns.items()
        ],
        "table": [
            {"word": wording.printable(word.text), "cells": of_word}
            for word, *of_word in zip(explanation.words, *cells.values(), strict=True)
        ],
    }


def _shade(level: int) -> str:
    """The class of a level, to be put behind another."""
    return "" if not level else f" dse-{'p' if level > 0 else 'n'}{abs(level)}"


def _image(content: bytes | None, longest_side: int | None) -> dict[str, Any] | None:
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
    address = f"data:image/{kind.lower()};base64,{data}"
    return {"address": address, "width": width, "height": height}


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
    told = ("signature", "n_steps", "baseline")
    ways = {tuple(view[name] for name in told): view for view in views[::-1]}
    return list(ways.values())[::-1]
