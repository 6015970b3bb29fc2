"""What tests of pages in a browser share: Chromium, axe-core, an HTML validator.

They need Chromium or Chrome, Playwright (the extra `browser`), and a folder with npm packages,
which `DESCSCORE_NODE_MODULES` names; `.ci/run` shows how.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def node_modules() -> Path:
    folder = os.environ.get("DESCSCORE_NODE_MODULES")
    assert folder, "DESCSCORE_NODE_MODULES names no folder with npm packages"
    return Path(folder)


@pytest.fixture(scope="module")
def axe(node_modules: Path) -> str:
    return (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"none of {', '.join(names)} is installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Any]:
    """Opens a file; keywords are Playwright's for a new page."""
    pages: list[Page] = []

    def visit(path: Path, **options: Any) -> Page:
        page = browser.new_page(**options)
        pages.append(page)
        page.goto(path.as_uri())
        return page

    yield visit
    for page in pages:
        page.close()


def look(page: Page, axe: str) -> tuple[dict[str, Any], set[str]]:
    """What axe-core finds with all its rules, everything unfolded.

    Returns:
        Elements that violate a rule, by rule; and why it could not judge the contrast of some.
    """
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    unsure = {
        check["message"]
        for rule in found["incomplete"]
        if rule["id"] == "color-contrast"
        for node in rule["nodes"]
        for check in node["any"]
    }
    violations = {
        rule["id"]: [node["html"] for node in rule["nodes"]] for rule in found["violations"]
    }
    return violations, unsure


def validate(node_modules: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = ["node", str(node_modules / "html-validate" / "bin" / "html-validate.mjs")]
    config = ["--config", str(ROOT / ".ci" / "html-validate.json")]
    return subprocess.run(
        [*command, *config, *map(str, paths)], capture_output=True, text=True, check=False
    )
