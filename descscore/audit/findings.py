"""The findings of an audit, as the reports read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descscore.audit.elements import ImageElement
    from descscore.audit.rules import Rule, Severity

_MOST_NAMED = 3
"""Addresses that a note names."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An image that breaks a rule.

    Attributes:
        rule: the rule.
        element: the image.
        message: what is wrong with this image.
        severity: the rule's severity, or "review" if markup alone cannot decide.
        fingerprint: identifies the finding in later runs; set at the end.
    """

    rule: Rule
    element: ImageElement
    message: str
    severity: Severity
    fingerprint: str = ""


@dataclass(kw_only=True)
class PageResult:
    """The findings in one document.

    Attributes:
        file: the path as given.
        images: number of images.
        findings: findings in the order of the document.
        passes: images with the name rule that they pass; empty unless requested.
        listed: backgrounds, which are not judged.
        unread: addresses that a model should have judged but that are not images.
        error: why the document could not be read, or not completely.
    """

    file: str
    images: int = 0
    findings: list[Finding] = field(default_factory=list)
    passes: list[tuple[Rule, ImageElement]] = field(default_factory=list)
    listed: list[ImageElement] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def notes(self) -> list[str]:
        """What was not read, a line each."""
        said = [self.error] if self.error else []
        if self.unread:
            names = ", ".join(self.unread[:_MOST_NAMED])
            rest = len(self.unread) - _MOST_NAMED
            more = f" and {rest:,} more" if rest > 0 else ""
            said.append(f"has image addresses that lead to no image: {names}{more}")
        return said


@dataclass(kw_only=True)
class AuditResult:
    """The findings in all documents.

    Attributes:
        pages: results in the order of reading.
        model: signature of the scores; empty without a model.
        model_note: why the model's rules are off; empty if they are on.
        known: number of findings in the baseline, which `pages` omits.
        stale: fingerprints of the baseline that were not found again.
    """

    pages: list[PageResult] = field(default_factory=list)
    model: str = ""
    model_note: str = ""
    known: int = 0
    stale: list[str] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Those of all pages."""
        return [finding for page in self.pages for finding in page.findings]

    @property
    def images(self) -> int:
        """How many there are."""
        return sum(page.images for page in self.pages)

    def count(self, severity: Severity) -> int:
        """How many findings there are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)
