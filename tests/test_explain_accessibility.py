"""Pages of explanations in a browser: axe-core, an HTML validator, the keyboard, narrow screens.

Run with `-m browser`; `tests/browsing.py` says what it needs.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from descscore.explain.render.html import to_fragment, to_html
from descscore.explain.wording import MINUS
from tests import explanations_made as made
from tests.browsing import look, validate

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PAGES = ("one", "many", "plain", "purpose", "failed", "all failed", "notebook")


def html_of(name: str) -> str:
    """The pages that are looked at."""
    one = made.explanation(image=made.photo())
    plain = made.explanation(image=made.photo("chelsea.jpg"), through=None)
    long = made.explanation(" ".join([made.TEXT] * 5), image=made.photo("rocket.jpg"))
    words = made.explanation(
        "Internationalisation, counterrevolutionaries.",
        [99.5, -0.1, -88.25, 0],
        image=made.photo(),
        image_name="photos/words.jpg",
    )
    gone = replace(made.failed(), image_name="gone.jpg")
    purpose = made.explanation("Courtesy of a bar.", target="purpose", score=None)
    if name == "notebook":
        cells = "".join(map(to_fragment, (one, one, plain)))
        head = '<meta charset="utf-8"><title>Notebook</title>'
        body = f"<main><h1>Notebook</h1><h2>Output</h2>{cells}</main>"
        return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'
    return to_html(
        {
            "one": [one],
            "many": [one, gone, long, words, plain],
            "plain": [plain],
            "purpose": [purpose],
            "failed": [made.failed()],
            "all failed": [made.failed(), gone],
        }[name]
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name in PAGES:
        (folder / f"{name}.html").write_text(html_of(name), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in PAGES}


# Of text this short axe cannot judge the contrast, as of the sign "+"; the shades' own tests do.
UNJUDGED = "Element content contains only non-text characters"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(
    visit: Any, written: dict[str, Path], axe: str, name: str, scheme: str
) -> None:
    page = visit(written[name], color_scheme=scheme, bypass_csp=True)
    violations, unsure = look(page, axe)
    assert violations == {}
    assert unsure <= {UNJUDGED}


def test_axe_finds_what_is_wrong_with_a_broken_page(visit: Any, axe: str, tmp_path: Path) -> None:
    broken = (
        html_of("many")
        .replace(' lang="en"', "")
        .replace("alt=", "data-alt=")
        .replace("--dse-ink: #17181c", "--dse-ink: #9a9aa0")
    )
    path = tmp_path / "broken.html"
    path.write_text(broken, encoding="utf-8")
    found, _ = look(visit(path, bypass_csp=True), axe)
    assert {"html-has-lang", "image-alt", "color-contrast"} <= set(found)


def test_pages_are_valid_html(written: dict[str, Path], node_modules: Path) -> None:
    # A style in the middle of a page is no valid HTML, but all that a notebook leaves to its cells.
    done = validate(node_modules, *(written[name] for name in PAGES if name != "notebook"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_validator_finds_what_is_wrong(tmp_path: Path, node_modules: Path) -> None:
    path = tmp_path / "broken.html"
    broken = (
        html_of("many")
        .replace("<summary>", "<summary><table></table>")
        .replace('id="pair-1"', 'id="pairs"')
    )
    path.write_text(broken, encoding="utf-8")
    done = validate(node_modules, path)
    assert done.returncode == 1
    assert "element-permitted-content" in done.stdout
    assert "no-dup-id" in done.stdout


def test_every_word_is_reached_by_tab_and_then_shows_its_number(
    visit: Any, written: dict[str, Path]
) -> None:
    page = visit(written["one"])
    words = len(made.explanation().words)
    for place in range(3 * words):
        page.keyboard.press("Tab")
        if place % 7 == 0:
            seen = page.evaluate(
                """() => {
                    const word = document.activeElement, tip = word.querySelector('.dse-tip');
                    const styles = getComputedStyle(word);
                    return [word.className.split(' ')[0], getComputedStyle(tip).visibility,
                            styles.outlineStyle, styles.outlineWidth];
                }"""
            )
            assert seen == ["dse-word", "visible", "solid", "3px"]
    assert page.locator(".dse-tip").first.is_hidden()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    assert not page.locator("details").evaluate("each => each.open")


def test_number_is_shown_under_the_pointer(visit: Any, written: dict[str, Path]) -> None:
    page = visit(written["one"])
    word = page.locator(".dse-word").nth(5)
    assert word.locator(".dse-tip").is_hidden()
    word.hover()
    assert word.locator(".dse-tip").is_visible()
    assert word.locator(".dse-tip").inner_text() == "+3.00"


def test_table_of_many_leads_to_pairs_and_from_one_to_the_next(
    visit: Any, written: dict[str, Path]
) -> None:
    page = visit(written["many"])
    page.locator('a[href="#pair-3"]').first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "pair-3"
    page.keyboard.press("Tab")
    assert page.locator("#pair-3 .dse-skip").bounding_box()["x"] > 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "pair-4"


# How many lines each word of the overview stands on, in its order.
LINES_OF_WORDS = """() => {
    const found = [], walker = document.createTreeWalker(
        document.querySelector('.dse-scroll'), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        for (const word of walker.currentNode.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(walker.currentNode, word.index);
            range.setEnd(walker.currentNode, word.index + word[0].length);
            found.push([word[0], new Set([...range.getClientRects()].map(each => each.top)).size]);
        }
    }
    return found;
}"""


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("width", [320, 640, 1000])
def test_no_word_or_number_of_the_overview_is_broken(
    visit: Any, written: dict[str, Path], width: int, media: str
) -> None:
    page = visit(written["many"], viewport={"width": width, "height": 900})
    page.emulate_media(media=media)
    lines = dict(page.evaluate(LINES_OF_WORDS))
    assert {"counterrevolutionaries.", "Internationalisation", "+99.50", f"{MINUS}88.25"} <= set(
        lines
    )
    assert {word for word, count in lines.items() if count != 1} == set()


def test_overview_fits_a_wide_screen_and_a_sheet_of_paper(
    visit: Any, written: dict[str, Path]
) -> None:
    page = visit(written["many"], viewport={"width": 1000, "height": 900})
    beyond = "document.querySelector('.dse-scroll table').offsetWidth - "
    beyond += "document.querySelector('.dse-scroll').clientWidth"
    assert page.evaluate(beyond) <= 0
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less the margins of Chromium
    page.emulate_media(media="print")
    assert page.evaluate(beyond) <= 0


def test_row_stays_in_sight_where_the_overview_is_scrolled(
    visit: Any, written: dict[str, Path]
) -> None:
    page = visit(written["many"], viewport={"width": 320, "height": 700})
    row = page.locator(".dse-scroll tbody tr").nth(3)
    first, last = row.locator("td").first, row.locator("td").last
    place = first.bounding_box()
    assert last.bounding_box()["x"] > 320
    page.evaluate("document.querySelector('.dse-scroll').scrollLeft = 10000")
    assert first.bounding_box() == place
    assert last.bounding_box()["x"] < 320


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_narrow_screen(
    visit: Any, written: dict[str, Path], name: str
) -> None:
    # The width that WCAG 2.2 asks for in criterion 1.4.10.
    page = visit(written[name], viewport={"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_page_asks_for_nothing_else(browser: Browser, written: dict[str, Path]) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(written["many"].as_uri())
    page.mouse.wheel(0, 5000)
    page.wait_for_function("[...document.images].every(image => image.naturalWidth)")
    page.close()
    assert [url for url in asked if not url.startswith("data:")] == [written["many"].as_uri()]
    assert said == []


def test_signs_are_told_apart_where_colours_are_forced(
    visit: Any, written: dict[str, Path]
) -> None:
    page = visit(written["one"], forced_colors="active")
    style = "each => getComputedStyle(each).borderBottomStyle"
    assert page.locator(".dse-word.dse-p8").first.evaluate(style) == "solid"
    assert page.locator(".dse-word.dse-n3").first.evaluate(style) == "dotted"


def test_print_shows_every_number(visit: Any, written: dict[str, Path]) -> None:
    page = visit(written["one"])
    page.emulate_media(media="print")
    tips = page.locator(".dse-tip")
    assert tips.count() == 33
    assert all(tips.nth(place).is_visible() for place in range(0, 33, 8))
    boxes = [tips.nth(place).bounding_box() for place in range(11)]
    assert all(
        left["x"] + left["width"] <= right["x"] + 0.5 or left["y"] < right["y"]
        for left, right in itertools.pairwise(boxes)
    )
