"""Explanations in a terminal: the same with and without colour, in whatever width."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from descscore.explain import wording
from descscore.explain.shades import LIGHT
from tests import explanations_made as made

ESCAPE = "\x1b"


def printed(explanation: object, width: int = 80, *, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        no_color=not colour,
    )
    console.print(explanation)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_every_number_is_there_without_colour() -> None:
    explanation = made.explanation()
    out = printed(explanation)
    assert ESCAPE not in out
    for row, word in enumerate(explanation.words):
        numbers = [
            wording.Wording(explanation).signed(float(getattr(explanation.of_words, part)[row]))
            for part in ("total", "through", "around")
        ]
        line = next(
            line for line in out.splitlines() if line.split()[:2] == [word.text, numbers[0]]
        )
        assert [field for field in line.split() if re.fullmatch(r"\W?\d+\.\d+", field)] == numbers
    for name, value in wording.Wording(explanation).facts().items():
        assert re.search(rf"{re.escape(name)}\s+{re.escape(value)}", out)


def test_colour_shades_words_as_the_page_does() -> None:
    out = printed(made.explanation(), colour=True)
    red, green, blue = (int(LIGHT.adds[i : i + 2], 16) for i in (1, 3, 5))
    assert f"48;2;{red};{green};{blue}m" in out
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert plain == printed(made.explanation())


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_it_fits_into_the_width(width: int) -> None:
    explanation = made.explanation(" ".join([made.TEXT] * 5))
    assert max(cell_len(line) for line in printed(explanation, width).splitlines()) <= width


def test_control_characters_of_a_text_do_not_reach_the_terminal() -> None:
    out = printed(made.explanation("a \x1b[2Jdog"))
    assert ESCAPE not in out


def test_markup_in_a_text_stays_text() -> None:
    assert "a [bold]dog[/bold]" in printed(made.explanation("a [bold]dog[/bold]"))


def test_plain_clip_has_one_column_and_the_reason() -> None:
    out = printed(made.explanation(through=None))
    assert "through" not in next(line for line in out.splitlines() if line.startswith("word "))
    assert " ".join(out.split()).count(wording.NO_SUBSPACE) == 1


def test_failed_pair_says_why() -> None:
    assert printed(made.failed("gone")).splitlines() == [
        "A text whose image is gone.",
        "Not explained: gone",
    ]
