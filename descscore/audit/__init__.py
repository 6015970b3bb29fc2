"""Audits of alt texts: documents → image elements → rules and scores → findings → report.

Needs the extra `audit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.audit.elements import Control, ImageElement, Place
    from descscore.audit.fetch import Fetcher
    from descscore.audit.findings import AuditResult, Finding, PageResult
    from descscore.audit.render import Renderer, open_renderer
    from descscore.audit.report import write_report
    from descscore.audit.rules import RULES, Rule
    from descscore.audit.run import audit
    from descscore.audit.settings import Settings

_NAMES = {
    "elements": ("Control", "ImageElement", "Place"),
    "fetch": ("Fetcher",),
    "findings": ("AuditResult", "Finding", "PageResult"),
    "render": ("Renderer", "open_renderer"),
    "report": ("write_report",),
    "rules": ("RULES", "Rule"),
    "run": ("audit",),
    "settings": ("Settings",),
}

__all__ = [
    "RULES",
    "AuditResult",
    "Control",
    "Fetcher",
    "Finding",
    "ImageElement",
    "PageResult",
    "Place",
    "Renderer",
    "Rule",
    "Settings",
    "audit",
    "open_renderer",
    "write_report",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
