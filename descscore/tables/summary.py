"""Mean, spread and counts of scores that come in chunks, in constant memory."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from descscore.tables.columns import ScoredRow


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


@dataclass(kw_only=True)
class RunningSummary:
    """What a `Summary` is made from, as numbers that JSON keeps exactly."""

    n: int = 0
    scored: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared deviations from the mean
    min: float | None = None
    max: float | None = None
    mean_ref_score: float | None = None
    mean_purpose: float | None = None
    truncated: int = 0
    first_error: str | None = None

    @classmethod
    def of(cls, states: Sequence[dict[str, Any]]) -> RunningSummary:
        """The whole of several parts, each given by its numbers."""
        whole = cls()
        for state in states:
            whole.merge(cls(**state))
        return whole

    def add(self, rows: Sequence[ScoredRow]) -> None:
        """Take in the next rows."""
        good = [row for row in rows if row.error is None]
        part = RunningSummary(
            n=len(rows),
            scored=len(good),
            truncated=sum(row.truncated for row in rows),
            first_error=next((row.error for row in rows if row.error is not None), None),
        )
        if good:
            scores = np.array([row.score for row in good], dtype=np.float64)
            part.mean, part.min, part.max = map(float, (scores.mean(), scores.min(), scores.max()))
            part.squares = float(np.square(scores - part.mean).sum())
            for name in good[0].readouts.keys() & {"ref_score", "purpose"}:
                setattr(part, f"mean_{name}", fmean(row.readouts[name] for row in good))
        self.merge(part)

    def merge(self, other: RunningSummary) -> None:
        """Take in what was found of the rows after these (Chan et al. 1979)."""
        if other.scored:
            scored = self.scored + other.scored
            share, delta = other.scored / scored, other.mean - self.mean
            self.squares += other.squares + delta**2 * self.scored * share
            self.mean += delta * share
            for name in ("mean_ref_score", "mean_purpose"):
                mine, theirs = getattr(self, name), getattr(other, name)
                if theirs is not None:
                    setattr(self, name, theirs if mine is None else mine + (theirs - mine) * share)
            self.scored = scored
        for name, least in (("min", min), ("max", max)):
            there = [v for v in (getattr(self, name), getattr(other, name)) if v is not None]
            setattr(self, name, least(there, default=None))
        self.n += other.n
        self.truncated += other.truncated
        self.first_error = self.first_error or other.first_error

    def summary(self, signature: str) -> Summary:
        """The figures so far."""
        figures: dict[str, Any] = asdict(self)
        squares = figures.pop("squares")
        figures["mean"] = self.mean if self.scored else None
        std = math.sqrt(squares / (self.scored - 1)) if self.scored > 1 else None
        return Summary(**figures, std=std, failed=self.n - self.scored, signature=signature)
