"""Pages as a browser shows them: after scripts and styles, with names from its accessibility tree.

The browser is given the page with marks on its tags, and what it says of each image is written
beside the mark. So one reader serves pages as they are written and as they are shown.
"""

# Playwright may be absent.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from descscore.audit.fetch import Response
from descscore.audit.html import read_marked
from descscore.audit.marks import Lines, Marker
from descscore.audit.source import check_size, decode
from descscore.audit.tree import AX_IGNORED, AX_NAME
from descscore.errors import DocumentError, OptionError
from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

    from descscore.audit.elements import ImageElement
    from descscore.audit.fetch import Fetcher

_IMAGES = (
    "img, input[type=image], area[href], svg, svg image, object, [role=img], [role=image], "
    "[role=graphics-document], [role=graphics-symbol]"
)
_XHTML = "application/xhtml+xml"
_CONTROLS = "a[href], button, [role=link], [role=button]"
_SYSTEM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]


@contextmanager
def open_renderer(*, seconds: float = 30) -> Iterator[Renderer]:
    """A browser for the duration of the block: Playwright's own, or the system's.

    Args:
        seconds: time limit for a page.

    Raises:
        MissingExtraError: Playwright is not installed.
        OptionError: there is no browser.
    """
    with imports_of("browser"):
        from playwright.sync_api import Error, sync_playwright
    with sync_playwright() as playwright:
        path = None
        if not os.path.exists(playwright.chromium.executable_path):
            path = next(filter(None, map(shutil.which, _SYSTEM)), None)
        try:
            browser = playwright.chromium.launch(
                executable_path=path,
                args=_QUIET,
                # Chromium's sandbox refuses to start for root, as in containers.
                chromium_sandbox=hasattr(os, "geteuid") and os.geteuid() != 0,
            )
        except Error as error:
            raise OptionError(
                f"the browser does not start: {error.message.splitlines()[0]}; install one with: "
                "playwright install chromium"
            ) from error
        try:
            yield Renderer(browser, seconds=seconds)
        finally:
            browser.close()


class Renderer:
    """Reads pages through a browser.

    Args:
        browser: Playwright's.
        seconds: that a page may take.
    """

    def __init__(self, browser: Browser, *, seconds: float) -> None:
        self._browser = browser
        self._milliseconds = 1000 * seconds

    def read_file(self, path: Path) -> Iterator[ImageElement]:
        """The images of a file; nothing is asked of the network.

        Raises:
            DocumentError: the browser cannot show it.
        """
        check_size(path.stat().st_size)
        kind = _XHTML if path.suffix.lower() in (".xhtml", ".xht") else "text/html"
        content, url = path.read_bytes(), path.absolute().as_uri()
        response = Response(url=url, kind=kind, charset="", content=content)
        return self._read(response, path.as_posix(), None)

    def read_url(self, url: str, fetcher: Fetcher) -> Iterator[ImageElement]:
        """The images of a page on the web; all that it asks for goes through the fetcher.

        Raises:
            DocumentError: it cannot be fetched or shown.
        """
        response = fetcher.fetch(url)
        return self._read(response, response.url, fetcher)

    def _read(
        self, response: Response, name: str, fetcher: Fetcher | None
    ) -> Iterator[ImageElement]:
        from playwright.sync_api import Error

        text = decode(response.content, charset=response.charset)
        marker = Marker()
        kind = _XHTML if response.kind == _XHTML else "text/html"
        marked = marker.rewrite(text, Lines(text), xml=kind == _XHTML)
        url = response.url
        page = self._browser.new_page(service_workers="block", accept_downloads=False)
        try:
            page.set_default_timeout(self._milliseconds)
            page.route("**/*", lambda route: _answer(route, url, marked, kind, fetcher))
            page.goto(url, wait_until="load")
            with suppress(Error):  # scripts may go on after the page is loaded, even for ever
                page.wait_for_load_state("networkidle", timeout=2000)
            _write_names(page)
            shown = page.content()
        except Error as error:
            reason = error.message.splitlines()[0]
            raise DocumentError(f"cannot be shown in the browser: {reason}") from error
        finally:
            page.close()
        return read_marked(shown, marker.marks, name, xml=False, whole=False)


def _answer(route: Route, url: str, marked: str, kind: str, fetcher: Fetcher | None) -> None:
    """Answer what a page asks for: itself with marks, its files, and what may be fetched."""
    request = route.request
    asked = request.url.partition("#")[0]
    if asked == url.partition("#")[0] and request.is_navigation_request():
        route.fulfill(body=marked, content_type=f"{kind}; charset=utf-8")
        return
    scheme = urlsplit(asked).scheme
    if scheme in ("data", "blob") or (scheme == "file" and fetcher is None):
        route.continue_()
        return
    response = None
    if fetcher is not None and request.method == "GET":
        with suppress(DocumentError):  # of other schemes, too
            response = fetcher.fetch(asked)
    if response is None:
        route.abort()
    else:
        route.fulfill(body=response.content, content_type=response.kind)


def _write_names(page: Page) -> None:
    """Write beside each image and control what the accessibility tree says of it."""
    send: Any = page.context.new_cdp_session(page).send
    send("DOM.enable")
    send("Accessibility.enable")
    root = send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    found = send("DOM.querySelectorAll", {"nodeId": root, "selector": f"{_IMAGES}, {_CONTROLS}"})
    for node in found["nodeIds"]:
        tree = send("Accessibility.getPartialAXTree", {"nodeId": node, "fetchRelatives": False})
        for each in tree["nodes"][:1]:
            told = {
                AX_NAME: str(each.get("name", {}).get("value", "")),
                AX_IGNORED: str(bool(each.get("ignored"))).lower(),
            }
            for name, value in told.items():
                send("DOM.setAttributeValue", {"nodeId": node, "name": name, "value": value})
