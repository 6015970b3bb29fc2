"""descscore scores how well a text describes an image."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descscore.errors import DemonstrationWarning, DescscoreError
    from descscore.explain.explanation import Explanation
    from descscore.metric import CLIPSCORE_PREFIX, DescriptionScore
    from descscore.results import Embeddings, Problem, Scores

_HOME = {
    "CLIPSCORE_PREFIX": "descscore.metric",
    "DemonstrationWarning": "descscore.errors",
    "DescriptionScore": "descscore.metric",
    "DescscoreError": "descscore.errors",
    "Embeddings": "descscore.results",
    "Explanation": "descscore.explain.explanation",
    "Problem": "descscore.results",
    "Scores": "descscore.results",
}

__all__ = [
    "CLIPSCORE_PREFIX",
    "DemonstrationWarning",
    "DescriptionScore",
    "DescscoreError",
    "Embeddings",
    "Explanation",
    "Problem",
    "Scores",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, since torch takes seconds."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
