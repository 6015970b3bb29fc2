"""Images of HTML: places, names, what is hidden, what is decorative."""

from __future__ import annotations

import pytest

from descscore.audit.elements import ImageElement
from descscore.audit.html import read_html
from descscore.audit.source import decode
from descscore.errors import DocumentError


def images(html: str, **how: bool) -> list[ImageElement]:
    return list(read_html(html, "page.html", **how))


def image(html: str, **how: bool) -> ImageElement:
    (found,) = images(html, **how)
    return found


def places(html: str) -> list[tuple[int | None, int | None]]:
    return [(each.place.line, each.place.column) for each in images(html)]


# Places.


@pytest.mark.parametrize(
    ("html", "line", "column"),
    [
        ("<img>", 1, 1),
        ("\n\n  <img>", 3, 3),
        ("a\r\nb\r\n <IMG\r\nsrc=x>", 3, 2),
        ("old\rMac <img>", 2, 5),
        ("é𝄞 <img>", 1, 4),
        ("line\u2028separator <img>", 1, 16),
        ('<p title="a > b\n<img>"><img>', 2, 8),
        ("<p don't><img>", 1, 10),
        ("<!-- <img>\n--><img>", 2, 4),
        ("<!--><img>", 1, 6),
        ("<!doctype html><! <img>><img>", 1, 25),
        ("<? <img>><img>", 1, 10),
        ("</ <img>><img>", 1, 10),
        ("<script>'<img>'\n</script><img>", 2, 10),
        ("<textarea><img></textarea><img>", 1, 27),
        ("<title><img></title><img>", 1, 21),
        ("<xmp><img></xmp><iframe><img></iframe><img>", 1, 39),
        ("<svg><title/><style/></svg><img>", 1, 28),
        ("<table><img><tr><td>x</table>", 1, 8),
        ("<ul><li><p>a<li><p>b <img>", 1, 22),
        ("<image src=x>", 1, 1),
        ("<picture><source srcset=a><img></picture>", 1, 27),
    ],
)
def test_line_and_column_are_those_of_the_source(html: str, line: int, column: int) -> None:
    assert places(html)[-1] == (line, column)


def test_snippet_is_the_start_tag_on_one_line() -> None:
    assert image('<p><img\n  src="a.png"\n  alt="A > B">').html == '<img src="a.png" alt="A > B">'


def test_first_of_two_equal_attributes_counts() -> None:
    assert image('<img alt="first" alt="second">').name == "first"


def test_xhtml_closes_every_element_and_knows_no_raw_text() -> None:
    found = images(
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>'
        '<script/><p class="x"/><img src="a" alt="caf&#xe9; &amp; cr&egrave;me"/>'
        "<![CDATA[<img/>]]></body></html>",
        xml=True,
    )
    assert [each.name for each in found] == ["café & crème"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("é".encode(), "é"),
        ("é".encode("latin-1"), "é"),
        (b"\xef\xbb\xbf\xc3\xa9", "é"),
        ("é".encode("utf-16"), "é"),
        (b'<meta charset="iso-8859-1">\x80', '<meta charset="iso-8859-1">€'),
        (b'<?xml version="1.0" encoding="windows-1251"?>\xc6', None),
        (b'<meta charset="utf-16">\xc3\xa9', '<meta charset="utf-16">é'),
        (b'<meta charset="rot13">\xc3\xa9', '<meta charset="rot13">é'),
        (b'<meta charset="no-such">\xc3\xa9', '<meta charset="no-such">é'),
        ('<meta charset="Shift_JIS">写真'.encode("cp932"), '<meta charset="Shift_JIS">写真'),
    ],
)
def test_declared_character_sets_are_read_as_browsers_read_them(
    content: bytes, text: str | None
) -> None:
    assert decode(content) == (text or '<?xml version="1.0" encoding="windows-1251"?>Ж')


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\0\0", b"%PDF-1.7", b"\x1f\x8b\x08text"])
def test_binary_data_is_refused(content: bytes) -> None:
    with pytest.raises(DocumentError, match="binary"):
        decode(content)


# Names (HTML-AAM 1.0, sections 4.1.7 to 4.1.9; SVG-AAM 1.0, section 8).


@pytest.mark.parametrize(
    ("html", "name", "source"),
    [
        ('<img alt="A" title="T">', "A", "alt"),
        ('<img title="T">', "T", "title"),
        ('<img alt="" title="T">', "", ""),
        ('<img aria-label="L" alt="A">', "L", "aria-label"),
        ('<img aria-label=" " alt="A">', "A", "alt"),
        ('<b id=i>B</b><img aria-labelledby="i" aria-label="L">', "B", "aria-labelledby"),
        ('<b id=i>B</b><i id=j>J</i><img aria-labelledby="j i">', "J B", "aria-labelledby"),
        ('<b id=i hidden>B</b><img aria-labelledby="i">', "B", "aria-labelledby"),
        ('<img aria-labelledby="none" alt="A">', "A", "alt"),
        ('<img alt="a\n  b&nbsp;c">', "a b c", "alt"),
        ('<img alt="&#8203;">', "", ""),
        ('<img alt="👩\u200d🚀">', "👩\u200d🚀", "alt"),
        ('<input type=image alt="A" title="T">', "A", "alt"),
        ('<label>L <input type=image alt="A"></label>', "L", "label"),
        ("<label for=i>L</label><input id=i type=image>", "L", "label"),
        ('<input type=image value="V">', "", ""),
        ('<map><area href=x alt="A"></map>', "A", "alt"),
        ("<svg role=img><title>T</title></svg>", "T", "svg title"),
        ("<svg role=img><g><title>T</title></g></svg>", "", ""),
        ("<svg role=img><title></title><title>T</title></svg>", "", ""),
        ("<svg role=img><text>T</text></svg>", "", ""),
        ("<div role=img alt=A title=T>text</div>", "T", "title"),
        ("<div role=img>text</div>", "", ""),
        ('<object type="image/png" data=a.png title=T><img alt=A></object>', "T", "title"),
        ('<object data="a.svg"></object>', "", ""),
    ],
)
def test_name(html: str, name: str, source: str) -> None:
    found = images(html)[0]
    assert (found.name, found.name_from) == (name, source)


def test_name_of_a_link_is_made_of_texts_and_images() -> None:
    found = image('<a href=x><b>Home</b> <img alt="page"><i hidden>no</i></a>')
    assert found.control is not None
    assert found.control.name == "Home page"
    assert not found.control.image_only


@pytest.mark.parametrize(
    "html",
    [
        '<a href=x><img alt=""></a>',
        "<a href=x><img aria-hidden=true alt=A></a>",
        "<a href=x><img role=none alt=A></a>",
        "<span role=link><svg></svg></span>",
        "<button><img alt=''></button>",
        "<div role=button><svg><path/></svg></div>",
    ],
)
def test_link_or_button_without_a_name(html: str) -> None:
    found = image(html)
    assert found.control is not None
    assert (found.control.name, found.control.image_only) == ("", True)


# What assistive technology does not meet.


@pytest.mark.parametrize(
    "html",
    [
        "<img hidden>",
        "<div hidden><img></div>",
        "<img aria-hidden=true>",
        "<p aria-hidden=TRUE><img></p>",
        '<img style="color:red; DISPLAY : none">',
        '<div style="visibility:hidden"><img></div>',
        "<div inert><img></div>",
        "<template><img></template>",
        "<noscript><img></noscript>",
        "<dialog><img></dialog>",
        "<svg><defs><image href=x /></defs></svg>",
        '<div role=img aria-label="five stars"><img src=star.png></div>',
        '<button aria-label="Close"><img src=x.png></button>',
        "<video><img></video>",
        '<object type="image/png" data=a.png><img></object>',
    ],
)
def test_hidden(html: str) -> None:
    assert images(html)[-1].hidden


@pytest.mark.parametrize(
    "html",
    [
        "<img hidden=until-found>",
        '<div style="visibility:hidden"><img style="visibility:visible"></div>',
        '<img style="position:absolute;left:-9999px">',
        '<img style="opacity:0">',
        "<details><img></details>",
        "<dialog open><img></dialog>",
        '<img style="background:url(display-none.png)">',
        "<a href=x aria-label=Home><img></a>",
    ],
)
def test_exposed(html: str) -> None:
    assert image(html).exposed


def test_style_sheet_that_may_hide_leaves_it_open() -> None:
    style = "<style>.a, #b{display:none} @media print{.c{display:none}} .d .e{display:none}</style>"
    unsure = ["class=a", "id=b", "class='x a'"]
    sure = ["class=c", "class=e", "class=f"]
    assert all(image(f"{style}<img {each}>").unsure for each in unsure)
    assert not any(image(f"{style}<img {each}>").unsure for each in sure)
    assert image(f"{style}<div class=a><img></div>").unsure


@pytest.mark.parametrize("alt", [':alt="t"', 'v-bind:alt="t"', '[alt]="t"', 'alt="{{ t }}"'])
def test_name_that_a_script_gives_leaves_it_open(alt: str) -> None:
    found = image(f"<img {alt}>")
    assert found.unsure
    assert not found.required


# Decorative images.


@pytest.mark.parametrize(
    ("html", "marked", "conflict"),
    [
        ('<img alt="">', "alt", False),
        ("<img alt>", "alt", False),
        ("<img role=none>", "role", False),
        ("<img role='foo presentation' alt=A>", "role", False),
        ("<svg role=none></svg>", "role", False),
        ('<img alt="" aria-label="L">', "alt", True),
        ('<img alt="" aria-labelledby="none">', "alt", False),
        ('<img alt="" tabindex=0>', "alt", True),
        ("<img role=none aria-live=polite>", "role", True),
        ('<img alt="" aria-hidden=true>', "alt", False),
        ('<img alt=" ">', "", False),
        ('<input type=image alt="">', "", False),
    ],
)
def test_decorative(html: str, marked: str, conflict: bool) -> None:
    found = image(html)
    assert (found.decorative, bool(found.conflict)) == (marked, conflict)


# What surrounds an image.


def test_caption_heading_paragraph_and_language() -> None:
    found = images(
        "<html lang=en><h2>H</h2><p lang=fr>Un <b>mot</b> <img alt=A></p><h3> H3 </h3>\n<img alt=B>"
        "<figure><a href=x><img alt=C></a><figcaption>Cap</figcaption></figure>"
        '<div><img alt=D><p class="wp-caption-text">Text</p></div>'
    )
    assert [each.lang for each in found] == ["fr", "en", "en", "en"]
    assert found[0].beside == ("Un mot",)
    assert found[1].heading == "H3"
    assert found[2].caption == "Cap"
    assert found[3].caption == "Text"


def test_address_follows_the_base_of_the_page() -> None:
    assert image('<base href="../img/"><img src="a.png">').image == "../img/a.png"


def test_backgrounds_are_found_in_styles_and_style_sheets() -> None:
    found = images(
        "<style>.hero{background:url('h.jpg')}</style><div class=hero></div>"
        '<div style="background-image: url(b.jpg)"></div><p class=other></p>'
    )
    assert [(each.kind, each.src) for each in found] == [
        ("background", "h.jpg"),
        ("background", "b.jpg"),
    ]


# Broken pages.


@pytest.mark.parametrize(
    "html",
    [
        "<html><body></body></html><img alt=A><p><img alt=B>",
        "<body><img alt=A></body ><div></HTML><img alt=B></div>",
        "</html></body><img alt=A></body><img alt=B>",
    ],
)
def test_what_follows_the_end_of_a_page_is_part_of_it(html: str) -> None:
    assert [each.name for each in images(html)] == ["A", "B"]


@pytest.mark.parametrize(
    "xhtml",
    [
        "<html><body><p><img alt='A'/><img alt='B'/></body></html>",
        "<html><body><img alt='A'/><br><img alt='B'/></p></body></html>",
        "<html><body><img alt='A'/> & < <img alt='B' b/></body></html>",
        "<html><body><img alt='A'/><x:y epub:z='1'/><img alt='B'/></body></html>",
    ],
)
def test_xhtml_that_is_not_well_formed_is_read_all_the_same(xhtml: str) -> None:
    assert [each.name for each in images(xhtml, xml=True)] == ["A", "B"]


@pytest.mark.parametrize("html", ["", " ", "<", "<img", "no markup", "<!--", "<![CDATA[", "\0"])
def test_page_without_images_has_none(html: str) -> None:
    assert images(html) == []


def test_nesting_that_the_parser_gives_up_on_is_said() -> None:
    with pytest.raises(DocumentError, match="1 of 1 elements could not be read"):
        images("<div>" * 10_000 + "<img>")


def test_what_stands_before_is_read_all_the_same() -> None:
    found: list[ImageElement] = []
    with pytest.raises(DocumentError, match="1 of 2"):
        found.extend(read_html("<img alt=A>" + "<div>" * 10_000 + "<img>", "page.html"))
    assert len(found) == 0 or found[0].name == "A"


@pytest.mark.parametrize("part", ["<a ", "<a b='", "</a", "<!--", "&#", "<svg><title>", '<a b="c='])
def test_repeated_fragments_take_linear_time(part: str) -> None:
    images(part * 20_000 + "<img alt=A>")
