"""Findings as JUnit XML, which test runners and CI read: a suite per page, a case per finding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from descscore.audit.findings import AuditResult, PageResult

_INVALID = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(result: AuditResult) -> str:
    """Violations are failures, findings to review are skipped cases, unread pages are errors."""
    suites = ElementTree.Element("testsuites", name="descscore audit")
    for page in result.pages:
        suites.append(_suite(page))
    for name in ("tests", "failures", "errors", "skipped"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode", xml_declaration=False)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _suite(page: PageResult) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=_clean(page.file))
    for finding in page.findings:
        place = finding.element.place
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_clean(page.file),
            name=_clean(f"{finding.rule.id} at {place.line or place.part}"),
            file=_clean(place.file),
        )
        if place.line is not None:
            case.set("line", str(place.line))
        kind = "failure" if finding.severity == "violation" else "skipped"
        found = ElementTree.SubElement(case, kind, message=_clean(finding.message))
        found.text = _clean(f"{place}\n{finding.element.html}\n{finding.rule.advice}")
        if kind == "failure":
            found.set("type", finding.rule.id)
    if page.error:
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(page.file), name="read")
        ElementTree.SubElement(case, "error", message=_clean(page.error))
    if not len(suite):
        ElementTree.SubElement(suite, "testcase", classname=_clean(page.file), name="alt texts")
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in suite)))
    suite.set("tests", str(len(suite)))
    return suite


def _clean(text: str) -> str:
    """Text without characters that XML cannot hold."""
    return _INVALID.sub("\ufffd", text)
