"""Audits of alt texts: documents → image elements → rules and scores → findings → report.

Needs the extra `audit`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descscore.audit.elements import Control, ImageElement, Place
    from descscore.audit.fetch import Fetcher
    from descscore.audit.findings import AuditResult, Finding, PageResult
    from descscore.audit.render import Renderer, open_renderer
    from descscore.audit.report import write_report
    from descscore.audit.rule import Rule
    from descscore.audit.rules import RULES
    from descscore.audit.run import audit
    from descscore.audit.settings import Settings

_HOME = {
    "RULES": "rules",
    "AuditResult": "findings",
    "Control": "elements",
    "Fetcher": "fetch",
    "Finding": "findings",
    "ImageElement": "elements",
    "PageResult": "findings",
    "Place": "elements",
    "Renderer": "render",
    "Rule": "rule",
    "Settings": "settings",
    "audit": "run",
    "open_renderer": "render",
    "write_report": "report",
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


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, since parsers take a while."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
