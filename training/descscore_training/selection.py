"""Which step of a run to keep: the one that gains the most preference and loses the least transfer.

Zur et al. (2024); the floor under relevance is our choice.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from descscore.errors import RecipeError
from descscore.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# A drop of just the allowed size is allowed, whatever its last digits are.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured at one step.

    Attributes:
        step: optimiser steps taken; 0 is the base model.
        epoch: passes over the training data, with fractions.
        preference: share of images whose description scores higher than the caption, in [0, 1].
        relevance: share of texts that score higher with their image than with another, in [0, 1].
        f1: zero-shot macro-F1 of each transfer task, in [0, 1].
        rest: whatever else was logged.
    """

    step: int
    epoch: float
    preference: float
    relevance: float | None
    f1: dict[str, float]
    rest: dict[str, Any]

    def __post_init__(self) -> None:
        shares = {"preference": self.preference} | {f"f1 of {k}": v for k, v in self.f1.items()}
        if self.relevance is not None:
            shares["relevance"] = self.relevance
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise RecipeError(
                    f"the {name} at step {self.step} is {share}; it must be in [0, 1]"
                )
        if self.step < 0 or not math.isfinite(self.epoch):
            raise RecipeError(f"there is no step {self.step} in epoch {self.epoch}")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The step to keep, and why.

    Attributes:
        step: the step.
        by: what was compared; the preference alone where there are no transfer tasks.
        trade_off: the largest value of what was compared.
        preference: at that step.
        relevance: at that step, if it was measured.
        transfer: the transfer score; None without transfer tasks.
        recovery: F1 over the base's F1, per transfer task.
        below_floor: no step kept enough relevance, and this one kept the most.
    """

    step: int
    by: Literal["trade-off", "preference"]
    trade_off: float
    preference: float
    relevance: float | None
    transfer: float | None
    recovery: dict[str, float]
    below_floor: bool


def read_log(path: Path) -> list[Evaluation]:
    """The evaluations in a run's `metrics.jsonl`; a last line without its end is left out.

    Raises:
        RecipeError: the log is missing, or a line is malformed.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise RecipeError(f"there is no log {path}; train first") from None
    evaluations = []
    for number, line in enumerate(lines[:-1], 1):  # behind the last line's end there is nothing
        try:
            record = parse(line)
            if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
                raise ValueError("not an object with a 'kind'")
            if record["kind"] == "validation":
                evaluations.append(_evaluation(record))
        except ValueError as error:
            raise RecipeError(
                f"{path}, line {number}: {error}; correct or remove the line"
            ) from None
    return evaluations


def recovery(tuned_f1: float, base_f1: float) -> float:
    """The share of the base model's F1 that the tuned model has; more than 1 if it gained.

    Raises:
        RecipeError: the base's F1 is 0.
    """
    if not base_f1 > 0:
        raise RecipeError(
            f"the base model's F1 is {base_f1}, of which nothing can be recovered; "
            "remove the task from transfer"
        )
    return tuned_f1 / base_f1


def recoveries(evaluation: Evaluation, base: Evaluation) -> dict[str, float]:
    """The recovery of each transfer task.

    Raises:
        RecipeError: the two have different tasks, or a base's F1 is 0.
    """
    if evaluation.f1.keys() != base.f1.keys():
        raise RecipeError(
            f"step {evaluation.step} was measured on {_listed(evaluation.f1)}, the base model on "
            f"{_listed(base.f1)}; measure both on the same tasks"
        )
    return {task: recovery(f1, base.f1[task]) for task, f1 in evaluation.f1.items()}


def transfer_score(evaluation: Evaluation, base: Evaluation) -> float:
    """The mean recovery over the transfer tasks.

    Raises:
        RecipeError: there are no tasks or different ones, or a base's F1 is 0.
    """
    found = recoveries(evaluation, base)
    if not found:
        raise RecipeError("there are no transfer tasks, so there is no transfer score")
    return _mean(found)


def trade_off(accuracy: float, transfer: float, alpha: float = 0.9) -> float:
    """Weigh: alpha * accuracy + (1 - alpha) * transfer; accuracy is the preference in [0, 1].

    Raises:
        RecipeError: alpha is not in [0, 1].
    """
    _check_alpha(alpha)
    return alpha * accuracy + (1 - alpha) * transfer


def choose(
    evaluations: Sequence[Evaluation], *, alpha: float = 0.9, relevance_drop: float | None = None
) -> Choice:
    """The step with the highest trade-off; of equal ones the earliest.

    The base model is never chosen if anything else was evaluated, and a step that lost more
    relevance than allowed only if all did: then it is the one with the most relevance.

    Args:
        evaluations: of one run, with the base model's at step 0.
        alpha: weight of the preference against the transfer score.
        relevance_drop: how far the relevance may lie below the base model's.

    Raises:
        RecipeError: there are no evaluations, none of step 0, two of one step, or they differ in
            their tasks; a base's F1 is 0; relevance is limited but was not measured; or an option
            is out of range.
    """
    _check_alpha(alpha)
    base = _base(evaluations)
    candidates = [evaluation for evaluation in evaluations if evaluation.step > 0] or [base]
    kept, below_floor = _above_floor(candidates, base, relevance_drop)
    choices = [_as_choice(evaluation, base, alpha, below_floor) for evaluation in kept]
    return min(choices, key=lambda choice: (-choice.trade_off, choice.step))


def _base(evaluations: Sequence[Evaluation]) -> Evaluation:
    steps = [evaluation.step for evaluation in evaluations]
    if not steps:
        raise RecipeError("nothing was evaluated, so there is no step to choose; train first")
    if 0 not in steps:
        raise RecipeError(
            f"the base model (step 0) was not evaluated, only steps {_listed(steps)}; "
            "train in a new folder"
        )
    twice = sorted({step for step in steps if steps.count(step) > 1})
    if twice:
        raise RecipeError(f"steps {_listed(twice)} were evaluated twice; train in a new folder")
    return evaluations[steps.index(0)]


def _above_floor(
    candidates: Sequence[Evaluation], base: Evaluation, relevance_drop: float | None
) -> tuple[Sequence[Evaluation], bool]:
    """Those with enough relevance, or else those with the most, and whether it is the latter."""
    if relevance_drop is None:
        return candidates, False
    if not relevance_drop >= 0:
        raise RecipeError(f"relevance_drop is {relevance_drop}; it must be at least 0")
    floor = _relevance(base) - relevance_drop - _ROUNDING
    kept = [evaluation for evaluation in candidates if _relevance(evaluation) >= floor]
    if kept:
        return kept, False
    most = max(map(_relevance, candidates))
    return [evaluation for evaluation in candidates if _relevance(evaluation) == most], True


def _relevance(evaluation: Evaluation) -> float:
    if evaluation.relevance is None:
        raise RecipeError(
            f"relevance was not measured at step {evaluation.step}; omit relevance_drop"
        )
    return evaluation.relevance


def _as_choice(evaluation: Evaluation, base: Evaluation, alpha: float, below_floor: bool) -> Choice:
    found = recoveries(evaluation, base)
    transfer = _mean(found) if found else None
    preference = evaluation.preference
    return Choice(
        step=evaluation.step,
        by="preference" if transfer is None else "trade-off",
        trade_off=preference if transfer is None else trade_off(preference, transfer, alpha),
        preference=preference,
        relevance=evaluation.relevance,
        transfer=transfer,
        recovery=found,
        below_floor=below_floor,
    )


def _evaluation(record: Mapping[str, Any]) -> Evaluation:
    """An evaluation from a record of the log; a ValueError says what is wrong with it."""
    f1 = record.get("f1", {})
    if not isinstance(f1, dict):
        raise ValueError(f"'f1' is {json.dumps(f1)}, no object")
    step = record.get("step")
    if not isinstance(step, int) or isinstance(step, bool):
        raise ValueError(f"'step' is {json.dumps(step)}, no whole number")
    relevance = record.get("relevance")
    known = {"kind", "step", "epoch", "preference", "relevance", "f1"}
    return Evaluation(
        step=step,
        epoch=_number("epoch", record.get("epoch")),
        preference=_number("preference", record.get("preference")),
        relevance=None if relevance is None else _number("relevance", relevance),
        f1={task: _number(f"f1 of {task}", value) for task, value in f1.items()},
        rest={key: value for key, value in record.items() if key not in known},
    )


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"'{name}' is {json.dumps(value)}, not a number")
    return float(value)


def _check_alpha(alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise RecipeError(f"alpha is {alpha}; it must be in [0, 1]")


def _mean(found: Mapping[str, float]) -> float:
    return math.fsum(found.values()) / len(found)


def _listed(names: Mapping[str, Any] | Sequence[object]) -> str:
    return ", ".join(map(str, names)) or "nothing"
