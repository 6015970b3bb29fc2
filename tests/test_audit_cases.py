"""The audit finds what the labelled cases expect, and little else.

The cases are given; half of all were kept back, so nothing here may be fitted to single ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from descscore.audit.findings import PageResult
from tests import audit_cases
from tests.audit_cases import Case

PRESENCE = {"alt-missing", "link-name-missing"}
VIOLATIONS = {"alt-filename", "alt-placeholder", "alt-vague"}


@pytest.fixture(scope="module")
def audited(shared_data: Path) -> tuple[list[Case], dict[str, PageResult]]:
    folder = shared_data / "alt-text-cases"
    if not folder.is_dir():
        pytest.skip(f"no cases in {folder}")
    return audit_cases.cases(folder)


@pytest.fixture(scope="module")
def decidable(audited: tuple[list[Case], dict[str, PageResult]]) -> list[Case]:
    return [case for case in audited[0] if case.decidable]


def recall(cases: list[Case], labels: set[str] | None, severity: str) -> tuple[int, int]:
    """How many expected findings of a severity there are, and how many come."""
    wanted = [
        (case, each)
        for case in cases
        for each in case.record["expected"]
        if each["severity"] == severity and (labels is None or labels & {*each["labels"]})
    ]
    hits = sum(bool({*each["labels"]} & case.found.keys()) for case, each in wanted)
    return hits, len(wanted)


def test_every_missing_name_is_found(decidable: list[Case]) -> None:
    hits, total = recall(decidable, PRESENCE, "violation")
    assert hits == total > 50


def test_nothing_forbidden_is_a_violation(audited: tuple[list[Case], object]) -> None:
    assert [(case.record["id"], case.forbidden) for case in audited[0] if case.forbidden] == []


def test_other_violation_labels_are_found(decidable: list[Case]) -> None:
    hits, total = recall(decidable, VIOLATIONS, "violation")
    assert total > 30
    assert hits >= 0.95 * total


def test_other_violation_labels_are_right_on_the_pages(decidable: list[Case]) -> None:
    flagged = [
        label in set().union(*case.expected)
        for case in decidable
        if case.source == "pages"
        for label in case.found.keys() & VIOLATIONS
    ]
    assert len(flagged) > 10
    assert sum(flagged) >= 0.95 * len(flagged)


def test_labels_for_review_are_found(decidable: list[Case]) -> None:
    hits, total = recall(decidable, None, "needs-review")
    assert total > 40
    assert hits >= 0.8 * total


def test_few_clean_elements_are_flagged(decidable: list[Case]) -> None:
    clean = [case for case in decidable if not case.expected]
    assert len(clean) > 100
    assert sum(bool(case.found) for case in clean) <= 0.1 * len(clean)


def test_no_violation_stands_where_the_pages_have_no_image(
    audited: tuple[list[Case], dict[str, PageResult]],
) -> None:
    cases, pages = audited
    known = {
        (case.record["file"], case.record["line"], case.record["column"])
        for case in cases
        if case.source == "pages"
    }
    places = {
        (name, each.element.place.line, each.element.place.column)
        for name, page in pages.items()
        for each in page.findings
    }
    assert places <= known
    assert not [page.error for page in pages.values() if page.error]


def test_table_in_the_docs_is_what_is_found(
    audited: tuple[list[Case], dict[str, PageResult]],
) -> None:
    page = audit_cases.PAGE.read_text(encoding="utf-8")
    table = audit_cases.table(audited[0])
    assert audit_cases.with_table(page, "cases", table) == page, "run python -m tests.audit_cases"


def test_lines_and_columns_are_exact(decidable: list[Case]) -> None:
    # A canvas, a text button or an area that leads nowhere is no image for the audit.
    images = [
        case
        for case in decidable
        if case.source in ("github-alt-text-plugin", "pages") or case.expected
    ]
    assert len(images) > 200
    assert sum(case.read for case in images) >= 0.99 * len(images)
