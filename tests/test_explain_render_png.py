"""Explanations as pictures: what is drawn, and the words for those who do not see it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image, ImageColor

from descscore.errors import OptionError
from descscore.explain.render.png import DOTS, WIDTH, alternative_text, to_png
from descscore.explain.shades import LIGHT
from tests import explanations_made as made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.png"


def colours(path: Path) -> set[object]:
    with Image.open(path) as picture:
        counted = picture.convert("RGB").getcolors(picture.width * picture.height)
    assert counted is not None
    return {colour for _, colour in counted}


def test_picture_has_the_photo_and_bars_of_both_signs(out: Path) -> None:
    to_png(made.explanation(image=made.photo()), out)
    with Image.open(out) as picture:
        assert picture.width == WIDTH * DOTS
    shown = colours(out)
    assert {ImageColor.getrgb(LIGHT.adds), ImageColor.getrgb(LIGHT.takes)} <= shown
    to_png(made.explanation(image=None), out)
    # The photo's colours are gone.
    assert len(colours(out)) < len(shown)


@pytest.mark.filterwarnings("error")
def test_dollars_are_dollars_and_no_formulas(out: Path) -> None:
    to_png(made.explanation("A $5 coin, a $10_{x note."), out)


def test_picture_carries_its_alternative_text(out: Path) -> None:
    explanation = made.explanation('A "red" cup & <saucer>')
    to_png(explanation, out)
    alternative = alternative_text(explanation)
    with Image.open(out) as picture:
        info = picture.info
    assert info["Description"] == alternative


def test_alternative_text_has_every_word_with_its_number() -> None:
    text = alternative_text(made.explanation())
    assert "“A small red cup of espresso, on a saucer.”" in text
    words = text.partition("What each word adds: ")[2]
    assert len(re.findall(r"[+−]?\d\.\d\d", words)) == 11  # noqa: RUF001
    assert "espresso +3.00" in words


def test_long_texts_and_long_words_stay_within_the_picture(out: Path) -> None:
    to_png(made.explanation(" ".join([made.TEXT] * 8) + " " + "x" * 300), out)
    with Image.open(out) as picture:
        assert picture.width == WIDTH * DOTS
        edges = [(0, 0, 4, picture.height), (picture.width - 4, 0, picture.width, picture.height)]
        for edge in edges:
            assert set(picture.convert("RGB").crop(edge).get_flattened_data()) == {(255, 255, 255)}
        assert picture.height > picture.width


@pytest.mark.filterwarnings("error")
def test_accents_and_other_alphabets_are_drawn(out: Path) -> None:
    to_png(made.explanation("Ein Mädchen mit Čapka, девочка, κορίτσι."), out)


def test_characters_that_the_font_lacks_are_named(out: Path) -> None:
    with pytest.warns(UserWarning, match="missing from font"):
        to_png(made.explanation("A map of 日本"), out)
    assert out.exists()


def test_failed_pair_cannot_be_drawn(out: Path) -> None:
    with pytest.raises(OptionError, match="nothing to draw: gone"):
        to_png(made.failed("gone"), out)
    assert not out.exists()
