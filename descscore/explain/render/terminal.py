"""An explanation in a terminal: the shaded text, and a table of numbers that needs no colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from rich.table import Table
from rich.text import Text

from descscore.explain.shades import LIGHT
from descscore.explain.wording import Wording
from descscore.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from descscore.explain.explanation import Explanation


def terminal(explanation: Explanation) -> Iterator[RenderableType]:
    """What rich prints of an explanation.

    Colours are only used where the console has them; signs say the same.
    """
    said = Wording(explanation)
    if explanation.error is not None:
        yield Text(said.text)
        yield Text.assemble(("Not explained: ", "bold red"), printable(explanation.error))
        return
    yield Text.assemble(
        *(
            piece.text
            if piece.word is None
            else (piece.text, _style(said, said.columns["total"][piece.word]))
            for piece in said.pieces()
        ),
        "\n",
    )
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for fact in said.facts().items():
        facts.add_row(*fact)
    yield facts
    yield Text()
    yield _numbers(said)
    for remark in (" ".join(said.sentences()), said.note):
        if remark:
            yield Text(f"\n{remark}")
    yield Text(f"\n{printable(explanation.signature)}", style="dim", overflow="fold")


def _style(said: Wording, value: float) -> Style:
    # Dark on light, whatever the terminal's own colours are.
    level = said.level(value)
    return Style(color=LIGHT.ink, bgcolor=LIGHT.shade(level)) if level else Style()


def _numbers(said: Wording) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="bold", footer_style="bold", show_footer=True
    )
    table.add_column("word", footer="sum", overflow="fold")
    for part in said.columns:
        table.add_column(part, footer=said.sum(part), justify="right", no_wrap=True)
    for word, *values in zip(said.words, *said.columns.values(), strict=True):
        table.add_row(Text(word), *(Text(said.signed(v), _style(said, v)) for v in values))
    return table
