"""Mean, spread and counts of scores that come in chunks, in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from descscore.tables.table import Cells


class ScoredRow(NamedTuple):
    """What was found for one row.

    Attributes:
        score: None where the row could not be scored.
        truncated: whether the text was longer than the checkpoint's window.
        error: why the row could not be scored.
        readouts: what is added beside the score, by column; empty where the row failed.
    """

    score: float | None
    truncated: bool
    error: str | None
    readouts: Mapping[str, float] = {}

    def cells(self, readouts: Sequence[str]) -> Cells:
        """The values of the added columns."""
        beside = (self.readouts.get(name) for name in readouts)
        return (self.score, *beside, self.truncated, self.error)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All rows of an output, those of an earlier, interrupted run included.

    Attributes:
        n: rows.
        scored: rows with a score; the four figures below are over them, and None without any.
        mean: of the scores.
        std: standard deviation, with n - 1; None for a single score.
        min: the lowest score.
        max: the highest score.
        mean_ref_score: mean RefCLIPScore; None without references.
        mean_purpose: mean P(description) of the scored rows' texts; None without a purpose
            subspace.
        truncated: rows whose text was longer than the checkpoint's window.
        failed: rows without a score.
        first_error: why the first of them failed.
        signature: one line that names everything a score depends on.
    """

    n: int
    scored: int
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    mean_ref_score: float | None
    mean_purpose: float | None
    truncated: int
    failed: int
    first_error: str | None
    signature: str


_MEANS = ("mean", "mean_ref_score", "mean_purpose")


def state_of(rows: Sequence[ScoredRow]) -> dict[str, Any]:
    """What a `Summary` of some rows is made from, as plain values."""
    good = [row for row in rows if row.error is None]
    scores = np.array([row.score for row in good], dtype=np.float64)
    means: dict[str, Any] = dict.fromkeys(_MEANS)
    if good:
        read = good[0].readouts.keys() & {"ref_score", "purpose"}
        means |= {f"mean_{name}": fmean(row.readouts[name] for row in good) for name in read}
        means["mean"] = float(scores.mean())
    return {
        "n": len(rows),
        "scored": len(good),
        "truncated": sum(row.truncated for row in rows),
        **means,
        "squares": float(np.square(scores - means["mean"]).sum()) if good else 0.0,
        "min": min(scores.tolist(), default=None),
        "max": max(scores.tolist(), default=None),
        "first_error": next((row.error for row in rows if row.error is not None), None),
    }


def merged(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The state of all rows from those of their parts (Chan et al. 1979)."""
    good = [state for state in states if state["scored"]]
    weights = [state["scored"] for state in good]
    means = {
        name: float(np.average(values, weights=weights))
        for name in _MEANS
        if (values := [state[name] for state in good]) and None not in values
    }
    errors = (state["first_error"] for state in states if state["first_error"] is not None)
    return {
        **{name: sum(state[name] for state in states) for name in ("n", "scored", "truncated")},
        **dict.fromkeys(_MEANS),
        **means,
        "squares": sum(
            state["squares"] + state["scored"] * (state["mean"] - means["mean"]) ** 2
            for state in good
        ),
        "min": min((state["min"] for state in good), default=None),
        "max": max((state["max"] for state in good), default=None),
        "first_error": next(errors, None),
    }


def summary_of(states: Sequence[dict[str, Any]], signature: str) -> Summary:
    """The summary of all parts."""
    state = merged(states)
    squares, scored = state.pop("squares"), state["scored"]
    return Summary(
        **state,
        std=math.sqrt(squares / (scored - 1)) if scored > 1 else None,
        failed=state["n"] - scored,
        signature=signature,
    )
