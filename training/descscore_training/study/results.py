"""What a study came to, as plain values: each training, and the tables over seeds."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from descscore.datasets.kreiss2022 import BLV
from descscore.evaluate.paper import NONE, NORMS, QUESTIONS, TABLE_1, TABLE_2, TABLE_3
from descscore.evaluate.statistics import seed_interval
from descscore_training.choice import transfer_score
from descscore_training.config import find_recipe, load_recipe, plain
from descscore_training.finetune_recipe import FinetuneRecipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from descscore.results import Estimate
    from descscore_training.choice import Choice, Evaluation
    from descscore_training.study.study import Study, Training


Values = dict[str, Any]

LENGTHS = ("words", "log words")
"""What only counts a text's words, as rows of their own."""
GIVEN = "given length"
SHARES = ("preference", "relevance of descriptions", "relevance of captions")
_PARTS = ("total", "through", "around")


class Record(NamedTuple):
    """One number of a model with one seed; `value` is None where it is undefined."""

    table: int
    run: str
    row: str
    column: str
    value: float | None
    low: float | None
    high: float | None
    undefined: str | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number of a table.

    Attributes:
        table: its table.
        run: the model.
        row: the group of raters, or the part of attributions; empty in Table 1.
        column: what was measured.
        values: one per seed.
        mean: over seeds; None where nothing is defined.
        half_width: of the 95% t-interval over seeds; None with fewer than two.
        low: of the interval over images or texts, if there is one value.
        high: likewise.
        undefined: why values are missing.
        paper: what is printed for it: mean and half of its interval.
        verdict: "meet" or "apart", as the two intervals are; None where they cannot be compared.
    """

    table: int
    run: str
    row: str
    column: str
    values: tuple[float, ...]
    mean: float | None
    half_width: float | None
    low: float | None
    high: float | None
    undefined: str | None
    paper: tuple[float | None, float | None] | None
    verdict: str | None


def cells(found: Values) -> list[Cell]:
    """All cells of the tables, in the order of their rows.

    Args:
        found: what `results` gathers.
    """
    import pandas as pd

    records = list(_of_model(NONE, found["base"]["evaluations"]))
    for run in found["runs"]:
        for seed in run["seeds"]:
            if seed["error"] is None:
                records += _of_model(run["name"], seed["evaluations"])
    if not records:
        return []
    frame = pd.DataFrame(records).astype({"undefined": object})
    runs = {run["name"]: run for run in found["runs"]}
    done = []
    by = ["table", "run", "row", "column"]
    for (table, run, row, column), group in frame.groupby(by, sort=False):  # pyright: ignore[reportGeneralTypeIssues]
        values = tuple(float(value) for value in group["value"].dropna())
        over_seeds = seed_interval(values) if values else None
        ends = dict.fromkeys(("low", "high"))
        if len(values) == 1:
            ends = {end: _number(group[end].iloc[0]) for end in ends}
        printed = _printed(found, table, run, row, column, runs)
        # Through which subspace the paper read a model without one, it does not say.
        unsaid = table == 3 and ", " in row
        comparable = run in runs and runs[run]["comparable"] and not unsaid
        comparable = comparable and _same_data(found, table, column)
        done.append(
            Cell(
                table=table,
                run=run,
                row=row,
                column=column,
                values=values,
                mean=None if over_seeds is None else over_seeds.value,
                half_width=None if over_seeds is None else over_seeds.half_width,
                **ends,
                undefined=next((why for why in group["undefined"] if isinstance(why, str)), None),
                paper=None if printed is None else (printed.value, printed.half_width),
                verdict=_verdict(over_seeds, printed, column) if comparable else None,
            )
        )
    return done


def _of_model(run: str, evaluations: Values) -> Iterator[Record]:
    """The numbers of one checkpoint."""

    def record(table: int, row: str, column: str, of: Values, *, times: float = 1) -> Record:
        value, low, high = (
            None if of.get(key) is None else times * of[key] for key in ("value", "low", "high")
        )
        return Record(table, run, row, column, value, low, high, of.get("undefined"))

    concadia = evaluations.get("concadia", {})
    for name in SHARES:
        if name in concadia:
            share = concadia[name]
            yield record(1, "", name, share | {"value": share["share"]}, times=100)
    for name, task in evaluations.items():
        if name.startswith("transfer "):
            yield record(1, "", name, {"value": task["macro_f1"]}, times=100)
    yield from _of_ratings(run, evaluations.get("human"), record)
    prefixed = evaluations.get("human with prefix")
    if prefixed is not None:
        name = f"{run}, prefix {prefixed['prefix']!r}"
        for one in _of_ratings(name, prefixed, record):
            if one.table == 2 and one.run == run:
                yield one._replace(run=name)
    for name, norms in evaluations.items():
        if not name.startswith("norms"):
            continue
        lens = name.removeprefix("norms").strip()
        for part in _PARTS:
            # A model without a subspace has only the total, which is the same through any lens.
            shown = not lens if part == "total" else norms[NORMS[0]][part]["value"] is not None
            if shown:
                for norm in NORMS:
                    yield record(3, f"{part}, {lens}" if lens else part, norm, norms[norm][part])
        if not lens:
            yield record(3, "total", "unique tokens", {"value": norms["unique tokens"]})


def _of_ratings(run: str, human: Values | None, record: Any) -> Iterator[Record]:
    for asked in human["questions"] if human else ():
        group, question = asked["group"], asked["question"]
        columns = {question: asked["correlations"]["pearson"]}
        if asked["given_length"] is not None:
            columns[f"{question}, {GIVEN}"] = asked["given_length"]
        for column, estimate in columns.items():
            in_table_1 = group == BLV and question in QUESTIONS[:2]
            if in_table_1:
                yield record(1, "", f"{BLV} {column}", estimate)
            yield record(2, group, column, estimate)
            if run == NONE and column == question:
                for name in LENGTHS:
                    of_length = asked["others"][name]["pearson"]
                    if in_table_1:
                        yield record(1, "", f"{BLV} {column}", of_length)._replace(run=name)
                    yield record(2, group, column, of_length)._replace(run=name)


def _printed(
    found: Values, table: int, run: str, row: str, column: str, runs: dict[str, Values]
) -> Estimate | None:
    """The paper's number for a cell."""
    published = NONE if run.startswith(NONE) else runs[run]["published"] if run in runs else None
    if published is None:
        return None
    if table == 1:
        tasks = {
            f"transfer {task['name']}": task["published"] for task in found["study"]["transfer"]
        }
        key = tasks[column] if column in tasks else column.lower()
        return TABLE_1[published].get(key or "")
    if table == 2:
        return TABLE_2.get(row, {}).get(published, {}).get(column)
    part = row.partition(", ")[0]
    return TABLE_3.get(published, {}).get(part, {}).get(column)


def _same_data(found: Values, table: int, column: str) -> bool:
    """Whether the paper measured the same data."""
    study = found["study"]
    if table == 1 and column in SHARES:
        return study["concadia"]["published"]
    return study["norms"]["published"] if table == 3 else True


def _verdict(ours: Estimate | None, printed: Estimate | None, column: str) -> str | None:
    """Whether two 95% intervals have a number in common; printed ends may be rounded."""
    ends = [end for one in (ours, printed) if one is not None for end in (one.low, one.high)]
    known = [end for end in ends if end is not None]
    if len(known) < 4:
        return None
    low, high, from_, to = known
    rounding = 0.005 if digits(column) == 2 else 0.05
    return "meet" if low <= to + rounding and from_ - rounding <= high else "apart"


def digits(column: str) -> int:
    """Decimals that the paper prints."""
    if column == "unique tokens":
        return 0
    return 1 if column in SHARES or column.startswith("transfer ") else 2


def _number(value: object) -> float | None:
    return None if value is None or math.isnan(float(value)) else float(value)  # pyright: ignore[reportArgumentType]


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
    ours, theirs = (
        [
            *(getattr(one, key) for key in same),
            *(getattr(one.duration, key) for key in sized),
            *((part.path, part.batch) for part in one.sources),
        ]
        for one in (recipe, papers)
    )
    return ours == theirs and study.base == papers.base


def _objective(recipe: FinetuneRecipe) -> str:
    objective = recipe.objective
    return f"joint {objective.alpha:g}" if objective.kind == "joint" else objective.kind


def _seed(outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.training.seed,
        "error": outcome.error,
        "choice": None if outcome.choice is None else asdict(outcome.choice),
        "evaluations": outcome.evaluations,
        "steps": [
            one.model_dump() | {"transfer score": transfer_score(one, outcome.log[0])}
            for one in outcome.log
        ],
    }
