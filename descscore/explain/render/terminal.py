"""An explanation in a terminal: the shaded text, and a table of numbers that needs no colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from descscore.explain import wording
from descscore.explain.shades import LIGHT, level_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from descscore.explain.explanation import Explanation

HALF_BAR = 10
"""Characters of the longest bar to either side of zero."""

ROOM_FOR_BARS = 64
"""Columns from which on a terminal has room for bars beside the numbers."""

ADDS, TAKES = "█", "▒"
"""What bars are made of: they differ in pattern as well as in side."""


def terminal(explanation: Explanation, width: int) -> Iterator[RenderableType]:
    """What rich prints of an explanation on a console of some columns.

    Colours are only used where the console has them; signs and bars say the same.
    """
    if explanation.error is not None:
        yield Text(wording.printable(explanation.text))
        yield Text.assemble(("Not explained: ", "bold red"), wording.printable(explanation.error))
        return
    yield _shaded(explanation)
    yield Text()
    yield _facts(explanation)
    yield Text()
    yield _numbers(explanation, bars=width >= ROOM_FOR_BARS)
    yield Text()
    yield from _remarks(explanation)


def _shaded(explanation: Explanation) -> Text:
    total = wording.values(explanation, "total")
    strongest = wording.strongest(explanation)
    shown = Text()
    for piece in wording.pieces(explanation.text, explanation.words):
        if piece.word is not None:
            shown.append(piece.text, _style(level_of(total[piece.word], strongest)))
        else:
            shown.append(piece.text)
    return shown


def _style(level: int) -> Style | None:
    # Dark on light, whatever the terminal's own colours are.
    return Style(color=LIGHT.ink, bgcolor=LIGHT.shade(level)) if level else None


def _facts(explanation: Explanation) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in wording.facts(explanation).items():
        table.add_row(name, value)
    return table


def _numbers(explanation: Explanation, *, bars: bool) -> Table:
    parts = wording.parts(explanation)
    columns = {part: wording.values(explanation, part) for part in parts}
    strongest = wording.strongest(explanation)
    places = wording.decimals(explanation)
    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="bold", footer_style="bold", show_footer=True
    )
    table.add_column("word", footer="sum", overflow="fold")
    for part, column in columns.items():
        footer = wording.signed(sum(column), places)
        table.add_column(part, footer=footer, justify="right", no_wrap=True)
        if bars and part == "total":
            table.add_column("", no_wrap=True)
    for row, word in enumerate(explanation.words):
        cells: list[RenderableType] = [Text(wording.printable(word.text))]
        for part, column in columns.items():
            style = _style(level_of(column[row], strongest))
            cells.append(Text(wording.signed(column[row], places), style or ""))
            if bars and part == "total":
                cells.append(_bar(column[row], strongest))
        table.add_row(*cells)
    return table


def _bar(value: float, strongest: float) -> Text:
    length = round(abs(value) / strongest * HALF_BAR) if strongest else 0
    left = (TAKES * length if value < 0 else "").rjust(HALF_BAR)
    right = (ADDS * length if value > 0 else "").ljust(HALF_BAR)
    return Text.assemble((left, "magenta"), ("│", "dim"), (right, "green"))


def _remarks(explanation: Explanation) -> list[RenderableType]:
    remarks = [" ".join(wording.sentences(explanation))]
    if "through" not in wording.parts(explanation):
        remarks.append(wording.NO_SUBSPACE)
    return [
        *(Padding(Text(remark), (0, 0, 1, 0)) for remark in remarks),
        Text(wording.printable(explanation.signature), style="dim", overflow="fold"),
    ]
