"""Which step of a run to keep: the one that gains the most preference and loses the least transfer.

Zur et al. (2024); the floor under relevance is our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field

from descscore.errors import RecipeError
from descscore.strict_json import parse
from descscore_training.config import Part, build_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Share = Annotated[float, Field(ge=0, le=1)]

# A drop of just the allowed size is allowed, whatever its last digits are.
_ROUNDING = 1e-9


class Evaluation(Part):
    """What was measured at one step; whatever else was logged is passed over.

    Attributes:
        step: optimiser steps taken; 0 is the base model.
        epoch: passes over the training data, with fractions.
        preference: share of images whose description scores higher than the caption.
        relevance: share of texts that score higher with their image than with another.
        watched: preference on what the recipe watches.
        f1: zero-shot macro-F1 of each transfer task.
    """

    model_config = ConfigDict(extra="ignore")

    step: Annotated[int, Field(ge=0)]
    epoch: float
    preference: Share
    relevance: Share | None = None
    watched: Share | None = None
    f1: dict[str, Share] = Field(default_factory=dict)


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
        below_floor: no step kept enough relevance, and this one kept the most.
    """

    step: int
    by: Literal["trade-off", "preference"]
    trade_off: float
    preference: float
    relevance: float | None
    transfer: float | None
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
                evaluations.append(build_recipe(Evaluation, record))
        except ValueError as error:
            raise RecipeError(
                f"{path}, line {number}: {error}; correct or remove the line"
            ) from None
    return evaluations


def transfer_score(evaluation: Evaluation, base: Evaluation) -> float | None:
    """The share of the base model's F1 that is left, mean over transfer tasks; None without tasks.

    Raises:
        RecipeError: the two have different tasks, or a base's F1 is 0.
    """
    if evaluation.f1.keys() != base.f1.keys():
        raise RecipeError(
            f"step {evaluation.step} was measured on {', '.join(evaluation.f1) or 'nothing'}, the "
            f"base model on {', '.join(base.f1) or 'nothing'}; measure both on the same tasks"
        )
    for task, f1 in base.f1.items():
        if not f1:
            raise RecipeError(
                f"the base model's F1 of {task} is 0, of which nothing can be recovered; remove "
                "the task from transfer"
            )
    shares = [f1 / base.f1[task] for task, f1 in evaluation.f1.items()]
    return math.fsum(shares) / len(shares) if shares else None


def choose(
    evaluations: Sequence[Evaluation], *, alpha: float = 0.9, relevance_drop: float | None = None
) -> Choice:
    """The step with the highest trade-off; of equal ones the earliest.

    The trade-off is alpha * preference + (1 - alpha) * transfer score. The base model is never
    chosen if anything else was evaluated, and a step that lost more
    relevance than allowed only if all did: then it is the one with the most relevance.

    Args:
        evaluations: of one run, with the base model's at step 0.
        alpha: weight of the preference against the transfer score, in [0, 1].
        relevance_drop: how far the relevance may lie below the base model's.

    Raises:
        RecipeError: there are no evaluations, none of step 0, two of one step, or they differ in
            their tasks; a base's F1 is 0; or relevance is limited but was not measured.
    """
    base = _base(evaluations)
    candidates = [evaluation for evaluation in evaluations if evaluation.step > 0] or [base]
    below_floor = False
    if relevance_drop is not None:
        floor = _relevance(base) - relevance_drop - _ROUNDING
        most = max(map(_relevance, candidates))
        below_floor = most < floor
        floor = min(floor, most)
        candidates = [one for one in candidates if _relevance(one) >= floor]
    choices = []
    for one in candidates:
        transfer = transfer_score(one, base)
        value = one.preference
        if transfer is not None:
            value = alpha * one.preference + (1 - alpha) * transfer
        choices.append(
            Choice(
                step=one.step,
                by="preference" if transfer is None else "trade-off",
                trade_off=value,
                preference=one.preference,
                relevance=one.relevance,
                transfer=transfer,
                below_floor=below_floor,
            )
        )
    return min(choices, key=lambda choice: (-choice.trade_off, choice.step))


def _base(evaluations: Sequence[Evaluation]) -> Evaluation:
    steps = [evaluation.step for evaluation in evaluations]
    if 0 not in steps:
        raise RecipeError(
            f"the base model (step 0) was not evaluated, only steps {steps}; train in a new folder"
        )
    if twice := sorted({step for step in steps if steps.count(step) > 1}):
        raise RecipeError(f"steps {twice} were evaluated twice; train in a new folder")
    return evaluations[steps.index(0)]


def _relevance(evaluation: Evaluation) -> float:
    if evaluation.relevance is None:
        raise RecipeError(
            f"relevance was not measured at step {evaluation.step}; omit relevance_drop"
        )
    return evaluation.relevance
