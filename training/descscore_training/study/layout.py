"""A study's results as tables of text, for whatever page they are put on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from descscore.evaluate.paper import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator

Values = dict[str, Any]

_SHARES = {"preference", "relevance of descriptions", "relevance of captions"}
NOTHING = "-"
"""What stands where there is no number."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table.

    Attributes:
        heads: the cells that say what the row is of.
        cells: its numbers.
        paper: whether they are the paper's.
    """

    heads: tuple[str, ...]
    cells: tuple[str, ...]
    paper: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text.

    Attributes:
        title: its caption.
        notes: sentences below it.
        heads: titles of the columns that say what a row is of.
        columns: titles of the others.
        lines: its rows.
    """

    title: str
    notes: tuple[str, ...] = ()
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...] = field(default=())


def layout(found: Values) -> list[Table]:
    """The tables of a study, those that it has data for.

    Args:
        found: what `results` gathers.
    """
    drawn = [_table_1(found["tables"]["1"])]
    if found["tables"]["2"] is not None:
        items = found["base"]["evaluations"]["human"]["items"]
        drawn.append(_table_2(found["tables"]["2"], items))
    if found["tables"]["3"] is not None:
        drawn.append(_table_3(found["tables"]["3"]))
    return [*drawn, _chosen(found)]


def gaps(found: Values) -> list[str]:
    """What the study lacks, in sentences: failed trainings, and numbers that do not exist."""
    lines = [
        f"{run['name']}, seed {seed['seed']}, failed: {seed['error']}"
        for run in found["runs"]
        for seed in run["seeds"]
        if seed["error"] is not None
    ]
    for run in found["runs"]:
        if any(seed["steps"] and not seed["steps"][0]["f1"] for seed in run["seeds"]):
            lines.append(
                f"{run['name']} was trained without transfer tasks: its step was chosen by "
                "preference alone, and it is not in figure 4"
            )
    for name, title in (("concadia", "preference"), ("human", "ratings"), ("norms", "norms")):
        if found["study"][name] is None:
            lines.append(f"the study has no [{name}], so nothing is said of {title}")
    if not found["study"]["transfer"]:
        lines.append("the study has no [[transfer]], so nothing is said of transfer")
    for number, table in found["tables"].items():
        for row in table["rows"] if table is not None else ():
            for key, cell in row["cells"].items():
                if cell["undefined"] is not None:
                    what = " ".join([*_kind(row), key.removeprefix("blv ")])
                    lines.append(f"table {number}, {row['run']}, {what}: {cell['undefined']}")
    return list(dict.fromkeys(lines))


def _kind(row: Values) -> Iterator[str]:
    for key in ("group", "part"):
        if key in row:
            yield f"{row[key]},"


def _table_1(table: Values) -> Table:
    return Table(
        title="Table 1: preference, relevance, transfer, and correlation with ratings by blind and "
        "low-vision people (BLV)",
        notes=(
            "Desc>Cap is the share of images whose description scores higher than the caption. "
            "Relevance is how often an image's own text scores higher than another image's; chance "
            "is 50. A metric that reads only the text can have the first but not the second.",
            *_reading(table, drawn="images, each with all its texts"),
        ),
        heads=("run", "objective", "tuning", "seeds"),
        columns=tuple(column["title"] for column in table["columns"]),
        lines=tuple(_lines(table, "Table 1", lambda row: _of_run(row))),
    )


def _table_2(table: Values, items: int) -> Table:
    return Table(
        title=f"Table 2: Pearson correlation of the score with mean ratings of {items:,} "
        "descriptions (Kreiss et al. 2022), by group and question",
        notes=(
            "For each run, results.json also has the intervals over images, which are wider.",
            *_reading(table, drawn="images, each with all its descriptions"),
        ),
        heads=("run", "group", "seeds"),
        columns=tuple(column["title"] for column in table["columns"]),
        lines=tuple(_lines(table, "Table 2", lambda row: (row["run"], row["group"], _seeds(row)))),
    )


def _table_3(table: Values) -> Table:
    return Table(
        title="Table 3: Pearson correlation of words' attributions with their concreteness and "
        "imageability",
        notes=(
            "Through and around are the parts of an attribution that flow through the purpose "
            "subspace and around it; a model without a subspace has only the total.",
            *_reading(table, drawn="texts"),
        ),
        heads=("run", "part", "seeds"),
        columns=tuple(column["title"] for column in table["columns"]),
        lines=tuple(_lines(table, "Table 3", lambda row: (row["run"], row["part"], _seeds(row)))),
    )


def _reading(table: Values, *, drawn: str) -> Iterator[str]:
    """How the cells are to be read, as far as the table has such cells."""
    cells = [cell for row in table["rows"] for cell in row["cells"].values()]
    if any(cell["half_width"] is not None for cell in cells):
        yield "Mean ± half of the 95% t-interval over seeds."
    if any(cell["half_width"] is None and cell["low"] is not None for cell in cells):
        yield f"In brackets, the 95% interval of the base over {drawn}."
    if any(cell["meet"] is not None for cell in cells):
        yield (
            "Behind the paper's number stands whether its interval and the one above it meet or "
            "lie apart; a printed number without an interval counts as a point."
        )
    if any(cell["paper"] and cell["meet"] is None and cell["values"] for cell in cells):
        yield (
            "Where nothing stands behind the paper's number it was measured on other data, and "
            "cannot be compared."
        )


def _lines(table: Values, name: str, heads: Any) -> Iterator[Line]:
    keys = [column["key"] for column in table["columns"]]
    for row in table["rows"]:
        cells = [row["cells"].get(key) for key in keys]
        of_row = heads(row)
        yield Line(
            heads=of_row,
            cells=tuple(
                NOTHING if cell is None else _measured(cell, key)
                for key, cell in zip(keys, cells, strict=True)
            ),
        )
        if any(cell is not None and cell["paper"] for cell in cells):
            yield Line(
                heads=(f"paper, {name}", *of_row[1:-1], "5" if row["run"] != NONE else ""),
                cells=tuple(
                    NOTHING if cell is None or not cell["paper"] else _printed(cell, key)
                    for key, cell in zip(keys, cells, strict=True)
                ),
                paper=True,
            )


def _of_run(row: Values) -> tuple[str, ...]:
    return (row["run"], row["objective"], row["tuning"], _seeds(row))


def _seeds(row: Values) -> str:
    if row["run"] == NONE:
        return ""
    failed = f" ({len(row['failed'])} failed)" if row["failed"] else ""
    return f"{len(row['seeds'])}{failed}"


def _measured(cell: Values, key: str) -> str:
    if cell["mean"] is None:
        return NOTHING
    text = _number(cell["mean"], cell["half_width"], key)
    if cell["half_width"] is None and cell["low"] is not None:
        ends = (_number(cell[end], None, key) for end in ("low", "high"))
        text += f" [{', '.join(ends)}]"
    return text


def _printed(cell: Values, key: str) -> str:
    word = {None: "", True: " (meet)", False: " (apart)"}[cell["meet"]]
    return _number(cell["paper"]["mean"], cell["paper"]["half_width"], key) + word


def _number(mean: float, half_width: float | None, key: str) -> str:
    digits = 1 if key in _SHARES or key.startswith("transfer ") else 2
    shown = f"{mean:.{digits}f}"
    # What rounds to zero has no sign.
    shown = shown.removeprefix("-") if not float(shown) else shown
    return shown if half_width is None else f"{shown} ± {half_width:.2f}"


def _chosen(found: Values) -> Table:
    weight = found["study"]["trade_off"]
    lines = []
    for run in found["runs"]:
        for seed in run["seeds"]:
            choice = seed["choice"]
            if choice is None:
                continue
            shares = (choice[key] for key in ("preference", "relevance", "transfer", "trade_off"))
            cells = [f"{choice['step']:,}", *(_share(share) for share in shares)]
            lines.append(Line(heads=(run["name"], str(seed["seed"])), cells=tuple(cells)))
    return Table(
        title="The steps that were kept, as measured on validation data",
        notes=(
            f"Kept is the step with the highest {weight:g} x preference + {1 - weight:.3g} x "
            "transfer score; the transfer score is the share of the base's macro-F1 that is kept, "
            "the mean over the tasks that training watches.",
        ),
        heads=("run", "seed"),
        columns=("step", "preference", "relevance", "transfer score", "trade-off"),
        lines=tuple(lines),
    )


def _share(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.3f}"
