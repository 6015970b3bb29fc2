"""Where the addresses of images lead, and which lead to the same image."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from descscore.audit.elements import ImageElement

ARCHIVE = "!/"
"""Between the path of an archive and a member of it."""

LARGEST = 64 * 2**20
"""Bytes of an image file that are read at most."""

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
# What sets versions of one image apart: sizes, densities, colour schemes.
_VERSION = re.compile(
    r"([-_.@](?:\d+x\d+|\dx|\d{2,4}w|dark|light|small|medium|large|thumb|thumbnail|scaled))+"
    r"(?=\.\w+$|$)",
    re.IGNORECASE,
)


def join_address(base: str, address: str) -> str:
    """An address as seen from a page whose own addresses start from a base."""
    if not base or not address or _SCHEME.match(address):
        return address
    if _SCHEME.match(base) or base.startswith("//"):
        return join_urls(base, address)
    # urljoin would drop the ".." that leads out of the folder of the page.
    return address if address.startswith("/") else base[: base.rfind("/") + 1] + address


def join_urls(base: str, address: str) -> str:
    """An address seen from another one; as it is where it is malformed, as in `http://[`."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address


def path_in(address: str) -> str:
    """The path in an address; empty where the address is malformed."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


def is_url(text: str) -> bool:
    """It is an address of the web."""
    return text.lower().startswith(("http://", "https://"))


def image_url(element: ImageElement) -> str:
    """The address on the web of an image; empty for one that is elsewhere."""
    address, file = element.image, element.place.file
    if address.startswith("//"):
        address = f"https:{address}"
    if is_url(file):
        address = join_urls(file, address)
    return address if is_url(address) else ""


def image_bytes(element: ImageElement, root: Path | None = None) -> bytes | None:
    """The encoded image of a local file, an archive or a data URL; None if there is none.

    Args:
        element: an image.
        root: the folder that addresses beginning with "/" start from.
    """
    address, file = element.image, element.place.file
    if address.startswith("data:"):
        from urllib.request import DataHandler, Request

        try:
            return DataHandler().data_open(Request(address)).read()
        except ValueError:
            return None
    if ARCHIVE in file:
        from descscore.audit.zip_members import read_member

        archive, _, member = file.partition(ARCHIVE)
        return read_member(Path(archive), join_urls(member, unquote(path_in(address))))
    path = unquote(path_in(address))
    remote = address.startswith("//") or _SCHEME.match(address) or _SCHEME.match(file)
    if remote or not path or (root is None and path.startswith("/")):
        return None
    local = (root or Path()) / path.lstrip("/") if path[0] == "/" else Path(file).parent / path
    try:
        # A pipe or a device would never end.
        whole = local.is_file() and local.stat().st_size <= LARGEST
        return local.read_bytes() if whole else None
    except (OSError, ValueError):  # of a path with NUL
        return None


def digest(content: bytes | None) -> str:
    """A digest of an image, by which it is known under other names; empty for none."""
    return "" if content is None else sha256(content).hexdigest()


def same_image(element: ImageElement, content: str) -> str:
    """What is equal for two elements that show the same image.

    Args:
        element: the image.
        content: digest of its content; empty if that is unknown.
    """
    if content:
        return content
    if element.tag == "svg" or not element.image:
        return element.html
    if element.image.startswith("data:"):
        return digest(element.image.encode())
    return _VERSION.sub("", path_in(element.image))
