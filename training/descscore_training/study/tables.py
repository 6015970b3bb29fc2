"""Tables 1 to 3 over seeds, the paper's numbers beside each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from descscore.datasets.kreiss2022 import BLV
from descscore.evaluate.paper import NONE, NORMS, QUESTIONS, TABLE_1, TABLE_2, TABLE_3
from descscore.evaluate.statistics import seed_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from descscore.results import Estimate

Values = dict[str, Any]
Reading = Callable[[Values], Values]
"""Takes one number from a model's evaluations: its `value`, the ends `low` and `high` of its
interval (None if unknown), and `undefined`: why there is no value."""

PARTS = ("total", "through", "around")
RELEVANCE = ("relevance of descriptions", "relevance of captions")
PERCENT, PEARSON = 0.1, 0.01
"""What the last digit stands for that the paper prints of shares and of correlations."""


def tables(found: Values) -> Values:
    """The tables of a study's results.

    A cell has `values` (one a seed), their `mean`, `half_width` of the 95% t-interval over seeds
    (None for fewer than two), `low` and `high` (the 95% interval over seeds; for the base that over
    images or descriptions), `undefined` (why values are missing), `paper` (what it printed, None if
    nothing) and `meet` (whether the two intervals have a number in common; None if the paper has
    none or measured something else).

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
    readings: dict[str, Reading] = {}

    def column(key: str, title: str, reading: Reading, paper: str | None = None) -> None:
        columns.append({"key": key, "title": title, "paper": paper})
        readings[key] = reading

    if study["concadia"]:
        name = study["concadia"]["name"]
        column("preference", f"Desc>Cap, {name}, %", _share("preference"), "preference")
        for key in RELEVANCE:
            column(key, f"{key}, {name}, %", _share(key))
    for task in study["transfer"]:
        key = f"transfer {task['name']}"
        column(key, f"{task['name']}, macro-F1 in %", _macro_f1(key), task["published"])
    if study["human"]:
        for question in QUESTIONS[:2]:
            key = f"blv {question}"
            column(key, f"BLV {question}, r", _rating(BLV, question), key)
    rows = []
    for model in models:
        printed = TABLE_1.get(model["published"] or "", {})
        cells = {}
        for part in columns:
            key = part["key"]
            cells[key] = _cell(
                model,
                readings[key],
                printed.get(part["paper"] or ""),
                same=key != "preference" or study["concadia"]["published"],
                digit=PEARSON if key.startswith("blv ") else PERCENT,
            )
        rows.append(_row(model, cells))
    return {"columns": columns, "rows": rows}


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
            cells = {}
            for question in QUESTIONS:
                if (group, question) in asked:
                    printed = TABLE_2.get(group, {}).get(model["published"], {}).get(question)
                    reading = _rating(group, question)
                    cells[question] = _cell(model, reading, printed, same=True, digit=PEARSON)
            rows.append(_row(model, cells) | {"group": group})
    columns = [{"key": question, "title": f"{question}, r"} for question in QUESTIONS]
    return {"columns": columns, "rows": rows}


def _table_3(found: Values, models: Sequence[Values]) -> Values:
    same = found["study"]["norms"]["published"]
    rows = []
    for model in models:
        of_run = TABLE_3.get(model["published"], {})
        for part in PARTS:
            printed = of_run.get(part, {})
            cells = {
                norm: _cell(model, _norm(norm, part), printed.get(norm), same=same, digit=PEARSON)
                for norm in NORMS
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


def _cell(
    model: Values, reading: Reading, printed: Estimate | None, *, same: bool, digit: float
) -> Values:
    read = [reading(seed["evaluations"]) for seed in model["seeds"] if seed["error"] is None]
    values = [one["value"] for one in read if one["value"] is not None]
    over_seeds = seed_interval(values) if values else None
    mean = None if over_seeds is None else over_seeds.value
    half_width = None if over_seeds is None else over_seeds.half_width
    low = high = None
    if mean is not None and half_width is not None:
        low, high = mean - half_width, mean + half_width
    elif model["name"] == NONE and values:
        low, high = read[0]["low"], read[0]["high"]
    meets = None
    if same and mean is not None and printed is not None:
        ends = (mean, mean) if low is None or high is None else (low, high)
        meets = meet(*ends, printed, digit=digit)
    return {
        "values": values,
        "mean": mean,
        "half_width": half_width,
        "low": low,
        "high": high,
        "undefined": next((one["undefined"] for one in read if one["value"] is None), None),
        "paper": None
        if printed is None
        else {"mean": printed.value, "half_width": printed.half_width},
        "meet": meets,
    }


def _share(key: str) -> Reading:
    def read(found: Values) -> Values:
        share = found["concadia"][key]
        return _read(100 * share["share"], 100 * share["low"], 100 * share["high"])

    return read


def _macro_f1(key: str) -> Reading:
    return lambda found: _read(100 * found[key]["macro_f1"])


def _rating(group: str, question: str) -> Reading:
    def read(found: Values) -> Values:
        for one in found["human"]["questions"]:
            if (one["group"], one["question"]) == (group, question):
                return one["pearson"]
        return _read(None, undefined="nobody was asked")

    return read


def _norm(norm: str, part: str) -> Reading:
    return lambda found: found["norms"][norm][part]


def _read(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    undefined: str | None = None,
) -> Values:
    return {"value": value, "low": low, "high": high, "undefined": undefined}


def meet(low: float, high: float, printed: Estimate, *, digit: float) -> bool:
    """Whether a 95% interval and a printed one have a number in common.

    Args:
        low: the interval's lower end, on the scale of what is printed.
        high: its upper end.
        printed: the paper's number; without an interval it is a point.
        digit: what the last printed digit stands for, such as 0.1: a point may be half of it off.
    """
    reach = (printed.half_width or 0.0) + digit / 2 + 1e-9
    return printed.value is not None and low - reach <= printed.value <= high + reach
