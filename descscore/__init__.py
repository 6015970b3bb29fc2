"""descscore scores how well a text describes an image."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descscore.demonstration import DemonstrationWarning
    from descscore.errors import DescscoreError
    from descscore.explain.explanation import Explanation
    from descscore.metric import CLIPSCORE_PREFIX, DescriptionScore
    from descscore.results import Scores

_HOME = {
    "CLIPSCORE_PREFIX": "descscore.metric",
    "DemonstrationWarning": "descscore.demonstration",
    "DescriptionScore": "descscore.metric",
    "DescscoreError": "descscore.errors",
    "Explanation": "descscore.explain.explanation",
    "Scores": "descscore.results",
}

__all__ = [
    "CLIPSCORE_PREFIX",
    "DemonstrationWarning",
    "DescriptionScore",
    "DescscoreError",
    "Explanation",
    "Scores",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, since torch takes seconds."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
