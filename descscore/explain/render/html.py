"""Explanations as HTML: one file that needs no script, no network and no colour vision.

A page holds its images as data. Its policy forbids everything else that a browser might fetch.
"""

from __future__ import annotations

import io
import textwrap
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Any

from descscore.errors import OptionError
from descscore.explain.shades import DARK, LEVELS, LIGHT, line_width
from descscore.explain.wording import MEANS, MINUS, NAMING, Wording
from descscore.printable import printable
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


def to_html(
    explanations: Sequence[Explanation],
    *,
    rows: Sequence[int] | None = None,
    lowest_first: bool = False,
    pages: Sequence[str] = (),
    page: int = 0,
    whole: tuple[int, int] | None = None,
) -> str:
    """A whole page: one explanation, or those of a table under an overview with links.

    Args:
        explanations: at least one; those that failed are shown with their error.
        rows: their numbers in the table that they are from; by default several are counted from 1.
        lowest_first: they are in the order of what is explained, which the overview then says.
        pages: relative addresses of all pages, if there are several.
        page: position of this one among them.
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
    shown = [view for view in views if view["error"] is None]
    score = {explanation.target for explanation in explanations} == {"score"}
    total, failed = whole or (len(views), len(views) - len(shown))
    if total > 1:
        heading = f"{f'{total - failed:,} of ' if failed else ''}{total:,} texts explained"
    else:
        heading = "Why this score?" if score else "A description or a caption?"
    if pages:
        heading += f", page {page + 1} of {len(pages):,}"
    text = textwrap.shorten(views[0]["text"], LONGEST_TITLE, placeholder="…")
    leads = "Each text leads to its explanation"
    if lowest_first:
        leads += f", the lowest {'score' if score else 'P(description)'} first"
    names = dict.fromkeys(name for view in shown for name in view["summary"])
    return (
        _templates()
        .get_template("page.html.jinja")
        .render(
            style=_style(),
            title=heading if many or not text else f"{heading} {text}",
            heading=heading,
            opening=(
                "What each word of a text adds to the score of the text and its image."
                if score
                else "What each word adds to the log-odds that the text is a description, not a "
                "caption."
            ),
            legend_of=shown[0] if shown else None,
            views=views,
            many=many,
            pages=pages,
            page=page,
            leads=leads,
            images_named=any(view["image_name"] for view in views),
            columns=[{"name": name, "names_word": name in NAMING} for name in names],
            made=list({view["made"]: None for view in shown or views}),
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
    environment.globals["minus"] = MINUS
    return environment


@cache
def _style() -> str:
    from markupsafe import Markup

    template = _templates().get_template("style.css.jinja")
    levels = range(1, LEVELS + 1)
    return Markup(template.render(light=LIGHT, dark=DARK, levels=levels, width=line_width))


def _view(explanation: Explanation, row: int, *, many: bool) -> _View:
    said = Wording(explanation)
    image_name = printable(explanation.image_name or "")
    kind = "The text" if explanation.image is None else "The image and its text"
    of_row = f"Row {row:,}: {image_name}" if image_name else f"Row {row:,}"
    about = {
        "row": row,
        "heading": of_row if many else kind,
        "image_name": image_name,
        "text": said.text,
        "error": explanation.error and printable(explanation.error),
        "made": "Integrated gradients over the text's token embeddings "
        f"({explanation.n_steps} steps of Gauss-Legendre quadrature, baseline: "
        f"{explanation.baseline}). {printable(explanation.signature)}",
    }
    if explanation.error is not None:
        return about
    cells: dict[Part, list[dict[str, str]]] = {
        part: [
            {"number": said.signed(value), "shade": _shade(said.level(value))} for value in column
        ]
        for part, column in said.columns.items()
    }
    return about | {
        "image": _image(explanation.image, LONGEST_SIDE_OF_MANY if many else None),
        "said": said,
        "summary": said.summary(),
        "rows": [
            {
                "name": part.capitalize(),
                "means": MEANS[part],
                "sum": said.sum(part),
                "pieces": [
                    {"text": piece.text} | ({} if piece.word is None else of_part[piece.word])
                    for piece in said.pieces()
                ],
            }
            for part, of_part in cells.items()
        ],
        "table": [
            {"word": word, "cells": of_word}
            for word, *of_word in zip(said.words, *cells.values(), strict=True)
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
