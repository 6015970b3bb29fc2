"""What a study came to, as plain values: each training, and the tables over seeds."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from descscore_training.config import find_recipe, load_recipe, plain
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.selection import transfer_score
from descscore_training.study.cells import cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from descscore_training.selection import Choice, Evaluation
    from descscore_training.study.study import Study, Training

_PACKAGES = ("descscore", "torch", "transformers", "peft", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one training.

    Attributes:
        training: which.
        choice: the step that was kept; None if it failed.
        evaluations: of the chosen step, by name.
        log: what was measured on the way.
        error: why it failed, or None.
    """

    training: Training
    choice: Choice | None
    evaluations: dict[str, Any]
    log: list[Evaluation]
    error: str | None


def results(
    study: Study, base: str, base_evaluations: dict[str, Any], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """All numbers of a study, none of which depends on when or how fast it was run.

    Args:
        study: what was asked for.
        base: the base's name with what pins it.
        base_evaluations: of the base, by name.
        outcomes: of all trainings.
    """
    runs = []
    for run in study.runs:
        of_run = [outcome for outcome in outcomes if outcome.training.run.name == run.name]
        recipe = of_run[0].training.recipe
        runs.append(
            {
                "name": run.name,
                "objective": _objective(recipe),
                "tuning": "LoRA" if recipe.tuning.kind == "lora" else "full",
                "published": run.published,
                "comparable": is_papers(study, run.published, recipe),
                "recipe": run.recipe,
                "watched": None if recipe.watch is None else recipe.watch.name,
                "seeds": [_seed(outcome) for outcome in of_run],
            }
        )
    found = {
        "study": plain(study),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
        "base": {"name": base, "evaluations": base_evaluations},
        "runs": runs,
    }
    return found | {"cells": [asdict(cell) for cell in cells(found)]}


def is_papers(study: Study, published: str | None, recipe: FinetuneRecipe) -> bool:
    """Whether a run trains what the paper trained, by the recipe that is shipped for it."""
    if published is None:
        return False
    papers = load_recipe(FinetuneRecipe, find_recipe(f"clip-b32-{published}"))
    same = ("base", "objective", "tuning", "optimiser", "trade_off", "relevance_drop")
    sized = ("epochs", "epoch_pairs", "patience")
    return (
        all(getattr(recipe, key) == getattr(papers, key) for key in same)
        and all(getattr(recipe.duration, key) == getattr(papers.duration, key) for key in sized)
        and [(part.path, part.batch) for part in recipe.sources]
        == [(part.path, part.batch) for part in papers.sources]
        and study.base == papers.base
    )


def _objective(recipe: FinetuneRecipe) -> str:
    objective = recipe.objective
    return f"joint {objective.alpha:g}" if objective.kind == "joint" else objective.kind


def _seed(outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.training.seed,
        "error": outcome.error,
        "choice": None if outcome.choice is None else asdict(outcome.choice),
        "evaluations": outcome.evaluations,
        "steps": [_step(evaluation, outcome.log[0]) for evaluation in outcome.log],
    }


def _step(evaluation: Evaluation, base: Evaluation) -> dict[str, Any]:
    return {
        "step": evaluation.step,
        "epoch": evaluation.epoch,
        "preference": evaluation.preference,
        "watched": evaluation.watched,
        "relevance": evaluation.relevance,
        "f1": evaluation.f1,
        "transfer score": transfer_score(evaluation, base),
    }
