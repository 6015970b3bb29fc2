"""How to explain."""

from __future__ import annotations

from dataclasses import dataclass

from descscore.explain.explanation import BASELINES, TARGETS, Baseline, Target
from descscore.options import check_choice, check_count
from descscore.signature import to_signature


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """The options of `DescriptionScore.explain`, which says what they mean.

    Raises:
        OptionError: one is outside its allowed values.
    """

    target: Target = "score"
    n_steps: int = 50
    baseline: Baseline = "padding"

    def __post_init__(self) -> None:
        check_choice("target", self.target, TARGETS)
        check_choice("baseline", self.baseline, BASELINES)
        check_count("n_steps", self.n_steps)

    @property
    def signature(self) -> str:
        """What attributions depend on beside the metric."""
        steps = str(self.n_steps)
        return to_signature({"explained": self.target, "n_steps": steps, "baseline": self.baseline})
