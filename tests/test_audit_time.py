"""Pages made to take long: work grows with the size of a page, not with its square."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from descscore.audit import Settings, audit
from descscore.audit.html import read_html
from descscore.audit.report.json import to_json
from descscore.audit.report.terminal import to_text
from descscore.audit.rst import read_rst

WORDS = " ".join(f"word{i}" for i in range(20_000))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound the processor time of a block."""
    begun = time.process_time()
    yield
    assert time.process_time() - begun < seconds


@pytest.mark.parametrize(
    "page",
    [
        f"<p id=l>{WORDS}</p>" + "<p><img src={}.png aria-labelledby=l></p>" * 400,
        f"<p id=l>{WORDS}</p>" + "<p><img src={}.png alt='a cup' aria-describedby=l></p>" * 400,
        f"<p>{WORDS}" + "<img src={}.png alt='a cup {}'>" * 400 + "</p>",
        "<p>" + "<img src={}.png alt='a cup {}'>" * 4000 + "</p>",
    ],
    ids=["one label", "one description", "one long paragraph", "many in a paragraph"],
)
def test_many_images_beside_one_long_text(page: str, tmp_path: Path) -> None:
    pieces = page.split("{}")
    text = "".join(f"{piece}{i}" for i, piece in enumerate(pieces[:-1])) + pieces[-1]
    (tmp_path / "page.html").write_text(f"<html lang=en><title>t</title>{text}</html>")
    with within(8):
        result = audit([tmp_path / "page.html"], Settings())
        reports = to_json(result), to_text(result)
    assert result.images == page.count("<img")
    assert max(map(len, reports)) < 20_000_000


def test_labels_whose_images_refer_to_each_other_have_names() -> None:
    page = (
        '<p id=a>One <img src=1.png alt="cup" aria-labelledby=b></p>'
        '<p id=b>Two <img src=2.png alt="cats" aria-labelledby=a></p>'
    )
    assert [image.name for image in read_html(page, "p.html")] == ["Two cats", "One cup"]


def test_the_text_of_a_label_is_that_of_each_image() -> None:
    # Kept for a page, but not where the image is part of the label.
    page = (
        '<p id=l>A cup <img src=a.png alt="of tea" aria-labelledby=l></p>'
        "<img src=b.png aria-labelledby=l><img src=c.png aria-labelledby=l>"
    )
    assert [image.name for image in read_html(page, "p.html")] == ["A cup", *["A cup of tea"] * 2]


@pytest.mark.parametrize("opened", ["|x ", "`x ", "*x ", "**x ", "_`x "])
def test_marks_that_are_opened_and_never_closed_in_restructuredtext(opened: str) -> None:
    text = f"{opened * 100}\n" * 100 + "\n.. image:: a.png\n   :alt: *a* cup\n"
    with within(5):
        [image] = read_rst(text, "page.rst")
    assert (image.name, image.place.line) == ("*a* cup", 102)


def test_what_follows_an_unclosed_mark_is_still_read() -> None:
    text = "A |logo| and |none and `text\n\n.. |logo| image:: a.png\n   :alt: The logo\n"
    [image] = read_rst(text, "page.rst")
    assert image.name == "The logo"
