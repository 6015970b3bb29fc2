"""Findings as SARIF 2.1.0, which code scanning and editors read."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from descscore.audit.addresses import ARCHIVE
from descscore.audit.rules import RULES, Rule
from descscore.strict_json import dump_indented

if TYPE_CHECKING:
    from descscore.audit.findings import AuditResult, Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"violation": "error", "review": "warning"}


def to_sarif(result: AuditResult) -> str:
    """One run with all findings; documents that were not read are its notifications."""
    rules = list(RULES.values())
    places = {rule.id: place for place, rule in enumerate(rules)}
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "descscore audit",
                        "semanticVersion": version("descscore"),
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, places) for finding in result.findings],
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {
                                "level": "warning",
                                "message": {"text": f"{page.file} {note}"},
                                "locations": [
                                    {"physicalLocation": {"artifactLocation": _uri(page.file)}}
                                ],
                            }
                            for page in result.pages
                            for note in page.notes
                        ],
                    }
                ],
            }
        ],
    }
    return dump_indented(log)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.help},
        "fullDescription": {"text": f"{rule.help}. {rule.advice}"},
        "help": {"text": rule.advice},
        "defaultConfiguration": {"enabled": rule.on, "level": _LEVELS[rule.severity]},
        "properties": {"tags": ["accessibility", *rule.tags]},
        "helpUri": rule.urls[0],
    }


def _result(finding: Finding, places: dict[str, int]) -> dict[str, Any]:
    place = finding.element.place
    location: dict[str, Any] = {"artifactLocation": _uri(place.file)}
    if place.line is not None:
        location["region"] = {
            "startLine": place.line,
            "startColumn": place.column,
            "snippet": {"text": finding.element.html},
        }
    found: dict[str, Any] = {"physicalLocation": location}
    if place.part:
        found["logicalLocations"] = [{"name": place.part}]
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": places[finding.rule.id],
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}. {finding.rule.advice}"},
        "locations": [found],
        "partialFingerprints": {"descscoreAudit/v1": finding.fingerprint},
    }


def _uri(file: str) -> dict[str, str]:
    """The address of a document; code scanning knows archives as a whole only."""
    file = file.partition(ARCHIVE)[0]
    if "://" in file:
        return {"uri": quote(file, safe="/:?=&%#~")}
    return {"uri": Path(file).as_uri() if Path(file).is_absolute() else quote(file)}
