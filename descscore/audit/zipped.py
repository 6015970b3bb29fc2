"""The images of EPUB books, Word documents and PowerPoint presentations, which are zip archives."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from descscore.audit.addresses import ARCHIVE
from descscore.audit.elements import Control, ImageElement, Place
from descscore.audit.html import read_html
from descscore.audit.source import decode
from descscore.audit.tree import collapse, local
from descscore.audit.zip_members import member, open_archive, xml_member
from descscore.errors import DocumentError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator
    from pathlib import Path

    from lxml.etree import _Element as Element

_XHTML = {"application/xhtml+xml", "text/html", "image/svg+xml"}
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_WORD_PARTS = re.compile(r"word/(?:document|header\d*|footer\d*|footnotes|endnotes)\.xml")
_SLIDES = re.compile(r"ppt/slides/slide(\d+)\.xml")


def read_epub(path: Path) -> Iterator[ImageElement]:
    """The images of all chapters, in reading order.

    Raises:
        DocumentError: it is no EPUB; or, after the images that were read, some chapters are broken.
    """
    broken: list[str] = []
    with open_archive(path) as archive:
        for name in _chapters(archive):
            file = f"{path.as_posix()}{ARCHIVE}{name}"
            try:
                text = decode(member(archive, name))
                yield from read_html(text, file, xml=True)
            except DocumentError as error:
                broken.append(f"{name} {error}")
    if broken:
        raise DocumentError(f"has chapters that cannot be read: {'; '.join(broken)}")


def _chapters(archive: zipfile.ZipFile) -> list[str]:
    """Members that are chapters: those of the spine, then the rest of the manifest."""
    container = xml_member(archive, "META-INF/container.xml")
    rootfile = next(iter(container.iter("{*}rootfile")), None)
    package = "" if rootfile is None else rootfile.get("full-path") or ""
    tree = xml_member(archive, package)
    items = {
        each.get("id") or "": posixpath.normpath(
            posixpath.join(posixpath.dirname(package), unquote(each.get("href") or ""))
        )
        for each in tree.iter("{*}item")
        if each.get("media-type") in _XHTML
    }
    spine = [each.get("idref") or "" for each in tree.iter("{*}itemref")]
    return list(dict.fromkeys([items[each] for each in spine if each in items] + [*items.values()]))


def read_office(path: Path) -> Iterator[ImageElement]:
    """The images of a .docx or .pptx file.

    Raises:
        DocumentError: it is no such file.
    """
    with open_archive(path) as archive:
        names = archive.namelist()
        if path.suffix.lower() == ".docx":
            parts = [name for name in names if _WORD_PARTS.fullmatch(name)]
            if not parts:
                raise DocumentError("is not a Word document: it has no word/document.xml")
            for part in sorted(parts, key=lambda name: name != "word/document.xml"):
                where = part.rpartition("/")[2].removesuffix(".xml")
                yield from _images(archive, part, path, "" if where == "document" else where)
            return
        slides = _slides(archive)
        if not slides:
            raise DocumentError("is not a presentation: it has no slides")
        for number, part in enumerate(slides, 1):
            yield from _images(archive, part, path, f"slide {number}")


def _images(archive: zipfile.ZipFile, part: str, path: Path, where: str) -> Iterator[ImageElement]:
    """The images of a part of an Office document, which `where` names for people."""
    tree, targets = xml_member(archive, part), _relations(archive, part)
    numbers = {paragraph: number for number, paragraph in enumerate(tree.iter("{*}p"), 1)}
    # A Word drawing holds a pic of its own, which has other properties.
    in_word = part.startswith("word/")
    shapes = ("{*}inline", "{*}anchor") if in_word else ("{*}pic", "{*}graphicFrame")
    for shape in tree.iter(*shapes):
        properties = next(iter(shape.iter("{*}docPr" if in_word else "{*}cNvPr")), None)
        graphic = next(iter(shape.iter("{*}graphicData")), None)
        if properties is None or (local(shape) != "pic" and not _is_image(graphic)):
            continue
        paragraph = next((each for each in shape.iterancestors() if each in numbers), None)
        number, beside = 0, ""
        if paragraph is not None:
            number = numbers[paragraph]
            beside = collapse("".join(each.text or "" for each in paragraph.iter("{*}t")))
        label = f"paragraph {number}" if in_word else ""
        alt = properties.get("descr")
        name = collapse(alt) or collapse(properties.get("title"))
        decorative = any(each.get("val") in ("1", "true") for each in shape.iter("{*}decorative"))
        blip = next(iter(shape.iter("{*}blip")), None)
        embedded = "" if blip is None else blip.get(f"{_R}embed") or blip.get(f"{_R}link") or ""
        target = targets.get(embedded, "")
        link = next(
            (targets.get(each.get(f"{_R}id") or "", "") for each in shape.iter("{*}hlinkClick")), ""
        )
        title = properties.get("name") or local(shape)
        yield ImageElement(
            place=Place(
                file=f"{path.as_posix()}{ARCHIVE}{part}",
                part=", ".join(filter(None, (where, label))),
            ),
            html=f"{title}: {target.rpartition('/')[2]}" if target else title,
            kind="office",
            tag=local(shape),
            src=target,
            alt=alt,
            name=name,
            name_from="alt" if collapse(alt) else "title" if name else "",
            decorative="flag" if decorative else "",
            hidden="it is hidden" if properties.get("hidden") in ("1", "true") else "",
            control=Control(kind="link", name=name, image_only=True, target=link) if link else None,
            beside=(beside,) if beside else (),
            context=beside,
            # Addresses in findings are relative to the part, as in pages.
            image=f"/{target}" if target and ":" not in target else target,
        )


def _is_image(graphic: Element | None) -> bool:
    """Graphic data that is a picture, a chart or a diagram, and no table or box of text."""
    kind = "" if graphic is None else graphic.get("uri") or ""
    return kind.rpartition("/")[2] in ("picture", "chart", "chartex", "diagram", "ole")


def _slides(archive: zipfile.ZipFile) -> list[str]:
    """Slides in the order of the presentation."""
    found = sorted(
        (name for name in archive.namelist() if _SLIDES.fullmatch(name)),
        key=lambda name: int(name.rpartition("slide")[2].removesuffix(".xml")),
    )
    if "ppt/presentation.xml" not in archive.namelist():
        return found
    targets = _relations(archive, "ppt/presentation.xml")
    ids = xml_member(archive, "ppt/presentation.xml").iter("{*}sldId")
    ordered = [targets.get(each.get(f"{_R}id") or "", "") for each in ids]
    return [name for name in ordered if name in found] or found


def _relations(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    """What the ids in a part of an Office document refer to: names of members, or addresses."""
    folder, _, name = part.rpartition("/")
    rels = f"{folder}/_rels/{name}.rels".lstrip("/")
    if rels not in archive.namelist():
        return {}
    found: dict[str, str] = {}
    for each in xml_member(archive, rels):
        target = each.get("Target") or ""
        if each.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
        found[each.get("Id") or ""] = target
    return found
