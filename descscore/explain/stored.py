"""Explanations in files: one in the format of its extension, or a folder of many.

The folder holds one JSON object per line, and the pages made from them.
"""

from __future__ import annotations

import math
from base64 import b64decode
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from descscore.errors import OptionError
from descscore.explain.explanation import Attributions, Explanation, Span
from descscore.explain.render.html import to_html
from descscore.extras import imports_of
from descscore.strict_json import dump, parse
from descscore.writing import check_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUFFIXES = (".html", ".json", ".png")
"""Of files of one explanation."""

PAIRS_ON_PAGE = 200
"""Maximum explanations on one page."""

Order = Literal["table", "score"]
ORDERS: tuple[str, ...] = get_args(Order)

LINES, INDEX = "explanations.jsonl", "index.html"


def check_file(path: Path, *, overwrite: bool = False) -> None:
    """Check that an explanation can be written to a file before it is computed.

    Raises:
        OptionError: the extension is unsupported, or the file exists and must not be replaced.
        TableError: its folder does not exist or cannot be written to.
        MissingExtraError: the format needs a package that is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{path} has an unsupported file extension; use {', '.join(SUFFIXES)}")
    check_folder(path.parent)
    if path.exists() and not overwrite:
        raise OptionError(
            f"{path} exists; allow overwriting it (`overwrite`), or name another file"
        )
    if path.suffix.lower() == ".png":
        with imports_of("plots"):
            import matplotlib as _  # noqa: F401


def write_file(explanation: Explanation, path: Path) -> None:
    """Write an explanation as HTML, JSON or PNG.

    Raises:
        OptionError: as a picture, the explanation has failed.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        explanation.to_png(path)
    elif suffix == ".json":
        write_whole(path, f"{dump(explanation.to_dict())}\n")
    else:
        write_whole(path, explanation.to_html())


def to_line(row: int, explanation: Explanation) -> bytes:
    """The explanation of a table's row, counted from 1, as a line of jsonl."""
    return dump({"row": row, **explanation.to_dict()}).encode() + b"\n"


def from_dict(record: Mapping[str, Any]) -> Explanation:
    """The explanation that `Explanation.to_dict` gave the record of."""
    values = {field.name: record[field.name] for field in fields(Explanation)}
    for name in ("value", "baseline_value", "completeness_error"):
        values[name] = math.nan if values[name] is None else values[name]
    for name in ("tokens", "words"):
        values[name] = tuple(Span(**span) for span in values[name])
    for name in ("of_tokens", "of_words"):
        arrays: dict[str, Any] = {
            part: None if numbers is None else np.array(numbers, dtype=np.float32)
            for part, numbers in values[name].items()
        }
        values[name] = Attributions(**arrays)
    values["image"] = values["image"] and b64decode(values["image"])
    return Explanation(**values)


def write_pages(folder: Path, *, order: Order = "table") -> list[Path]:
    """Write `index.html`, and further pages if needed, from a folder's explanations.

    Further pages left from an earlier run are removed.

    Args:
        folder: holds the explanations; the pages go there too.
        order: of the "table"; or by "score", the lowest explained value first and failures last.
    """
    rows = _rows(folder / LINES, order)
    parts = [rows[first : first + PAIRS_ON_PAGE] for first in range(0, len(rows), PAIRS_ON_PAGE)]
    names = [INDEX, *(f"page-{page}.html" for page in range(2, len(parts) + 1))]
    for page, part in enumerate(parts):
        html = to_html(
            _read(folder / LINES, part),
            rows=[row.number for row in part],
            lowest_first=order == "score",
            pages=names if len(parts) > 1 else (),
            page=page,
            whole=(len(rows), sum(row.failed for row in rows)),
        )
        write_whole(folder / names[page], html)
    pages = [folder / name for name in names]
    stale = len(pages) + 1
    while (path := folder / f"page-{stale}.html").exists():
        path.unlink()
        stale += 1
    return pages


class _Row(NamedTuple):
    """Where a line of explanations is.

    Attributes:
        height: what rows are ordered by.
        number: of the row that is explained, counted from 1.
        start: the line's first byte.
        failed: whether it has an error.
    """

    height: tuple[float, ...]
    number: int
    start: int
    failed: bool


def _rows(path: Path, order: Order) -> list[_Row]:
    """All rows of a jsonl file, ordered."""
    rows = []
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            record: Any = parse(line)
            failed = record["error"] is not None
            height: tuple[float, ...] = ()
            if order == "score":
                # Among equal scores, as those that are cut at zero, what is explained itself.
                score = record["score"] if record["target"] == "score" else 0.0
                height = (math.inf,) if failed else (score, record["value"])
            rows.append(_Row(height, number, start, failed))
            start += len(line)
    return sorted(rows)


def _read(path: Path, rows: Sequence[_Row]) -> list[Explanation]:
    explanations = []
    with path.open("rb") as file:
        for row in rows:
            file.seek(row.start)
            record: Any = parse(file.readline())
            explanations.append(from_dict(record))
    return explanations
