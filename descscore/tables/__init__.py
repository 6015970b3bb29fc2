"""Tables of pairs: read as a stream, scored or explained, and written."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descscore.tables.explaining import ExplainSummary, explain_table
    from descscore.tables.scoring import ScoreOptions, score_table
    from descscore.tables.shards import Cluster, join_shards, run_shards
    from descscore.tables.summary import Summary

_HOME = {
    "Cluster": "shards",
    "ExplainSummary": "explaining",
    "ScoreOptions": "scoring",
    "Summary": "summary",
    "explain_table": "explaining",
    "join_shards": "shards",
    "run_shards": "shards",
    "score_table": "scoring",
}

__all__ = [
    "Cluster",
    "ExplainSummary",
    "ScoreOptions",
    "Summary",
    "explain_table",
    "join_shards",
    "run_shards",
    "score_table",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, since the metric takes seconds."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, imported or not."""
    return sorted({*globals(), *__all__})
