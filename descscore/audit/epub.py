"""The images of an EPUB: those of its chapters, which are XHTML."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from descscore.audit.addresses import ARCHIVE
from descscore.audit.archives import member, open_archive, xml_member
from descscore.audit.html import read_html
from descscore.audit.source import decode
from descscore.errors import DocumentError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator
    from pathlib import Path

    from descscore.audit.elements import ImageElement

_XHTML = {"application/xhtml+xml", "text/html", "image/svg+xml"}


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
