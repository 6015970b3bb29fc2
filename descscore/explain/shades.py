"""The shades of attributions: green adds, magenta takes away, the stronger the more.

A shade is one of a few levels, so that the contrast of every one can be tested (WCAG 2.2, criterion
1.4.3). What a shade says is also said by the line under a word: solid where it adds, dotted where
it takes away, thicker the more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVELS = 8
"""Steps between no effect and the strongest of a text."""

THICKEST_LINE = 4
"""Pixels of the line under the strongest words."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """The colours of a light or a dark page, as "#rrggbb".

    Attributes:
        page: what is behind everything.
        ink: of text, on the page and on every shade.
        faint: of text of less weight, on the page.
        rule: of borders.
        adds: the shade of the strongest word that adds.
        takes: the shade of the strongest word that takes away.
        adds_line: the line under words that add.
        takes_line: the line under words that take away.
    """

    page: str
    ink: str
    faint: str
    rule: str
    adds: str
    takes: str
    adds_line: str
    takes_line: str

    def shade(self, level: int) -> str:
        """The background of a level in [-LEVELS, LEVELS]; level 0 is the page."""
        end = self.adds if level > 0 else self.takes
        return mix(self.page, end, abs(level) / LEVELS)


LIGHT = Scheme(
    page="#ffffff",
    ink="#17181c",
    faint="#575c66",
    rule="#d5d8de",
    adds="#5cc47a",
    takes="#f08bcb",
    adds_line="#0c6e37",
    takes_line="#a3146f",
)
DARK = Scheme(
    page="#16181d",
    ink="#f3f4f6",
    faint="#a9afba",
    rule="#3c414b",
    adds="#14753c",
    takes="#9a2272",
    adds_line="#62d98d",
    takes_line="#ff8fd6",
)


def line_width(level: int) -> int:
    """Pixels of the line under a word of a level; 0 for none."""
    return math.ceil(abs(level) * THICKEST_LINE / LEVELS)


def mix(start: str, end: str, share: float) -> str:
    """A colour between two, by the share of the second."""
    pairs = zip(bytes.fromhex(start[1:]), bytes.fromhex(end[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
