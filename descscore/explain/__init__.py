"""Why a text got its score: what its words add, through the purpose subspace and around it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descscore.explain.explanation import Attributions, Explanation, Span

_HOME = {"Attributions": "explanation", "Explanation": "explanation", "Span": "explanation"}

__all__ = ["Attributions", "Explanation", "Span"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, since torch takes seconds."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
