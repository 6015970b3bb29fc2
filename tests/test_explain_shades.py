"""The shades of attributions: readable in every level, and told apart without colour."""

from __future__ import annotations

import pytest

from descscore.explain.shades import (
    DARK,
    LEVELS,
    LIGHT,
    Scheme,
    line_width,
    mix,
)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, in [1, 21] (WCAG 2.2, definition of contrast ratio)."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance, in [0, 1] (WCAG 2.2)."""
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in bytes.fromhex(colour[1:]))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


SCHEMES = pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])


def test_contrast_is_that_of_the_standard() -> None:
    # Published values: WCAG's range of 1 to 21, and the well-known greys at the limit of AA.
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#123456", "#123456") == pytest.approx(1)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@SCHEMES
@pytest.mark.parametrize("level", range(-LEVELS, LEVELS + 1))
def test_text_on_every_shade_has_the_contrast_that_wcag_asks_for(
    scheme: Scheme, level: int
) -> None:
    assert contrast(scheme.ink, scheme.shade(level)) >= 4.5


@SCHEMES
def test_faint_text_and_lines_can_be_seen_on_the_page(scheme: Scheme) -> None:
    assert contrast(scheme.faint, scheme.page) >= 4.5
    assert contrast(scheme.adds_line, scheme.page) >= 3
    assert contrast(scheme.takes_line, scheme.page) >= 3
    # The number of a word under the pointer is the page's colour on ink.
    assert contrast(scheme.page, scheme.ink) >= 4.5


@SCHEMES
def test_strongest_words_stand_out_from_their_lines(scheme: Scheme) -> None:
    assert contrast(scheme.adds_line, scheme.shade(LEVELS)) >= 2.5
    assert contrast(scheme.takes_line, scheme.shade(-LEVELS)) >= 2.5


def test_lines_grow_with_the_level() -> None:
    widths = [line_width(level) for level in range(LEVELS + 1)]
    assert widths[0] == 0
    assert widths == sorted(widths)
    assert len(set(widths)) == 5
    assert line_width(-LEVELS) == line_width(LEVELS)


def test_level_zero_is_the_page_and_the_last_the_strongest() -> None:
    assert LIGHT.shade(0) == LIGHT.page
    assert LIGHT.shade(LEVELS) == LIGHT.adds
    assert LIGHT.shade(-LEVELS) == LIGHT.takes
    assert mix("#000000", "#ffffff", 0.5) == "#808080"
