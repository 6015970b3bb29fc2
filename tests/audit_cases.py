"""The labelled cases of alt texts, and what the audit finds at each of them.

`python -m tests.audit_cases` brings the tables in `docs/audit.md` up to date; it needs the data.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from descscore.audit.documents import read_text
from descscore.audit.elements import ImageElement
from descscore.audit.findings import PageResult
from descscore.audit.rules import RULES
from descscore.audit.run import Auditor
from descscore.audit.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "audit.md"
SOURCES = ("act-rules", "axe-core", "github-alt-text-plugin", "pages")
LABELS = {
    "image-alt": "alt-missing",
    "input-image-alt": "alt-missing",
    "area-alt": "alt-missing",
    "role-img-alt": "alt-missing",
    "svg-img-alt": "alt-missing",
    "object-alt": "alt-missing",
    "markdown-empty-alt": "alt-missing",
    "link-name": "link-name-missing",
    "button-name": "link-name-missing",
    "alt-filename": "alt-filename",
    "alt-placeholder": "alt-placeholder",
    "alt-vague": "alt-vague",
    "alt-credit": "alt-credit-only",
    "alt-keywords": "alt-keyword-stuffing",
    "alt-markup": "alt-markup",
    "image-redundant-alt": "alt-redundant-text",
    "alt-equals-caption": "alt-equals-caption",
    "alt-duplicate": "alt-duplicate",
    "presentation-role-conflict": "decorative-conflict",
    "figure-decorative": "decorative-informative",
    "alt-length": "alt-too-long",
    "alt-prefix": "alt-redundant-prefix",
}
"""The corpus's label for each rule."""

ALL_ON = Settings(enable=("alt-length", "alt-prefix"))


@dataclass
class Case:
    """A record of the corpus, and what was found at its place."""

    record: dict[str, Any]
    source: str
    found: dict[str, str] = field(default_factory=dict)
    read: bool = False

    @property
    def decidable(self) -> bool:
        """A static parser can decide it."""
        needs = set(self.record["needs"])
        return needs <= {"markup", "inline-style"} and not self.record.get("optional")

    @property
    def expected(self) -> list[set[str]]:
        """Of each set of labels, one must be found."""
        return [set(each["labels"]) for each in self.record["expected"]]

    @property
    def forbidden(self) -> set[str]:
        """Labels that are found as violations although they must not be."""
        names = set(self.record["forbidden"])
        wanted = set().union(*self.expected)
        return {
            label
            for label, severity in self.found.items()
            if severity == "violation" and label not in wanted and names & {label, "*"}
        }


def cases(data: Path) -> tuple[list[Case], dict[str, PageResult]]:
    """All cases with what is found, and the results of the pages by their files."""
    auditor = Auditor(ALL_ON)
    done: dict[str, tuple[PageResult, list[ImageElement]]] = {}
    found: list[Case] = []
    for source in SOURCES:
        for line in (data / f"{source}.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            key = record.get("file") or record["html"]
            if key not in done:
                done[key] = _audit(auditor, data, record)
            found.append(_case(record, source, *done[key]))
    return found, {key: page for key, (page, _) in done.items() if key.startswith("pages/")}


def _audit(
    auditor: Auditor, data: Path, record: dict[str, Any]
) -> tuple[PageResult, list[ImageElement]]:
    elements: list[ImageElement] = []
    name = record.get("file")
    content = (data / name).read_bytes() if name else record["html"].encode()
    suffix = Path(name).suffix if name else ".html"

    def read() -> Iterator[ImageElement]:
        for element in read_text(content, str(data / (name or "snippet.html")), suffix):
            elements.append(element)
            yield element

    return auditor.audit_page(name or "snippet.html", read), elements


def _case(
    record: dict[str, Any], source: str, page: PageResult, elements: list[ImageElement]
) -> Case:
    place = record["line"], record["column"]
    found = {
        LABELS[each.rule.id]: each.severity
        for each in page.findings
        if (each.element.place.line, each.element.place.column) == place
    }
    if any((each.place.line, each.place.column) == place for each in page.listed):
        found["background-image"] = "review"
    read = any((each.place.line, each.place.column) == place for each in elements)
    return Case(record, source, found, read)


def table(found: list[Case]) -> str:
    """Found and expected, per label and source, as a table in Markdown."""
    counts: dict[tuple[str, bool], dict[str, list[int]]] = defaultdict(
        lambda: {source: [0, 0] for source in SOURCES}
    )
    for case in found:
        for each in case.record["expected"]:
            hit = bool({*each["labels"]} & case.found.keys())
            count = counts[each["labels"][0], case.decidable][case.source]
            count[0] += hit
            count[1] += 1
    lines = [
        "| Label | Decidable from the markup | ACT | axe-core | GitHub plugin | Pages |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (label, decidable), row in sorted(counts.items(), key=lambda item: (not item[0][1], item)):
        cells = [f"{hit} of {total}" if total else "" for hit, total in row.values()]
        lines.append(f"| `{label}` | {'yes' if decidable else 'no'} | {' | '.join(cells)} |")
    cells = []
    for source in SOURCES:
        clean = [c for c in found if c.source == source and c.decidable and not c.expected]
        cells.append(f"{sum(bool(c.found) for c in clean)} of {len(clean)}")
    lines.append(f"| *nothing expected, yet flagged* | yes | {' | '.join(cells)} |")
    return "\n".join(lines)


def rule_table() -> str:
    """All rules as a table in Markdown."""
    lines = [
        "| Rule | Kind | Requirement | What to do | References |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in RULES.values():
        kind = rule.severity if rule.on else f"{rule.severity}, off"
        kind += ", model" if rule.source == "model" else ""
        links = ", ".join(f"[{url.rstrip('/').rpartition('/')[2]}]({url})" for url in rule.urls)
        lines.append(f"| `{rule.id}` | {kind} | {rule.help} | {rule.advice} | {links} |")
    return "\n".join(lines)


def with_table(page: str, name: str, content: str) -> str:
    """A page with a table in the place of that name."""
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", page)


def main() -> None:
    """Write the tables into the page."""
    data = Path(os.environ.get("DESCSCORE_TEST_DATA") or ROOT.parent / "shared" / "data")
    found, _ = cases(data / "alt-text-cases")
    page = with_table(PAGE.read_text(encoding="utf-8"), "rules", rule_table())
    PAGE.write_text(with_table(page, "cases", table(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
