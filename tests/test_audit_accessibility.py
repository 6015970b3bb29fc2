"""The report of an audit in a browser: axe-core, an HTML validator, narrow screens; and SARIF.

Run with `-m browser`; `tests/browsing.py` says what it needs. The schema of SARIF comes with an npm
package as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from descscore.audit.report import render
from tests import audit_made as made
from tests.browsing import look, validate

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    path = folder / "report.html"
    path.write_text(render(made.audited(folder / "site"), "html"), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [500, 1200])
def test_axe_finds_no_violation(
    visit: Any, report: Path, axe: str, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    page = visit(report, color_scheme=scheme, viewport=size, bypass_csp=True)
    violations, unsure = look(page, axe)
    assert violations == {}
    assert unsure == set()


def test_report_is_valid_html(report: Path, node_modules: Path) -> None:
    done = validate(node_modules, report)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_wider_than_a_narrow_screen(visit: Any, report: Path) -> None:
    # The width that WCAG 2.2 asks for in criterion 1.4.10.
    page = visit(report, viewport={"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_report_asks_for_nothing_else(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(report.as_uri())
    page.wait_for_function("[...document.images].every(image => image.complete)")
    page.close()
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert said == []


def test_sarif_follows_its_schema(tmp_path: Path, node_modules: Path) -> None:
    from jsonschema import Draft7Validator

    (folder,) = (node_modules / "@microsoft" / "jest-sarif").rglob("sarif-2.1.0-rtm.5.json")
    schema = json.loads(folder.read_text(encoding="utf-8"))
    log = json.loads(render(made.audited(tmp_path / "site"), "sarif"))
    assert [error.message for error in Draft7Validator(schema).iter_errors(log)] == []
    log["runs"][0]["results"][0]["level"] = "bad"
    assert [*Draft7Validator(schema).iter_errors(log)]
