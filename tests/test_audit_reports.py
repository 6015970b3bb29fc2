"""Reports of an audit: SARIF, JUnit, HTML, and text for terminals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from descscore.audit.findings import AuditResult
from descscore.audit.report import render
from descscore.audit.rules import RULES
from tests import audit_made as made
from tests.html_read import read


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditResult:
    monkeypatch.chdir(tmp_path)
    return made.audited(Path("a site"))


# SARIF. `test_audit_accessibility.py` validates against the schema, which comes with a package.


@pytest.fixture
def run(result: AuditResult) -> dict[str, Any]:
    log = json.loads(render(result, "sarif"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    return run


def test_sarif_has_a_result_per_finding_with_its_place(
    run: dict[str, Any], result: AuditResult
) -> None:
    assert len(run["results"]) == len(result.findings) == 5
    first = run["results"][0]
    assert (first["ruleId"], first["level"]) == ("image-alt", "error")
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a%20site/page.html"}
    region = place["region"]
    assert (region["startLine"], region["startColumn"]) == (2, 1)
    assert region["snippet"]["text"] == "<img src=red.png>"
    assert {each["level"] for each in run["results"]} == {"error", "warning"}


def test_sarif_rules_are_found_by_their_index(run: dict[str, Any]) -> None:
    listed = run["tool"]["driver"]["rules"]
    assert [each["id"] for each in listed] == [*RULES]
    for each in run["results"]:
        assert listed[each["ruleIndex"]]["id"] == each["ruleId"]


def test_sarif_fingerprints_differ(run: dict[str, Any]) -> None:
    found = {each["partialFingerprints"]["descscoreAudit/v1"] for each in run["results"]}
    assert len(found) == len(run["results"])


def test_sarif_says_what_was_not_read(run: dict[str, Any]) -> None:
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "binary.html" in said["message"]["text"]


def test_sarif_names_the_slide_of_a_presentation(tmp_path: Path) -> None:
    from descscore.audit.run import audit

    path = made.pptx(tmp_path / "a.pptx", [made.shape("")])
    (found,) = json.loads(render(audit([path]), "sarif"))["runs"][0]["results"]
    (place,) = found["locations"]
    assert place["logicalLocations"] == [{"name": "slide 1"}]
    assert place["physicalLocation"] == {"artifactLocation": {"uri": path.as_uri()}}


# JUnit.


def test_junit_has_a_suite_per_page_and_counts_that_add_up(result: AuditResult) -> None:
    root = ElementTree.fromstring(render(result, "junit"))
    counts = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "7", "failures": "2", "errors": "1", "skipped": "3"}
    suites = {suite.get("name"): suite for suite in root}
    assert [*suites] == ["a site/binary.html", "a site/clean.html", "a site/page.html"]
    case = suites["a site/page.html"][0]
    assert (case.get("file"), case.get("line")) == ("a site/page.html", "2")
    assert case[0].tag == "failure"
    assert "a site/page.html:2:1" in (case[0].text or "")


# HTML.


def test_html_shows_each_finding_with_its_image(result: AuditResult) -> None:
    html = render(result, "html")
    page = read(re.sub(r"^<!DOCTYPE html>\n", "", html))
    assert len(page.all("article")) == 5
    pictures = page.all("img")
    assert len(pictures) == 4
    assert all(each.attributes["src"].startswith("data:image/") for each in pictures)
    assert pictures[0].attributes["alt"] == "The image red.png"
    assert "<b>" not in html
    assert "binary.html" in html
    assert "red.png" in [each.text.rpartition(": ")[2] for each in page.all("li")]


def test_html_shows_no_image_that_is_broken_or_gone(tmp_path: Path) -> None:
    from descscore.audit.run import audit

    (tmp_path / "page.html").write_text("<img src=a.png><img src=gone.png><img src='data:,x'>")
    (tmp_path / "a.png").write_bytes(b"no image")
    html = render(audit([tmp_path]), "html")
    assert "<img" not in html.replace("&lt;img", "")


def test_report_without_findings_says_so(tmp_path: Path) -> None:
    from descscore.audit.run import audit

    (tmp_path / "page.html").write_text("<img src=a.png alt='Dog on a beach'>")
    assert "No findings" in render(audit([tmp_path]), "html")
    assert render(audit([tmp_path]), "terminal").startswith("1 image in 1 page: 0 violations")


# Terminal.


def test_no_character_of_a_page_steers_the_terminal(result: AuditResult) -> None:
    text = render(result, "terminal")
    assert "[31m" in text
    assert all(each.isprintable() or each == "\n" for each in text)
