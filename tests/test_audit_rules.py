"""The rules: what each finds and what it lets pass, on small pages of its own."""

from __future__ import annotations

import pytest

from descscore.audit.credits import is_credit, without_credit
from descscore.audit.findings import Finding
from descscore.audit.html import read_html
from descscore.audit.name_checks import (
    has_markup,
    has_prefix,
    is_filename,
    is_keywords,
    is_placeholder,
    is_vague,
)
from descscore.audit.rules import RULES
from descscore.audit.run import PRESENCE, Auditor
from descscore.audit.settings import Settings
from tests import audit_cases

EVERY = Settings(enable=tuple(rule.id for rule in RULES.values() if not rule.on))


def findings(html: str, settings: Settings | None = None) -> list[Finding]:
    auditor = Auditor(settings or Settings())
    return auditor.audit_page("page.html", lambda: read_html(html, "page.html")).findings


def rules(html: str, settings: Settings | None = None) -> list[str]:
    return [each.rule.id for each in findings(html, settings)]


# Names that are missing.


@pytest.mark.parametrize(
    ("html", "rule"),
    [
        ("<img src=a.png>", "image-alt"),
        ('<img alt=" ">', "image-alt"),
        ("<img alt='&nbsp;&#8203;'>", "image-alt"),
        ("<img role=button>", "image-alt"),
        ("<input type=image src=a.png>", "input-image-alt"),
        ("<img src={{ url }}>", "image-alt"),
        ("<img src='{{ url }}'>", "image-alt"),
        ("<map><area href=x></map>", "area-alt"),
        ("<div role=img></div>", "role-img-alt"),
        ("<canvas role=img></canvas>", "role-img-alt"),
        ("<svg role=img></svg>", "svg-img-alt"),
        ("<svg><g role=img></g></svg>", "svg-img-alt"),
        ('<object type="image/png" data=a></object>', "object-alt"),
        ('<a href=x><img alt=""></a>', "link-name"),
        ("<a href=x><svg></svg></a>", "link-name"),
        ('<button><img alt=""></button>', "button-name"),
    ],
)
def test_missing_name_is_a_violation(html: str, rule: str) -> None:
    (found,) = findings(html)
    assert (found.rule.id, found.severity) == (rule, "violation")


@pytest.mark.parametrize(
    "html",
    [
        '<img alt="">',
        "<img role=separator>",
        "<input type=text>",
        "<map><area></map>",
        "<svg></svg>",
        "<canvas></canvas>",
        "<object data=page.html></object>",
        '<a href=x><img alt=""> Home</a>',
        '<a href=x title=Home><img alt=""></a>',
        '<a href=x><img alt=""><img alt=Home></a>',
        '<a><img alt=""></a>',
        '<a href=x style="display:none"><img></a>',
        '<button aria-label=Close><img src="x"></button>',
        "<a href=x><svg><text>Home</text></svg></a>",
        "<img {% if t %}alt='x'{% endif %} src=a>",
        "<img <?php attributes() ?> src=a>",
    ],
)
def test_name_that_is_not_needed_is_not_missed(html: str) -> None:
    assert rules(html) == []


def test_link_and_image_without_a_name_are_one_finding() -> None:
    assert rules("<a href=x><img src=a.png></a>") == ["image-alt"]


def test_violation_is_for_review_where_a_style_sheet_may_hide_the_image() -> None:
    (found,) = findings("<style>.a{display:none}</style><img class=a>")
    assert (found.rule.id, found.severity) == ("image-alt", "review")
    assert "style sheet" in found.message


# Wording.


@pytest.mark.parametrize(
    ("name", "src"),
    [
        ("photo.jpg", ""),
        ("Summer holiday 2023.PNG", ""),
        ("https://example.org/a", ""),
        ("/img/a", ""),
        ("IMG_1234", ""),
        ("DSC00042", ""),
        ("PXL_20230101_120000", ""),
        ("WhatsApp Image 2023-01-01 at 10.10.10", ""),
        ("Bildschirmfoto 2023-01-01 um 10.10.10", ""),
        ("20230101_101010", ""),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", ""),
        ("d41d8cd98f00b204e9800998ecf8427e", ""),
        ("team_photo", "img/team_photo.jpg"),
        ("hero-home-final", "/hero-home-final.webp?v=1"),
        ("team_photo", ""),
        ("product-image-2", ""),
        ("IMG-20240101-WA0001", ""),
    ],
)
def test_file_name(name: str, src: str) -> None:
    assert is_filename(name, src)


@pytest.mark.parametrize(
    ("name", "src"),
    [
        ("Nyhavn", "nyhavn.jpg"),
        ("X-ray", "x-ray.png"),
        ("mother-in-law", ""),
        ("Drag-and-drop", ""),
        ("W3C", "w3c.png"),
        ("Contents of the folder with the file report.pdf", ""),
        ("and/or", ""),
        ("Apollo 11", "apollo-11.jpg"),
        ("Group of four people", ""),
        ("5 km", ""),
    ],
)
def test_no_file_name(name: str, src: str) -> None:
    assert not is_filename(name, src)


@pytest.mark.parametrize(
    "name",
    [
        "TODO",
        "alt",
        "Alt-Text",
        "insert description here",
        "image description",
        "lorem ipsum",
        "Untitled",
        "null",
        "No image available",
        "texte alternatif",
        "Beschreibung",
        "test image",
        "sin título",
        "photo here",
        "n/a",
        "Untitled design (3)",
        "Lorem ipsum dolor sit amet, consectetur",
        "[object Object]",
        "image missing",
    ],
)
def test_placeholder(name: str) -> None:
    assert is_placeholder(name)


@pytest.mark.parametrize(
    "name", ["Add", "No", "Here", "Next", "Test tube", "Empty chair", "Alt key", "Text of the law"]
)
def test_no_placeholder(name: str) -> None:
    assert not is_placeholder(name)


@pytest.mark.parametrize(
    "name",
    [
        "image",
        "The Photo!",
        "Logo",
        "photo of",
        "Company logo",
        "click here",
        "Bild",
        "Imagen 2",
        "Figure 3",
        "...",
        "17",
        "★★★",
        "画像",
        "image 3 of 7",
        "⛵🌊",
    ],
)
def test_vague(name: str) -> None:
    assert is_vague(name)


@pytest.mark.parametrize(
    "name",
    ["Acme logo", "Map of Berlin", "Search icon", "Stupa", "New", "View", "日本の地図", "A4"],
)
def test_not_vague(name: str) -> None:
    assert not is_vague(name)


@pytest.mark.parametrize(
    "text",
    [
        "Photo: Ann Lee",
        "photo credit: A. Lee/Reuters",
        "© 2020 A. Lee",
        "(c) 2020 A. Lee",
        "(Photo: Ann Lee)",
        "Copyright Lee Ltd",
        "Courtesy of the city archive",
        "Photo by Ann Lee on Unsplash",
        "Ann Lee / AFP",
        "Getty Images",
        "CC BY-SA 4.0",
        "Foto: Ann Lee (dpa)",
        "Photograph: Ann van der Lee",
        "Image credit: NASA/ESA",
        "Bildquelle: Pixabay",
        "Licensed under CC BY 2.0",
    ],
)
def test_credit(text: str) -> None:
    assert is_credit(text)


@pytest.mark.parametrize(
    "text",
    [
        "Photo: a dog in the snow",
        "Ann Lee",
        "Photo by the sea",
        "A cat (Photo: Ann Lee)",
        "NASA",
        "Facebook",
        "Under the bridge",
        "Press conference",
        "The press in front of the house",
        "Ann Lee speaks to reporters of Reuters",
    ],
)
def test_no_credit(text: str) -> None:
    assert not is_credit(text)


def test_credit_is_taken_from_the_end_of_a_caption() -> None:
    assert without_credit("Max at home (Photo: T. Lee)") == "Max at home"
    assert without_credit("The lake in July. Photo: T. Lee") == "The lake in July."
    assert without_credit("The lake (in July)") == "The lake (in July)"


def test_search_words_and_lists_of_things() -> None:
    assert is_keywords("shoes, buy shoes, running shoes, sale, cheap, sport, outlet")
    assert is_keywords("cheap hotel Bern hotel booking best hotel hotel deals")
    assert not is_keywords("A table with plates, cups, bread, butter, jam, and a vase")
    assert not is_keywords("Ann Lee, Bo Ek, Cy Fox, Di Roe, Ed Kim, Flo Day")
    assert not is_keywords("Red, green and blue balls")
    assert not is_keywords("Red apples, green pears, bananas, oranges, grapes, plums on a table")


def test_markup_and_prefix() -> None:
    assert has_markup("Tom &amp; Ann")
    assert has_markup("<b>Tom</b>")
    assert not has_markup("Tom & Ann, 3 < 4 > 2")
    assert has_prefix("A picture of a dog")
    assert has_prefix("Bild von einem Hund")
    assert not has_prefix("Picture frame")
    assert not has_prefix("Painting of a ship")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("IMG_1234.jpg", "alt-filename"),
        ("TODO", "alt-placeholder"),
        ("image", "alt-vague"),
        ("Photo: Ann Lee", "alt-credit"),
        ("shoes, buy shoes, running shoes, sale, cheap, sport, outlet", "alt-keywords"),
    ],
)
def test_name_gets_one_finding_on_its_wording(name: str, rule: str) -> None:
    assert rules(f'<img src="a.jpg" alt="{name}">') == [rule]


def test_file_name_is_right_in_a_link_that_saves_the_file() -> None:
    assert rules('<a href=a.jpg download>Save <img src=a.jpg alt="a.jpg"></a>') == []


def test_own_vague_words_are_compared_without_case() -> None:
    settings = Settings(vague_words=("Our Company",))
    assert rules("<img alt='our company!'>", settings) == ["alt-vague"]
    assert rules("<img alt='our company!'>") == []


# Repetitions.


@pytest.mark.parametrize(
    ("html", "rule"),
    [
        ("<a href=x><img alt='News'> News</a>", "image-redundant-alt"),
        ("<p>NEWS! <img alt=news></p>", "image-redundant-alt"),
        ("<a href=x><img alt=News></a> <a href=x>News</a>", "image-redundant-alt"),
        ("<h2>News</h2><img alt=News>", "image-redundant-alt"),
        ("<h2><img alt=News> News</h2>", "image-redundant-alt"),
        (
            "<button><img aria-labelledby=n>News</button><b id=n>News</b>",
            "image-redundant-alt",
        ),
        ("<figure><img alt=Max><figcaption>Max.</figcaption></figure>", "alt-equals-caption"),
    ],
)
def test_repetition(html: str, rule: str) -> None:
    assert rules(html) == [rule]


@pytest.mark.parametrize(
    "html",
    [
        "<main><img alt=News> News</main>",
        "<a href=x><img alt=News></a> <a href=y>News</a>",
        "<h2>News</h2><p>Text</p><img alt=News>",
        "<figure><img aria-labelledby=c><figcaption id=c>Max</figcaption></figure>",
        "<label>Go <input type=image></label>",
        "<a href=x><img alt='' role=none> News</a>",
        "<p><img aria-labelledby=c> <span id=c>Max</span></p>",
    ],
)
def test_no_repetition(html: str) -> None:
    assert rules(html) == []


def duplicates(html: str) -> list[bool]:
    found = {each.element.place.column for each in findings(html) if "duplicate" in each.rule.id}
    elements = list(read_html(html, "page.html"))
    return [each.place.column in found for each in elements]


def test_different_images_with_one_name_are_duplicates() -> None:
    assert duplicates("<img src=a alt=Dog><img src=b alt='dog.'>") == [True, True]


def test_name_belongs_to_the_image_that_it_is_used_for_again() -> None:
    html = "<img src=a alt=Dog><img src=a alt=Dog><img src=b alt=Dog>"
    assert duplicates(html) == [False, False, True]


def test_versions_of_an_image_are_one_image() -> None:
    html = "<img src=logo-dark.svg alt=Acme><img src=logo-light.svg alt=Acme>"
    assert duplicates(html) == [False, False]
    assert duplicates("<img src=a.png alt=A><img src=a-300x200.png?v=2 alt=A>") == [False, False]


def test_one_image_for_links_to_different_places_is_a_duplicate() -> None:
    link = "<a href={}><img src=e.png alt=Edit></a>"
    assert duplicates(link.format(1) + link.format(2)) == [True, True]
    assert duplicates(link.format(1) + link.format(1)) == [False, False]


# Decorative images.


def test_mark_that_is_contradicted_is_for_review() -> None:
    (found,) = findings("<img alt='' aria-label='A dog'>")
    assert (found.rule.id, found.severity) == ("presentation-role-conflict", "review")


def test_decorative_image_with_a_caption_is_for_review() -> None:
    html = "<figure><img alt=''><figcaption>The church</figcaption></figure>"
    assert rules(html) == ["figure-decorative"]


# Off by default.


def test_matters_of_style_are_off_until_they_are_turned_on() -> None:
    html = f"<img src=gone.png alt='Image of {'a b c d e ' * 40}street'>"
    assert rules(html) == []
    assert rules(html, EVERY) == ["alt-length", "alt-punctuation", "alt-prefix"]


def test_rule_can_be_turned_off() -> None:
    assert rules("<img>", Settings(disable=("image-alt",))) == []


# The table of rules.


def test_every_kind_of_image_has_a_rule_for_its_name() -> None:
    assert {*PRESENCE.values()} <= RULES.keys()


def test_page_about_the_audit_has_all_rules() -> None:
    page = audit_cases.PAGE.read_text(encoding="utf-8")
    table = audit_cases.rule_table()
    assert audit_cases.with_table(page, "rules", table) == page, "run python -m tests.audit_cases"


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_rule_is_complete(rule: object) -> None:
    found = RULES[rule.id]  # pyright: ignore[reportAttributeAccessIssue]
    assert found.help
    assert found.advice.endswith(".")
    assert (found.source == "model") == (found.check is None)
    assert all(url.startswith("https://www.w3.org/WAI/") for url in found.urls)
    assert found.urls or not found.techniques
