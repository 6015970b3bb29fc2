"""Pages of explanations: complete, safe, by themselves. A browser reads them in another file."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import pytest
from PIL import Image

from descscore.errors import OptionError
from descscore.explain import wording
from descscore.explain.render.html import to_fragment, to_html
from tests import explanations_made as made
from tests.html_read import Page, read


def overview(page: Page) -> list[list[str]]:
    """The cells of the table of all pairs, a list a row."""
    rows: list[list[str]] = []
    for element in page.elements:
        if element.tag == "article":
            break
        if element.tag == "tr":
            rows.append([])
        elif element.tag in {"th", "td"}:
            rows[-1].append(element.text)
    return rows


def test_every_word_stands_in_three_rows_and_in_the_table_with_its_numbers() -> None:
    explanation = made.explanation()
    page = read(to_html([explanation]))
    words = [word.text for word in explanation.words]
    said = wording.Wording(explanation)
    shown = page.all("span", "dse-word")
    tips = [tip.text for tip in page.all("span", "dse-tip")]
    assert [word.text.removesuffix(tip) for word, tip in zip(shown, tips, strict=True)] == words * 3
    expected = [
        [said.signed(float(value)) for value in getattr(explanation.of_words, part)]
        for part in ("total", "through", "around")
    ]
    assert tips == [number for row in expected for number in row]
    cells = [cell.text for cell in page.all("span", "dse-cell")]
    by_word = [number for row in zip(*expected, strict=True) for number in row]
    assert cells == [*by_word, "+5.30", "+1.20", "+4.10"]
    rows = [th.text for th in page.all("th") if th.attributes["scope"] == "row"]
    assert rows == [*words, "Sum"]


def test_rows_keep_the_text_as_it_is_spelled() -> None:
    text = "  Café,\n«naïve»  —  日本 & <b>bold</b>"
    page = read(to_html([made.explanation(text)]))
    tips = {tip.text for tip in page.all("span", "dse-tip")}
    for row in page.all("p", "dse-words"):
        shown = row.text
        for tip in sorted(tips, key=len, reverse=True):
            shown = shown.replace(tip, "")
        assert shown == text
    assert not page.all("b")


def test_image_is_inside_with_the_text_as_its_alternative() -> None:
    photo = made.photo()
    text = 'A "red" cup & <saucer>'
    (image,) = read(to_html([made.explanation(text, image=photo)])).all("img")
    assert image.attributes["alt"] == text
    kind, data = image.attributes["src"].split(",", 1)
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(data) == photo
    with Image.open(io.BytesIO(photo)) as opened:
        size = opened.size
    assert (int(image.attributes["width"]), int(image.attributes["height"])) == size


def test_images_on_a_page_of_many_are_smaller_and_loaded_when_needed() -> None:
    photo = made.photo()
    images = read(to_html([made.explanation(image=photo)] * 2)).all("img")
    assert [image.attributes["loading"] for image in images] == ["lazy"] * 2
    assert [int(image.attributes["width"]) for image in images] == [320] * 2
    content = base64.b64decode(images[0].attributes["src"].split(",", 1)[1])
    assert len(content) < len(photo)


def test_text_cannot_become_markup() -> None:
    attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    explanations = [
        made.explanation(attack, image=made.photo(), signature=attack),
        made.failed(attack),
    ]
    for html in (to_html(explanations), to_html(explanations[:1]), to_fragment(explanations[0])):
        page = read(html)
        assert not page.all("script")
        assert len(page.all("img")) == 1
        assert not any("onerror" in element.attributes for element in page.elements)


@pytest.mark.parametrize("count", [1, 3])
def test_page_needs_nothing_from_elsewhere(count: int) -> None:
    html = to_html([made.explanation(image=made.photo())] * count)
    page = read(html)
    policy = page.all("meta")[2].attributes
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    assert not page.all("script") + page.all("link") + page.all("iframe")
    for element in page.elements:
        assert not any(name.startswith("on") for name in element.attributes)
        assert element.attributes.get("src", "data:").startswith("data:")
        assert element.attributes.get("href", "#").startswith("#")
    style = page.all("style")[0].text
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"transition|animation|scroll-behavior", style)


def test_page_of_many_begins_with_a_table_that_leads_to_each() -> None:
    explanations = [made.explanation(), made.failed(), made.explanation("A dog.", [1, 2, -1])]
    page = read(to_html(explanations))
    links = [link.attributes["href"] for link in page.all("a") if link.text[0] in "A"]
    assert links[:3] == ["#pair-1", "#pair-2", "#pair-3"]
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {link.attributes["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}
    assert page.all("h1")[0].text == "2 of 3 texts explained"


def test_rows_and_images_are_named_in_the_table_and_in_the_headings() -> None:
    explanations = [
        made.explanation(image_name="a & b.jpg"),
        replace(made.failed(), image_name="gone.jpg"),
        made.explanation("A dog."),
    ]
    page = read(to_html(explanations, rows=[1207, 3, 8]))
    headings = [heading.text for heading in page.all("h2")]
    assert headings == ["All pairs", "Row 1,207: a & b.jpg", "Row 3: gone.jpg", "Row 8"]
    ids = [article.attributes["id"] for article in page.all("article")]
    assert ids == ["pair-1207", "pair-3", "pair-8"]
    header, *rows = overview(page)
    assert header[:3] == ["Row", "Image and text", "Score"]
    assert [row[0] for row in rows] == ["1,207", "3", "8"]
    assert [row[1] for row in rows] == [
        f"a & b.jpg {made.TEXT}",
        "gone.jpg A text whose image is gone.",
        "A dog.",
    ]


def test_table_of_many_says_why_a_pair_failed() -> None:
    failed = made.failed("image ('<gone>.jpg') does not exist")
    header, row, _ = overview(read(to_html([failed, made.explanation()])))
    assert row == ["1", failed.text, "Not explained: image ('<gone>.jpg') does not exist"]
    assert len(header) > 3
    header, *rows = overview(read(to_html([failed] * 2)))
    assert header == ["Row", "Text", "Result"]
    assert [len(row) for row in rows] == [3, 3]


def test_failed_pair_says_why_and_the_others_are_shown() -> None:
    page = read(to_html([made.failed("image 0 is <gone>"), made.explanation()]))
    first, second = page.all("article")
    assert "Not explained: image 0 is <gone>" in first.text
    assert "nan" not in first.text
    assert "+3.00" in second.text
    alone = read(to_html([made.failed()]))
    assert "does not exist" in alone.all("article")[0].text


def test_plain_clip_has_the_total_only_and_says_why() -> None:
    html = to_html([made.explanation(through=None)])
    page = read(html)
    assert len(page.all("p", "dse-words")) == 1
    assert wording.NO_SUBSPACE in html
    assert [th.text for th in page.all("th") if th.attributes["scope"] == "col"] == [
        "Word",
        "Total",
    ]


def test_explanations_of_several_checkpoints_share_a_table() -> None:
    page = read(to_html([made.explanation(), made.explanation(through=None)]))
    cells = [cell.text for cell in page.all("td")]
    assert "0.871" in cells
    assert "none" in cells


def test_purpose_without_an_image_is_explained() -> None:
    page = read(to_html([made.explanation(target="purpose", score=None)]))
    assert not page.all("img")
    assert page.all("h1")[0].text == "A description or a caption?"
    assert "suggests a caption" in page.all("ul", "dse-scale")[0].text


def test_fragment_leaks_no_style_and_has_no_ids() -> None:
    html = to_fragment(made.explanation(image=made.photo()))
    page = read(html)
    assert not any("id" in element.attributes for element in page.elements)
    style = re.sub(r"@media[^{]*\{", "", page.all("style")[0].text)
    selectors = [
        selector.strip()
        for rule in re.findall(r"([^{}]+)\{", style)
        for selector in rule.split(",")
    ]
    assert len(selectors) > 50
    assert [selector for selector in selectors if not selector.startswith(".dse")] == []
    assert not page.all("h1") + page.all("h2")


def test_two_hundred_pairs_make_a_page_of_a_few_megabytes() -> None:
    html = to_html([made.explanation(image=made.photo())] * 200)
    assert len(html) < 12_000_000
    assert html.count("<article") == 200


def test_ways_of_making_are_said_once_each() -> None:
    explanations = [made.explanation()] * 3 + [made.explanation(n_steps=100)]
    footer = read(to_html(explanations)).all("footer")[0].text
    assert footer.count("50 steps") == footer.count("100 steps") == 1
    assert footer.count(made.SIGNATURE) == 2


def test_nothing_to_show_is_an_error() -> None:
    with pytest.raises(OptionError, match="at least one"):
        to_html([])
