"""Tables 1 to 3 over seeds, the paper's numbers beside each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from descscore.evaluate.kreiss2022 import BLV, PUBLISHED
from descscore.evaluate.statistics import seed_interval
from descscore_training.reproduction.published import NONE, TABLE_1, TABLE_3, Printed, meet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Values = dict[str, Any]

QUESTIONS = ("overall", "imaginability", "relevance", "irrelevance")
NORMS = ("concreteness", "imageability")
PARTS = ("total", "through", "around")
RELEVANCE = ("relevance of descriptions", "relevance of captions")


def tables(found: Values) -> Values:
    """The tables of a study's results.

    A cell has `values` (one a seed), `mean`, `half_width` of the 95% t-interval over seeds (None
    for fewer than two), `paper` (what it printed, None if nothing) and `meet` (whether the two
    intervals have a number in common; None if the paper has none or measured something else).

    Args:
        found: what `results` gathers.
    """
    models = [_base(found), *found["runs"]]
    return {
        "1": _table_1(found, models),
        "2": _table_2(models) if found["study"]["human"] else None,
        "3": _table_3(found, models) if found["study"]["norms"] else None,
    }


def _base(found: Values) -> Values:
    """The model without tuning, in the form of a run."""
    return {
        "name": NONE,
        "objective": NONE,
        "tuning": NONE,
        "published": NONE,
        "seeds": [{"seed": None, "error": None, "evaluations": found["base"]["evaluations"]}],
    }


def _table_1(found: Values, models: Sequence[Values]) -> Values:
    study = found["study"]
    columns: list[Values] = []

    def column(key: str, title: str, published: str | None, *, same: bool) -> None:
        columns.append({"key": key, "title": title, "published": published, "same": same})

    if study["concadia"]:
        name = study["concadia"]["name"]
        column(
            "preference", f"Desc>Cap, {name}, %", "preference", same=study["concadia"]["published"]
        )
        for key in RELEVANCE:
            column(key, f"{key}, {name}, %", None, same=False)
    for task in study["transfer"]:
        title = f"{task['name']}, macro-F1 in %"
        column(f"transfer {task['name']}", title, task["published"], same=bool(task["published"]))
    if study["human"]:
        for question in QUESTIONS[:2]:
            column(f"blv {question}", f"BLV {question}, r", f"blv {question}", same=True)
    rows = []
    for model in models:
        printed = TABLE_1.get(model["published"] or "", {})
        cells = {
            part["key"]: _cell(
                _over_seeds(model, lambda found, key=part["key"]: _of_table_1(found, key)),
                printed.get(part["published"] or ""),
                same=part["same"],
            )
            for part in columns
        }
        rows.append(_row(model, cells))
    return {"columns": columns, "rows": rows}


def _of_table_1(found: Values, key: str) -> float | None:
    if key in {"preference", *RELEVANCE}:
        return 100 * found["concadia"][key]["share"]
    if key.startswith("transfer "):
        return 100 * found[key]["macro_f1"]
    return _correlation(found, BLV, key.removeprefix("blv "))


def _table_2(models: Sequence[Values]) -> Values:
    rows = []
    for model in models:
        asked = {
            (found["group"], found["question"]): None
            for seed in model["seeds"]
            if seed["error"] is None
            for found in seed["evaluations"]["human"]["questions"]
        }
        for group in dict.fromkeys(group for group, _ in asked):
            cells = {
                question: _cell(
                    _over_seeds(model, lambda f, g=group, q=question: _correlation(f, g, q)),
                    _printed(PUBLISHED.get((group, question)) if model["name"] == NONE else None),
                    same=True,
                )
                for question in QUESTIONS
                if (group, question) in asked
            }
            rows.append(_row(model, cells) | {"group": group})
    columns = [{"key": question, "title": f"{question}, r"} for question in QUESTIONS]
    return {"columns": columns, "rows": rows}


def _table_3(found: Values, models: Sequence[Values]) -> Values:
    same = found["study"]["norms"]["published"]
    rows = []
    for model in models:
        of_objective = TABLE_3.get(model["objective"], {}) if model["published"] else {}
        for part in PARTS:
            printed = of_objective.get(part, (None, None))
            cells = {
                norm: _cell(
                    _over_seeds(model, lambda f, n=norm, p=part: f["norms"][n][p]["value"]),
                    _printed(number),
                    same=same,
                )
                for norm, number in zip(NORMS, printed, strict=True)
            }
            # Nothing flows through a subspace that a model does not have.
            if part == "total" or any(cell["values"] for cell in cells.values()):
                rows.append(_row(model, cells) | {"part": part})
    return {"columns": [{"key": norm, "title": f"{norm}, r"} for norm in NORMS], "rows": rows}


def _row(model: Values, cells: Values) -> Values:
    measured = [seed["seed"] for seed in model["seeds"] if seed["error"] is None]
    return {
        "run": model["name"],
        "objective": model["objective"],
        "tuning": model["tuning"],
        "seeds": [seed for seed in measured if seed is not None],
        "failed": [seed["seed"] for seed in model["seeds"] if seed["error"] is not None],
        "cells": cells,
    }


def _over_seeds(model: Values, value: Callable[[Values], float | None]) -> list[float]:
    found = (value(seed["evaluations"]) for seed in model["seeds"] if seed["error"] is None)
    return [one for one in found if one is not None]


def _cell(values: list[float], printed: Printed | None, *, same: bool) -> Values:
    mean, half_width = seed_interval(values) if values else (None, None)
    paper = None
    if printed is not None:
        paper = {"mean": printed.mean, "half_width": printed.half_width}
    meets = None
    if same and mean is not None and printed is not None:
        meets = meet(mean, half_width, printed)
    return {
        "values": values,
        "mean": mean,
        "half_width": half_width,
        "paper": paper,
        "meet": meets,
    }


def _printed(number: float | None) -> Printed | None:
    return None if number is None else Printed(mean=number)


def _correlation(found: Values, group: str, question: str) -> float | None:
    """Pearson's; None where it was not asked or is not defined."""
    asked: Iterable[Values] = found["human"]["questions"]
    for one in asked:
        if (one["group"], one["question"]) == (group, question):
            return one["pearson"]["value"]
    return None
