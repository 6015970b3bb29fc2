"""descscore scores how well a text describes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.errors import DemonstrationWarning, DescscoreError
    from descscore.explain.explanation import Explanation
    from descscore.metric import DescriptionScore
    from descscore.metric_options import CLIPSCORE_PREFIX
    from descscore.results import Embeddings, Problem, Scores

_NAMES = {
    "errors": ("DemonstrationWarning", "DescscoreError"),
    "explain.explanation": ("Explanation",),
    "metric": ("DescriptionScore",),
    "metric_options": ("CLIPSCORE_PREFIX",),
    "results": ("Embeddings", "Problem", "Scores"),
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

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
