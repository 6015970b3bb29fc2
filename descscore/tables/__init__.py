"""Tables of pairs: read as a stream, scored or explained, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.tables.explaining import ExplainSummary, explain_table
    from descscore.tables.scoring import ScoreOptions, score_table
    from descscore.tables.shards import Cluster, join_shards, run_shards
    from descscore.tables.summary import Summary

_NAMES = {
    "explaining": ("ExplainSummary", "explain_table"),
    "scoring": ("ScoreOptions", "score_table"),
    "shards": ("Cluster", "join_shards", "run_shards"),
    "summary": ("Summary",),
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

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
