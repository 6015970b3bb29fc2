"""A study's tables as they are printed, the paper's numbers beneath, and its report.

The report is a page in HTML, the same in Markdown, and JSON.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from descscore.evaluate.paper import NONE, UNIQUE_TOKENS
from descscore.extras import imports_of
from descscore.templates import templates
from descscore.writing import write_json, write_whole
from descscore_training.study.figures import draw_figures
from descscore_training.study.results import GIVEN, LENGTHS, SHARES, Cell, Values, digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


_NOTHING = "-"


_LENGTH = (
    "The rows 'words' and 'log words' only count the words of a text; "
    "'given length' is the partial correlation given the number of words."
)
# By number: title, titles of the columns that say what a row is of, sentences below.
_TABLES: dict[int, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    1: (
        "Table 1: preference, relevance, transfer, and correlation with ratings by blind and "
        "low-vision people (BLV)",
        ("run", "objective", "tuning"),
        (
            "Desc>Cap is the share of images whose description scores higher than the caption. "
            "Relevance is how often an image's own text scores higher than another image's; chance "
            "is 50. A metric that reads only the text can have the first but not the second.",
            _LENGTH,
        ),
    ),
    2: (
        "Table 2: Pearson correlation of the score with mean ratings of descriptions (Kreiss et "
        "al. 2022), by group and question",
        ("run", "group"),
        (
            _LENGTH,
            "The paper's untuned row equals scores with the prefix 'A photo depicts ', so the base "
            "is measured with it too. For each run, results.json also has the intervals over "
            "images, which are wider.",
        ),
    ),
    3: (
        "Table 3: Pearson correlation of words' attributions with their concreteness and "
        "imageability",
        ("run", "part"),
        (
            "Through and around are the parts of an attribution that flow through the purpose "
            "subspace and around it. The paper does not say which subspace it used for models "
            "without one: a random basis and that of an iit-das run are our choice. The paper's "
            f"texts had {UNIQUE_TOKENS} unique tokens, and its Table 3 has LoRA runs only.",
        ),
    ),
}


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
    title, heads, notes = _TABLES[number]
    return Table(
        title=title,
        notes=(*notes, *_reading(of)),
        heads=(*heads, "seeds"),
        columns=tuple(_title(found, number, column) for column in columns),
        lines=tuple(lines),
    )


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
    if column in SHARES:
        return f"{column}, %"
    if column.startswith("transfer "):
        return f"{column.removeprefix('transfer ')}, macro-F1 in %"
    return column if column == "unique tokens" else f"{column}, r"


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
    text = f"{mean:.{digits(column)}f}"
    # What rounds to zero has no sign.
    text = text.removeprefix("-") if not float(text) else text
    # A count of words is the same for all seeds, whose texts are the same.
    return text if half_width is None or column == "unique tokens" else f"{text} ± {half_width:.2f}"


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


def check_extra() -> None:
    """Miss what the report is made with now, not after hours of training.

    Raises:
        MissingExtraError: a package is not installed.
    """
    with imports_of("reproduce"):
        for package in ("jinja2", "matplotlib"):
            import_module(package)


def write_report(found: dict[str, Any], out: Path, command: str) -> Path:
    """Write `results.json`, `report.html`, `report.md` and the figures.

    Args:
        found: what `results` gathers.
        out: the study's folder.
        command: that makes all of it.

    Returns:
        The page in HTML.
    """
    figures = draw_figures(found, out / "figures")
    pictures = {
        figure.name: b64encode((out / "figures" / figure.name).read_bytes()).decode("ascii")
        for figure in figures
    }
    values = {
        "study": found["study"],
        "base": found["base"]["name"],
        "versions": found["versions"],
        "runs": found["runs"],
        "tables": layout(found),
        "figures": figures,
        "pictures": pictures,
        "gaps": gaps(found),
        "command": command,
    }
    write_json(out / "results.json", found)
    markdown = templates("descscore_training.study", autoescape=False)
    markdown.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    html = templates("descscore_training.study")
    for name, environment in (("report.md", markdown), ("report.html", html)):
        text = environment.get_template(f"{name}.jinja").render(values)
        write_whole(out / name, text, sole=True)
    return out / "report.html"
