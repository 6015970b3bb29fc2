"""Pages from the web: which addresses are refused, limits, redirects, sitemaps."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from descscore.audit import fetch
from descscore.audit.fetch import Fetcher, is_public, pages_of
from descscore.audit.findings import AuditResult
from descscore.audit.run import audit
from descscore.errors import DocumentError, OptionError


class Site:
    """A server on this machine, with pages by their paths."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, self.headers["Host"]))
                if self.path == "/slow":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    for _ in range(50):
                        time.sleep(0.1)
                        try:
                            self.wfile.write(b"X-A: b\r\n")
                        except OSError:
                            return
                status, headers, content = site.pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, path: str, content: bytes | str, kind: str = "text/html", **more: str) -> str:
        """Serve a page, and tell its address."""
        body = content.encode() if isinstance(content, str) else content
        self.pages[path] = (200, {"Content-Type": kind, **more}, body)
        return self.url + path


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever)
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


OPEN = Fetcher(allow_private=True, seconds=5)


def check(*urls: str, fetcher: Fetcher = OPEN) -> AuditResult:
    return audit(urls, fetcher=fetcher)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
    ],
)
def test_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_address(address: str) -> None:
    assert is_public(address)


def test_page_is_audited_under_its_address(site: Site) -> None:
    url = site.add("/a/page.html", "\n<img src=b.png>")
    (found,) = check(url).findings
    assert str(found.element.place) == f"{url}:2:1"


def test_private_address_is_refused_unless_it_is_allowed(site: Site) -> None:
    url = site.add("/", "<img>")
    (page,) = check(url, fetcher=Fetcher()).pages
    assert "which is not public" in page.error
    assert site.asked == []


def test_redirect_is_followed_and_its_address_is_checked_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("/to", "<img>")
    site.pages["/from"] = (302, {"Location": "/to"}, b"")
    site.pages["/out"] = (302, {"Location": site.url.replace("127.0.0.1", "127.0.0.2")}, b"")
    site.pages["/file"] = (302, {"Location": "file:///etc/passwd"}, b"")
    site.pages["/round"] = (302, {"Location": "/round"}, b"")
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    guarded = Fetcher(seconds=5)
    (found,) = check(f"{site.url}/from", fetcher=guarded).findings
    assert found.element.place.file == f"{site.url}/to"
    for path, said in (("/out", "127.0.0.2"), ("/file", "not a web"), ("/round", "5 redirects")):
        (page,) = check(site.url + path, fetcher=guarded).pages
        assert said in page.error


def test_name_is_looked_up_once_so_that_it_cannot_change_its_address(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("/", "<img>")
    port = site.server.server_port
    answers = iter([("127.0.0.1", port), ("10.0.0.1", port)])

    def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        import socket

        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", next(answers))]

    monkeypatch.setattr(fetch.socket, "getaddrinfo", look_up)
    assert len(check(f"http://example.org:{port}/").findings) == 1
    assert site.asked == [("/", f"example.org:{port}")]


@pytest.mark.parametrize(
    ("path", "said"),
    [("/gone", "404"), ("/image", "is not a page but image/png"), ("/large", "MiB, the limit")],
)
def test_what_cannot_be_read_is_said(site: Site, path: str, said: str) -> None:
    site.add("/image", b"\x89PNG", "image/png")
    site.add("/large", b" " * 2000)
    (page,) = check(site.url + path, fetcher=Fetcher(allow_private=True, largest=1000)).pages
    assert said in page.error


def test_slow_server_is_left(site: Site) -> None:
    began = time.monotonic()
    (page,) = check(f"{site.url}/slow", fetcher=Fetcher(allow_private=True, seconds=0.5)).pages
    assert "within" in page.error or "timed out" in page.error
    assert time.monotonic() - began < 3


def test_unreachable_server_is_said() -> None:
    (page,) = check("http://127.0.0.1:9/").pages
    assert "refused" in page.error


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1/", "http://", "http://[::1"])
def test_odd_address_is_one_error(url: str) -> None:
    (page,) = check(url).pages
    assert page.error.startswith("cannot be fetched")


def test_malformed_addresses_in_pages_and_redirects_are_no_defect(site: Site) -> None:
    url = site.add("/", '<base href="/x/"><img src="//[bad/a.png" alt="image">')
    (page,) = check(url).pages
    assert (page.error, [each.rule.id for each in page.findings]) == ("", ["alt-vague"])
    site.pages["/moved"] = (302, {"Location": "http://[bad/"}, b"")
    (page,) = check(f"{site.url}/moved").pages
    assert page.error.startswith("cannot be fetched")
    listed = "<urlset><url><loc>http://[bad/</loc></url></urlset>"
    (page,) = check(site.add("/map.xml", listed, "text/xml")).pages
    assert page.error.startswith("cannot be fetched")


def test_character_set_of_the_server_comes_first(site: Site) -> None:
    content = '<meta charset="utf-8"><img alt="Ж.jpg">'.encode("cp1251")
    url = site.add("/", content, "text/html; charset=windows-1251")
    assert check(url).findings[0].element.name == "Ж.jpg"


def test_sitemap_leads_to_its_pages(site: Site) -> None:
    site.add("/a", "<img>")
    site.add("/b", "<img alt='A dog'>")
    listed = f"<urlset><url><loc> {site.url}/a </loc></url><url><loc>/b</loc></url></urlset>"
    site.add("/pages.xml.gz", gzip.compress(listed.encode()), "application/gzip")
    index = f"<sitemapindex><sitemap><loc>{site.url}/pages.xml.gz</loc></sitemap></sitemapindex>"
    url = site.add("/sitemap.xml", index, "application/xml")
    result = check(url)
    assert [page.file for page in result.pages] == [f"{site.url}/a", f"{site.url}/b"]
    assert len(result.findings) == 1


def test_sitemap_that_is_broken_endless_or_a_bomb_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page,) = check(site.add("/broken.xml", "<urlset><url>", "text/xml")).pages
    assert "broken sitemap" in page.error
    bomb = gzip.compress(b" " * 2_000_000)
    small = Fetcher(allow_private=True, largest=100_000)
    (page,) = check(site.add("/bomb.gz", bomb), fetcher=small).pages
    assert "MiB, the limit" in page.error
    monkeypatch.setattr(fetch, "MOST_PAGES", 3)
    many = "".join(f"<url><loc>{n}</loc></url>" for n in range(5))
    with pytest.raises(OptionError, match="more than 3 pages"):
        list(pages_of(site.add("/many.xml", f"<urlset>{many}</urlset>"), OPEN))


def test_address_of_another_scheme_is_refused_rather_than_dropped() -> None:
    (page,) = check("ftp://example.org/a.html").pages
    assert "ftp://example.org/a.html is not a web address" in page.error
    with pytest.raises(OptionError, match="on the web"):
        audit(["ftp://example.org/a.html"])


def test_nothing_is_fetched_without_a_fetcher() -> None:
    with pytest.raises(OptionError, match="on the web"):
        audit(["https://example.org/"])


def test_body_of_the_wrong_length_is_one_error(site: Site) -> None:
    url = site.add("/", "<img>", **{"Content-Length": "100"})
    with pytest.raises(DocumentError):
        OPEN.fetch(url)
