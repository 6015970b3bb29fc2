"""Why a text got its score: what each word adds, through the purpose subspace and around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.explain.explanation import Attributions, Explanation, Span

_NAMES = {
    "explanation": ("Attributions", "Explanation", "Span"),
}

__all__ = ["Attributions", "Explanation", "Span"]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
