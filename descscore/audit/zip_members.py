"""Members of zip archives, within limits: an archive may hold far more than its size tells."""

from __future__ import annotations

import posixpath
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import lxml.etree as etree

from descscore.audit.source import check_size
from descscore.audit.tree import xml_parser
from descscore.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lxml.etree import _Element as Element


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive.

    Raises:
        DocumentError: it is none, or broken, or encrypted, here or while it is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DocumentError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise DocumentError(f"is a broken archive: {error}") from error


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a member.

    Raises:
        DocumentError: there is none of that name, or it is too large.
    """
    try:
        check_size(archive.getinfo(name).file_size)
        return archive.read(name)
    except KeyError as error:
        raise DocumentError(f"is incomplete: it has no {name}") from error
    except (zipfile.zlib.error, OSError) as error:  # pyright: ignore[reportAttributeAccessIssue]
        raise DocumentError(f"is a broken archive: {name}: {error}") from error


def read_member(path: Path, name: str) -> bytes | None:
    """The content of a member of an archive, None if it cannot be read."""
    try:
        with open_archive(path) as archive:
            return member(archive, posixpath.normpath(name).lstrip("/"))
    except (DocumentError, OSError):
        return None


def xml_member(archive: zipfile.ZipFile, name: str) -> Element:
    """The tree of a member that is XML.

    Raises:
        DocumentError: it is missing, too large, or no XML.
    """
    try:
        return etree.fromstring(member(archive, name), xml_parser(huge_tree=True))
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"is broken: {name} is not XML: {error}") from error
