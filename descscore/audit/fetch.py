"""Pages and images from the web, within limits, and never from one's own network."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import lxml.etree as etree

from descscore.audit.addresses import join_urls
from descscore.audit.source import LARGEST
from descscore.audit.tree import xml_parser
from descscore.errors import DocumentError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from urllib.parse import SplitResult

MOST_PAGES = 1_000
"""Pages of a sitemap that are read at most."""

_MOST_SITEMAPS = 50
_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
# Ranges that lead back into IPv4: a private address can hide in them.
_EMBEDDING = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


@dataclass(frozen=True, kw_only=True)
class Response:
    """What came from an address.

    Attributes:
        url: after redirects.
        kind: media type, without parameters.
        charset: as the server says; empty if it does not.
        content: the body.
    """

    url: str
    kind: str
    charset: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Fetches pages and images.

    A host is resolved once, checked, and then connected to, again after each redirect. Proxies
    from the environment are ignored, since they would resolve it themselves.

    Attributes:
        allow_private: whether addresses of this machine and its network are allowed.
        seconds: time limit for one address, including redirects.
        largest: maximum size of a body, in bytes.
    """

    allow_private: bool = False
    seconds: float = 30
    largest: int = LARGEST

    def fetch(self, url: str) -> Response:
        """Fetch an address.

        Raises:
            DocumentError: it is refused or unreachable, or too large or too slow.
        """
        deadline = time.monotonic() + self.seconds
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                found = self._request(url, deadline)
            except DocumentError:
                raise
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = getattr(error, "strerror", None) or error or type(error).__name__
                late = time.monotonic() >= deadline
                raise DocumentError(
                    f"cannot be fetched within {self.seconds:.0f} seconds"
                    if late
                    else f"cannot be fetched: {reason}"
                ) from error
            if isinstance(found, Response):
                return found
            url = join_urls(url, found)
        raise DocumentError(f"cannot be fetched: more than {_MOST_REDIRECTS} redirects")

    def _request(self, url: str, deadline: float) -> Response | str:
        """A response, or where it redirects to."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DocumentError(f"cannot be fetched: {url} is not a web address")
        if parts.username or parts.password:
            raise DocumentError("cannot be fetched: its address holds a password")
        path = parts.path or "/"
        connection = http.client.HTTPConnection(parts.hostname)
        connection.sock = self._connect(parts, deadline)
        # Each read has its own time limit, and a server may send byte after byte.
        watchdog = threading.Timer(
            max(deadline - time.monotonic(), 0), connection.sock.shutdown, [socket.SHUT_RDWR]
        )
        watchdog.start()
        try:
            connection.request(
                "GET",
                f"{path}?{parts.query}" if parts.query else path,
                headers={
                    "Host": parts.netloc,
                    "User-Agent": f"descscore-audit/{version('descscore')}",
                    "Accept": "text/html, application/xhtml+xml, application/xml, image/*, */*",
                    "Accept-Encoding": "identity",
                },
            )
            with connection.getresponse() as response:
                if response.status in _REDIRECTS and (target := response.headers.get("Location")):
                    return target
                if response.status != 200:
                    raise DocumentError(f"cannot be fetched: {response.status} {response.reason}")
                content = response.read(self.largest + 1)
                if len(content) > self.largest:
                    raise DocumentError(_too_large(self.largest))
                if time.monotonic() >= deadline:
                    raise TimeoutError
                if response.length:
                    raise DocumentError("cannot be fetched: it ends before its length")
                return Response(
                    url=url,
                    kind=response.headers.get_content_type(),
                    charset=response.headers.get_content_charset() or "",
                    content=content,
                )
        finally:
            watchdog.cancel()
            connection.close()

    def _connect(self, parts: SplitResult, deadline: float) -> socket.socket:
        """A connection to the first address of a host that answers, if all are allowed."""
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *_, address in found:
            if not (self.allow_private or is_public(str(address[0]))):
                raise DocumentError(
                    f"cannot be fetched: {host} is at {address[0]}, which is not public; allow "
                    "private addresses if you trust it"
                )
        for place, (family, *_, address) in enumerate(found):
            left = max(deadline - time.monotonic(), 0.1)
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.settimeout(left / (len(found) - place))
                plain.connect(address)
            except OSError:
                plain.close()
                if place == len(found) - 1:
                    raise
                continue
            plain.settimeout(left)
            if parts.scheme == "https":
                return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
            return plain
        raise DocumentError(f"cannot be fetched: {host} has no address")


def is_public(address: str) -> bool:
    """An IP address that anyone can reach, and that leads to no other kind."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in network for network in _EMBEDDING):
            return False
    return ip.is_global and not ip.is_multicast


def pages_of(url: str, fetcher: Fetcher) -> Iterator[tuple[str, Response | None]]:
    """The pages of an address: itself, or those that its sitemap lists.

    Returns:
        Addresses, with the response where that is at hand already.

    Raises:
        OptionError: a sitemap lists too many pages.
        DocumentError: the address, or a part of its sitemap, cannot be fetched or read.
    """
    response = fetcher.fetch(url)
    if not _is_sitemap(response):
        yield url, response
        return
    pending, seen, pages = [response], {url}, 0
    while pending:
        inner, found = _read_sitemap(pending.pop(0), fetcher.largest)
        for each in found:
            pages += 1
            if pages > MOST_PAGES:
                raise OptionError(
                    f"{url} lists more than {MOST_PAGES:,} pages; audit a part of them"
                )
            yield each, None
        for each in inner:
            if each not in seen and len(seen) <= _MOST_SITEMAPS:
                seen.add(each)
                pending.append(fetcher.fetch(each))


def _is_sitemap(response: Response) -> bool:
    start = response.content[:1000]
    return start.startswith(b"\x1f\x8b") or b"<urlset" in start or b"<sitemapindex" in start


def _read_sitemap(response: Response, largest: int) -> tuple[list[str], list[str]]:
    """The sitemaps and the pages that a sitemap lists."""
    content = response.content
    if content.startswith(b"\x1f\x8b"):
        content = _unpack(content, largest)
    try:
        root = etree.fromstring(content, xml_parser())
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"is a broken sitemap: {error}") from error
    sitemaps: list[str] = []
    pages: list[str] = []
    for place in root.iter("{*}loc"):
        parent = place.getparent()
        if parent is not None and place.text:
            inner = str(parent.tag).endswith("sitemap")
            (sitemaps if inner else pages).append(join_urls(response.url, place.text.strip()))
    return sitemaps, pages


def _unpack(content: bytes, largest: int) -> bytes:
    try:
        unpacked = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(content, largest + 1)
    except zlib.error as error:
        raise DocumentError(f"is a broken sitemap: {error}") from error
    if len(unpacked) > largest:
        raise DocumentError(_too_large(largest))
    return unpacked


def _too_large(largest: int) -> str:
    return f"has more than {largest / 2**20:.0f} MiB, the limit"
