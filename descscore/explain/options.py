"""How to explain."""

from __future__ import annotations

from dataclasses import dataclass

from descscore.errors import OptionError
from descscore.explain.explanation import BASELINES, TARGETS, Baseline, Target
from descscore.explain.quadrature import METHODS, Method
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
    method: Method = "gausslegendre"
    internal_batch_size: int | None = None
    baseline: Baseline = "padding"
    mediated: bool | None = None

    def __post_init__(self) -> None:
        check_choice("target", self.target, TARGETS)
        check_choice("method", self.method, METHODS)
        check_choice("baseline", self.baseline, BASELINES)
        # Both ends of the path count for the trapezoid rule.
        check_count("n_steps", self.n_steps, least=2 if self.method == "riemann_trapezoid" else 1)
        if self.internal_batch_size is not None:
            check_count("internal_batch_size", self.internal_batch_size)
        if self.mediated is not None and not isinstance(self.mediated, bool):
            raise OptionError(f"mediated is {self.mediated!r}; give True, False or None")

    @property
    def signature(self) -> str:
        """What attributions depend on beside the metric."""
        return to_signature(
            {
                "explained": self.target,
                "method": self.method,
                "n_steps": str(self.n_steps),
                "baseline": self.baseline,
            }
        )
