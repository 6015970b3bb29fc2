"""Findings as JSON in the shape of axe-core's results."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from descscore.strict_json import dump_indented
from descscore.strings import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from descscore.audit.elements import ImageElement
    from descscore.audit.findings import AuditResult, Finding
    from descscore.audit.rules import Rule

_LONGEST_NAME = 2000
"""Characters: one element can name thousands of images."""


def to_json(result: AuditResult) -> str:
    """All findings, under the rule that each breaks, as indented JSON."""
    findings = result.findings
    report = {
        "testEngine": {"name": "descscore", "version": version("descscore")},
        "summary": {
            "pages": len(result.pages),
            "images": result.images,
            "violations": result.count("violation"),
            "incomplete": result.count("review"),
            "known": result.known,
            "stale": result.stale,
            "errors": sum(bool(page.error) for page in result.pages),
        },
        "model": {"signature": result.model, "note": result.model_note},
        "violations": _by_rule(_found(each) for each in findings if each.severity == "violation"),
        "incomplete": _by_rule(_found(each) for each in findings if each.severity == "review"),
        "passes": _by_rule(
            (rule, _node(element)) for page in result.pages for rule, element in page.passes
        ),
        "listed": [_node(element) for page in result.pages for element in page.listed],
        "errors": [
            {"file": page.file, "message": note} for page in result.pages for note in page.notes
        ],
    }
    return dump_indented(report)


def _by_rule(nodes: Iterable[tuple[Rule, dict[str, Any]]]) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for rule, node in nodes:
        groups.setdefault(rule.id, _rule(rule) | {"nodes": []})["nodes"].append(node)
    return [*groups.values()]


def _found(finding: Finding) -> tuple[Rule, dict[str, Any]]:
    return finding.rule, _node(finding.element) | {
        "impact": finding.rule.impact,
        "failureSummary": finding.message,
        "advice": finding.rule.advice,
        "fingerprint": finding.fingerprint,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "impact": rule.impact,
        "tags": rule.tags,
        "description": rule.help,
        "help": rule.help,
        "helpUrl": rule.urls[0],
        "urls": rule.urls,
    }


def _node(element: ImageElement) -> dict[str, Any]:
    place = element.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "part": place.part,
        "html": element.html,
        "image": element.src,
        "alt": element.alt,
        "name": shortened(element.name, _LONGEST_NAME),
    }
