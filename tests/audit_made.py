"""Small documents and audits for tests."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image

from descscore.audit.findings import AuditResult
from descscore.audit.run import audit

PAGE = """\
<html lang=en><h1>Page</h1>
<img src=red.png>
<img src=red.png alt="IMG_0001.jpg">
<a href=/><img src=logo.svg alt=""></a>
<div style="background-image: url(red.png)"></div>
<img src=red.png alt="A red &lt;b&gt;square&lt;/b&gt; \u202eon\x1b[31m\ufffd white">
<img src=gone.png alt="photo">
"""


def png(colour: str = "red") -> bytes:
    """An image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


def site(folder: Path) -> Path:
    """A folder with a page that breaks rules, one that doesn't, and one that cannot be read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page.html").write_text(PAGE, encoding="utf-8")
    (folder / "clean.html").write_text("<p><img src=red.png alt='A red square'></p>")
    (folder / "binary.html").write_bytes(b"\0\1\2")
    (folder / "red.png").write_bytes(png())
    (folder / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><path d=''/></svg>")
    return folder


def audited(folder: Path) -> AuditResult:
    """What is found on the site."""
    return audit([site(folder)], passes=True)


def archive(path: Path, members: dict[str, str | bytes]) -> Path:
    """A zip archive."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def epub(path: Path, chapters: dict[str, str]) -> Path:
    """An EPUB with chapters in reading order, which is the reverse of the manifest's."""
    items = [
        f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(chapters)
    ]
    refs = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf">'
        f"<manifest>{''.join(items[::-1])}</manifest><spine>{refs}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
    )
    return archive(
        path,
        {
            "META-INF/container.xml": container,
            "OEBPS/content.opf": package,
            **{f"OEBPS/{name}": text for name, text in chapters.items()},
            "OEBPS/img/red.png": png(),
        },
    )


def xhtml(body: str) -> str:
    """A chapter."""
    return f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'


_NAMESPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:adec="http://schemas.microsoft.com/office/drawing/2017/decorative" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
_PICTURE = "http://schemas.openxmlformats.org/drawingml/2006/picture"
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="{image}"/>'
    '<Relationship Id="r2" Target="https://example.org/" TargetMode="External"/>'
    '<Relationship Id="s1" Target="slides/slide2.xml"/>'
    '<Relationship Id="s2" Target="slides/slide1.xml"/></Relationships>'
)
DECORATIVE = '<a:extLst><a:ext><adec:decorative val="1"/></a:ext></a:extLst>'
LINK = '<a:hlinkClick r:id="r2"/>'


def drawing(attributes: str, inside: str = "", kind: str = _PICTURE) -> str:
    """A picture of a Word document."""
    return (
        f'<w:drawing><wp:inline><wp:docPr id="1" name="Picture 1" {attributes}>{inside}</wp:docPr>'
        f'<a:graphic><a:graphicData uri="{kind}"><pic:pic><pic:blipFill><a:blip r:embed="r1"/>'
        "</pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing>"
    )


def docx(path: Path, paragraphs: list[str]) -> Path:
    """A Word document; a paragraph that begins with "Caption:" has that style."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="Caption"/></w:pPr><w:r><w:t>{text[8:]}</w:t></w:r></w:p>'
        if text.startswith("Caption:")
        else f"<w:p><w:r>{text}</w:r></w:p>"
        for text in paragraphs
    )
    return archive(
        path,
        {
            "word/document.xml": f"<w:document {_NAMESPACES}><w:body>{body}</w:body></w:document>",
            "word/_rels/document.xml.rels": _RELATIONS.format(image="media/image1.png"),
            "word/media/image1.png": png(),
        },
    )


def shape(attributes: str, inside: str = "") -> str:
    """A picture on a slide."""
    return (
        f'<p:pic><p:nvPicPr><p:cNvPr id="2" name="Picture 2" {attributes}>{inside}</p:cNvPr>'
        '</p:nvPicPr><p:blipFill><a:blip r:embed="r1"/></p:blipFill></p:pic>'
    )


def pptx(path: Path, slides: list[str]) -> Path:
    """A presentation of two slides at most, whose order is the reverse of their numbers."""
    members: dict[str, str | bytes] = {
        "ppt/presentation.xml": f"<p:presentation {_NAMESPACES}><p:sldIdLst>"
        '<p:sldId r:id="s1"/><p:sldId r:id="s2"/></p:sldIdLst></p:presentation>',
        "ppt/_rels/presentation.xml.rels": _RELATIONS.format(image="x.png"),
        "ppt/media/image1.png": png(),
    }
    for number, text in zip((2, 1), slides, strict=False):
        members[f"ppt/slides/slide{number}.xml"] = f"<p:sld {_NAMESPACES}>{text}</p:sld>"
        members[f"ppt/slides/_rels/slide{number}.xml.rels"] = _RELATIONS.format(
            image="../media/image1.png"
        )
    return archive(path, members)
