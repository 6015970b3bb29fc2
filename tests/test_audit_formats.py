"""Images of Markdown, reStructuredText, EPUB, Word and PowerPoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from descscore.audit.addresses import image_bytes
from descscore.audit.documents import read_document, read_text
from descscore.audit.elements import ImageElement
from descscore.audit.findings import PageResult
from descscore.audit.run import Auditor
from descscore.audit.settings import Settings
from descscore.errors import DocumentError
from tests import audit_made as made


def images(text: str, suffix: str) -> list[ImageElement]:
    return list(read_text(text.encode(), f"page{suffix}", suffix))


def places(text: str, suffix: str) -> list[tuple[int | None, int | None]]:
    return [(each.place.line, each.place.column) for each in images(text, suffix)]


def audit(path: Path) -> PageResult:
    return Auditor(Settings()).audit_page(path.name, lambda: read_document(path))


def rules(path: Path) -> list[str]:
    return [each.rule.id for each in audit(path).findings]


# Markdown.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("![a](b)", [(1, 1)]),
        ("text ![a](b) ![a](b)", [(1, 6), (1, 14)]),
        ("a\nb ![a](b)\n![a](b)", [(2, 3), (3, 1)]),
        ("a\r\n\r\n![a](b)", [(3, 1)]),
        ("* item\n\n  ![a](b)\n* > ![a](b)", [(3, 3), (4, 5)]),
        ("| a | b |\n|---|---|\n| ![a](b) | ![a](b) |", [(3, 3), (3, 13)]),
        ("| ![a](b) |\n|---|\n| ![a](b) |", [(1, 3), (3, 3)]),
        ("# ![a](b)", [(1, 3)]),
        ("[![a](b)](c)", [(1, 2)]),
        ("![a][ref] ![ref][] ![ref]\n\n[ref]: b", [(1, 1), (1, 11), (1, 20)]),
        ("text <img src=b> and\n<b><img\nsrc=c></b>", [(1, 6), (2, 4)]),
        ("<div>\n <img src=b>\n</div>\n\n![a](b)", [(2, 2), (5, 1)]),
        ("- <p>\n  <img src=b>\n  </p>", [(2, 3)]),
        ("---\nimage: ![a](b)\n---\n![a](b)", [(4, 1)]),
        ("+++\nx = 1\n+++\n![a](b)", [(4, 1)]),
        ("```\n![a](b)\n```\n\n    ![a](b)\n\n`![a](b)` ![a](b)", [(7, 11)]),
        ("<!-- ![a](b) <img> -->\n![a](b)", [(2, 1)]),
        ("<!-- <img> -->\n\n![a](b)", [(3, 1)]),
        ("\\![a](b)", []),
        ("*a **b ![a](b)***", [(1, 8)]),
    ],
)
def test_places_in_markdown(text: str, expected: list[tuple[int, int]]) -> None:
    assert places(text, ".md") == expected


def test_alt_of_markdown_is_its_plain_text() -> None:
    (found,) = images('![A *red* `cup` & [tea](x)](cup.jpg "T")', ".md")
    assert (found.alt, found.src, found.kind) == ("A red cup & tea", "cup.jpg", "markdown")


def test_paragraph_of_markdown_is_the_context() -> None:
    assert images("Some words ![a](b)\nand more.", ".md")[0].context == "Some words and more."


def test_empty_alt_in_markdown_is_for_review_and_in_a_link_a_violation(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("![](a.png)\n\n[![](b.png)](c)\n\n<img src=d.png>\n\n<img src=d.png alt=''>")
    found = [(each.rule.id, each.severity) for each in audit(path).findings]
    assert found == [
        ("markdown-empty-alt", "review"),
        ("link-name", "violation"),
        ("image-alt", "violation"),
    ]


# reStructuredText.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".. image:: a.png", [(1, 1)]),
        ("Text\n\n   .. image:: a.png\n      :alt: A", [(3, 4)]),
        ("* item\n\n  .. figure:: a.png\n\n     Caption", [(3, 3)]),
        (".. note::\n\n   .. image:: a.png", [(3, 4)]),
        (".. tab-set::\n\n   .. grid:: 2\n      :gutter: 1\n\n      .. image:: a.png", [(6, 7)]),
        (".. |a| image:: a.png\n\nText |a| and |a|.", [(1, 1)]),
        ("Text::\n\n   .. image:: a.png", []),
        (".. code-block:: rst\n\n   .. image:: a.png", []),
        (".. sourcecode:: rst\n\n   .. image:: a.png", []),
        (".. literalinclude:: a.rst\n\n.. image:: a.png", [(3, 1)]),
        (".. a comment\n   .. image:: a.png", []),
        (".. raw:: html\n\n   <p>\n   <img src=a.png></p>", [(4, 1)]),
        (":doc:`x` :py:class:`y`\n\n.. image:: a.png", [(3, 1)]),
    ],
)
def test_places_in_restructuredtext(text: str, expected: list[tuple[int, int]]) -> None:
    assert places(text, ".rst") == expected


def test_names_and_captions_of_restructuredtext() -> None:
    found = images(
        ".. image:: a.png\n\n.. image:: b.png\n   :alt:\n\n.. figure:: c.png\n   :alt: A cup\n"
        "   :target: https://example.org/\n\n   The *caption*\n\n   The legend",
        ".rst",
    )
    assert [each.alt for each in found] == [None, "", "A cup"]
    assert found[2].caption.startswith("The caption")
    assert found[2].control is not None
    assert found[2].control.target == "https://example.org/"


def test_files_are_not_included_and_docutils_is_left_as_it_was(tmp_path: Path) -> None:
    from docutils.parsers.rst import directives

    secret = tmp_path / "secret.rst"
    secret.write_text(".. image:: secret.png")
    before = dict(vars(directives)["_directives"])
    assert images(f".. include:: {secret}\n\n.. mystery:: x\n", ".rst") == []
    assert vars(directives)["_directives"] == before


# EPUB.


def test_chapters_come_in_reading_order_with_their_lines(tmp_path: Path) -> None:
    path = made.epub(
        tmp_path / "book.epub",
        {
            "b.xhtml": made.xhtml('<p>\n<img src="img/red.png"/></p>'),
            "a.xhtml": made.xhtml('<img alt="IMG_1.jpg" src="img/red.png"/>'),
        },
    )
    found = list(read_document(path))
    assert [str(each.place).rpartition("/")[2] for each in found] == ["b.xhtml:2:1", "a.xhtml:1:50"]
    assert image_bytes(found[0]) == made.png()
    assert rules(path) == ["image-alt", "alt-filename"]


def test_broken_chapter_is_said_and_the_others_are_read(tmp_path: Path) -> None:
    path = made.epub(
        tmp_path / "book.epub", {"a.xhtml": "\0\1", "b.xhtml": made.xhtml('<img src="x"/>')}
    )
    page = audit(path)
    assert page.images == 1
    assert "a.xhtml" in page.error


# Office.


def test_pictures_of_a_word_document(tmp_path: Path) -> None:
    path = made.docx(
        tmp_path / "a.docx",
        [
            "<w:t>Some words</w:t>",
            made.drawing('descr="Dog on a beach"'),
            made.drawing(""),
            "Caption:Max",
            made.drawing('descr=""', made.DECORATIVE),
            made.drawing('title="image1.png"'),
            made.drawing('descr="Max"'),
            "Caption:Max",
            made.drawing(
                "", kind="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"
            ),
        ],
    )
    found = list(read_document(path))
    assert [each.place.part for each in found] == [f"paragraph {n}" for n in (2, 3, 5, 6, 7)]
    assert [each.name for each in found] == ["Dog on a beach", "", "", "image1.png", "Max"]
    assert found[2].decorative == "flag"
    assert image_bytes(found[0]) == made.png()
    assert rules(path) == ["image-alt", "alt-filename"]


def test_pictures_of_a_presentation(tmp_path: Path) -> None:
    path = made.pptx(
        tmp_path / "a.pptx",
        [made.shape('descr="Dog on a beach"', made.LINK), made.shape("") + made.shape('descr=" "')],
    )
    found = list(read_document(path))
    assert [each.place.part for each in found] == ["slide 1", "slide 2", "slide 2"]
    assert found[0].control is not None
    assert found[0].control.target == "https://example.org/"
    assert image_bytes(found[0]) == made.png()
    assert rules(path) == ["image-alt", "image-alt"]


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".epub"])
@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", made.png()])
def test_broken_archive_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match="broken archive"):
        list(read_document(path))


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".epub"])
def test_archive_of_another_kind_is_refused(tmp_path: Path, suffix: str) -> None:
    path = made.archive(tmp_path / f"a{suffix}", {"a.txt": "a"})
    with pytest.raises(DocumentError, match="it has no"):
        list(read_document(path))


def test_part_that_is_no_xml_is_refused(tmp_path: Path) -> None:
    path = made.archive(tmp_path / "a.docx", {"word/document.xml": "<w:document"})
    with pytest.raises(DocumentError, match="is not XML"):
        list(read_document(path))


def test_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = made.docx(tmp_path / "a.docx", [made.drawing("")])
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DocumentError, match="broken archive"):
        list(read_document(path))


def test_member_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = made.archive(tmp_path / "a.docx", {"word/document.xml": b" " * (33 * 2**20)})
    with pytest.raises(DocumentError, match="at most 32 MiB are read"):
        list(read_document(path))


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    text = (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">'
        '<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&b;&f;</x>'
    )
    path = made.archive(tmp_path / "a.docx", {"word/document.xml": text})
    assert list(read_document(path)) == []


@pytest.mark.parametrize("address", ["http://[bad/a.png", "//[bad/a.png", "pipe.png", "%00.png"])
def test_image_at_an_address_that_nothing_can_be_read_from_is_audited(
    address: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    page = tmp_path / "page.html"
    page.write_text(f'<img src="{address}" alt="A dog"><img src="{address}?2" alt="image">')
    result = audit(page)
    assert result.error == ""
    assert [each.rule.id for each in result.findings] == ["alt-vague"]
