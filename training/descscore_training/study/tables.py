"""Tables 1 to 3 over seeds, the paper's numbers beneath."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from descscore.datasets.kreiss2022 import BLV
from descscore.evaluate.paper import (
    NONE,
    NORMS,
    QUESTIONS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    UNIQUE_TOKENS,
)
from descscore.evaluate.statistics import seed_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from descscore.results import Estimate

Values = dict[str, Any]

LENGTHS = ("words", "log words")
"""What only counts a text's words, as rows of their own."""
GIVEN = "given length"
_SHARES = ("preference", "relevance of descriptions", "relevance of captions")
_PARTS = ("total", "through", "around")
_NOTHING = "-"


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


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a printed table.

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
    """A printed table.

    Attributes:
        title: its caption.
        notes: sentences below it.
        heads: titles of the columns that say what a row is of.
        columns: titles of the others.
        lines: its rows.
    """

    title: str
    notes: tuple[str, ...]
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


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
        first = group.iloc[0]
        one = len(values) == 1
        printed = _printed(found, table, run, row, column, runs)
        comparable = run in runs and runs[run]["comparable"] and _same_data(found, table, column)
        # Through which subspace the paper read a model without one, it does not say.
        comparable = comparable and not (table == 3 and ", " in row)
        done.append(
            Cell(
                table=table,
                run=run,
                row=row,
                column=column,
                values=values,
                mean=None if over_seeds is None else over_seeds.value,
                half_width=None if over_seeds is None else over_seeds.half_width,
                low=_number(first["low"]) if one else None,
                high=_number(first["high"]) if one else None,
                undefined=next((why for why in group["undefined"] if isinstance(why, str)), None),
                paper=None if printed is None else (printed.value, printed.half_width),
                verdict=_verdict(over_seeds, printed, column) if comparable else None,
            )
        )
    return done


def layout(found: Values) -> list[Table]:
    """The tables of a study, those that it has data for."""
    of_table: dict[int, list[Cell]] = {1: [], 2: [], 3: []}
    for values in found["cells"]:
        of_table[values["table"]].append(Cell(**values))
    drawn = [_table(found, number, of) for number, of in of_table.items() if of]
    return [*drawn, _chosen(found)]


def gaps(found: Values) -> list[str]:
    """What the study lacks, in sentences: failed trainings, and numbers that do not exist."""
    study = found["study"]
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
        if study[name] is None:
            lines.append(f"the study has no [{name}], so it does not report {title}")
    if not study["transfer"]:
        lines.append("the study has no [[transfer]], so it does not report transfer")
    undefined: dict[tuple[int, str, str], list[str]] = {}
    for cell in found["cells"]:
        if cell["undefined"] is not None and not cell["values"]:
            key = (cell["table"], cell["run"], cell["undefined"])
            undefined.setdefault(key, []).append(
                ", ".join(filter(None, (cell["row"], cell["column"])))
            )
    for (table, run, why), where in undefined.items():
        more = f" and {len(where) - 1} more" if len(where) > 1 else ""
        lines.append(f"table {table}, {run}, {where[0]}{more}: {why}")
    return lines


def _of_model(run: str, evaluations: Values) -> Iterator[Record]:
    """The numbers of one checkpoint."""

    def record(table: int, row: str, column: str, of: Values, *, times: float = 1) -> Record:
        value, low, high = (
            None if of.get(key) is None else times * of[key] for key in ("value", "low", "high")
        )
        return Record(table, run, row, column, value, low, high, of.get("undefined"))

    concadia = evaluations.get("concadia", {})
    for name in _SHARES:
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
        columns = {question: asked["pearson"]}
        if asked[GIVEN] is not None:
            columns[f"{question}, {GIVEN}"] = asked[GIVEN]
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
    if table == 1 and column in _SHARES:
        return study["concadia"]["published"]
    return study["norms"]["published"] if table == 3 else True


def _verdict(ours: Estimate | None, printed: Estimate | None, column: str) -> str | None:
    """Whether two 95% intervals have a number in common; printed ends may be rounded."""
    ends = [end for one in (ours, printed) if one is not None for end in (one.low, one.high)]
    known = [end for end in ends if end is not None]
    if len(known) < 4:
        return None
    low, high, from_, to = known
    rounding = 0.005 if _digits(column) == 2 else 0.05
    return "meet" if low <= to + rounding and from_ - rounding <= high else "apart"


def _table(found: Values, number: int, of: Sequence[Cell]) -> Table:
    columns = list(dict.fromkeys(cell.column for cell in of))
    # As questions, then as questions with length held fixed.
    columns.sort(key=lambda column: column.endswith(GIVEN))
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    if number == 1:
        # A run has its row even if all its seeds failed.
        rows = {(name, ""): {} for name in (NONE, *(run["name"] for run in found["runs"]))}
    for cell in of:
        rows.setdefault((cell.run, cell.row), {})[cell.column] = cell
    order = list(dict.fromkeys([NONE, *LENGTHS, *(run for run, _ in rows)]))
    lines: list[Line] = []
    for (run, row), of_row in sorted(rows.items(), key=lambda item: order.index(item[0][0])):
        heads = _heads(found, number, run, row)
        texts = tuple(_measured(of_row.get(column)) for column in columns)
        lines.append(Line(heads=heads, cells=texts))
        if any(cell.paper for cell in of_row.values()):
            texts = tuple(_paper(of_row.get(column)) for column in columns)
            heads = (f"paper, Table {number}", *heads[1:-1], "" if run.startswith(NONE) else "5")
            lines.append(Line(heads=heads, cells=texts, paper=True))
    names = {1: ("run", "objective", "tuning"), 2: ("run", "group"), 3: ("run", "part")}
    return Table(
        title=_TITLES[number],
        notes=(*_notes(found, number), *_reading(of)),
        heads=(*names[number], "seeds"),
        columns=tuple(_title(found, number, column) for column in columns),
        lines=tuple(lines),
    )


_TITLES = {
    1: "Table 1: preference, relevance, transfer, and correlation with ratings by blind and "
    "low-vision people (BLV)",
    2: "Table 2: Pearson correlation of the score with mean ratings of descriptions (Kreiss et al. "
    "2022), by group and question",
    3: "Table 3: Pearson correlation of words' attributions with their concreteness and "
    "imageability",
}


def _heads(found: Values, number: int, run: str, row: str) -> tuple[str, ...]:
    about = next((one for one in found["runs"] if one["name"] == run), None)
    seeds = ""
    if about is not None:
        failed = sum(seed["error"] is not None for seed in about["seeds"])
        seeds = f"{len(about['seeds']) - failed}" + (f" ({failed} failed)" if failed else "")
    if number > 1:
        return run, row, seeds
    kind = (_NOTHING, _NOTHING) if about is None else (about["objective"], about["tuning"])
    return run, *((NONE, NONE) if run == NONE else kind), seeds


def _title(found: Values, number: int, column: str) -> str:
    study = found["study"]
    if column == "preference":
        return f"Desc>Cap, {study['concadia']['name']}, %"
    if column in _SHARES:
        return f"{column}, %"
    if column.startswith("transfer "):
        return f"{column.removeprefix('transfer ')}, macro-F1 in %"
    return column if column == "unique tokens" else f"{column}, r"


def _notes(found: Values, number: int) -> Iterator[str]:
    if number == 1:
        yield (
            "Desc>Cap is the share of images whose description scores higher than the caption. "
            "Relevance is how often an image's own text scores higher than another image's; chance "
            "is 50. A metric that reads only the text can have the first but not the second."
        )
    if number < 3:
        yield (
            "The rows 'words' and 'log words' only count the words of a text; "
            "'given length' is the partial correlation given the number of words."
        )
    if number == 2:
        yield (
            "The paper's untuned row equals scores with the prefix 'A photo depicts ', so the base "
            "is measured with it too. For each run, results.json also has the intervals over "
            "images, which are wider."
        )
    if number == 3:
        yield (
            "Through and around are the parts of an attribution that flow through the purpose "
            "subspace and around it. The paper does not say which subspace it used for models "
            "without one: a random basis and that of an iit-das run are our choice. The paper's "
            f"texts had {UNIQUE_TOKENS} unique tokens, and its Table 3 has LoRA runs only."
        )


def _reading(of: Sequence[Cell]) -> Iterator[str]:
    """How the cells are to be read, as far as the table has such cells."""
    if any(cell.half_width is not None for cell in of):
        yield "Mean ± half of the 95% t-interval over seeds."
    if any(cell.low is not None for cell in of):
        yield "In brackets, the 95% interval over images or texts."
    if any(cell.verdict for cell in of):
        yield "'meet' and 'apart' say whether the paper's interval and the one above it overlap."
    if any(cell.paper and not cell.verdict and cell.values for cell in of):
        yield (
            "There is no verdict with fewer than two seeds, without a printed interval, or if "
            "base, recipe or data differ from the paper's."
        )


def _measured(cell: Cell | None) -> str:
    if cell is None or cell.mean is None:
        return _NOTHING
    text = _shown(cell.mean, cell.half_width, cell.column)
    if cell.low is not None and cell.high is not None:
        ends = (_shown(end, None, cell.column) for end in (cell.low, cell.high))
        text += f" [{', '.join(ends)}]"
    return text


def _paper(cell: Cell | None) -> str:
    if cell is None or cell.paper is None or cell.paper[0] is None:
        return _NOTHING
    text = _shown(*cell.paper, cell.column)
    return f"{text} ({cell.verdict})" if cell.verdict else text


def _shown(mean: float | None, half_width: float | None, column: str) -> str:
    if mean is None:
        return _NOTHING
    text = f"{mean:.{_digits(column)}f}"
    # What rounds to zero has no sign.
    text = text.removeprefix("-") if not float(text) else text
    return text if half_width is None else f"{text} ± {half_width:.2f}"


def _digits(column: str) -> int:
    """Decimals that the paper prints."""
    if column == "unique tokens":
        return 0
    return 1 if column in _SHARES or column.startswith("transfer ") else 2


def _number(value: object) -> float | None:
    return None if value is None or math.isnan(float(value)) else float(value)  # pyright: ignore[reportArgumentType]


def _chosen(found: Values) -> Table:
    weight = found["study"]["trade_off"]
    lines = []
    for run in found["runs"]:
        for seed in run["seeds"]:
            choice = seed["choice"]
            if choice is None:
                continue
            shares = (choice[key] for key in ("preference", "relevance", "transfer", "trade_off"))
            texts = (_NOTHING if share is None else f"{share:.3f}" for share in shares)
            row = (f"{choice['step']:,}", *texts)
            lines.append(Line(heads=(run["name"], str(seed["seed"])), cells=row))
    return Table(
        title="The kept steps, measured on validation data",
        notes=(
            f"The kept step has the highest trade-off, {weight:g} x preference + "
            f"{1 - weight:.3g} x transfer score; the transfer score is the share of the base's "
            "macro-F1 that is retained, averaged over the transfer tasks.",
        ),
        heads=("run", "seed"),
        columns=("step", "preference", "relevance", "transfer score", "trade-off"),
        lines=tuple(lines),
    )


def as_plain(of: Sequence[Cell]) -> list[Values]:
    """Cells as plain values."""
    return [asdict(cell) for cell in of]
