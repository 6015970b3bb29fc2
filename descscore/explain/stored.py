"""Explanations in a folder: one JSON object per line, and the pages made from them."""

from __future__ import annotations

import math
from base64 import b64decode
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from descscore.explain.explanation import Attributions, Explanation, Span
from descscore.explain.render.html import Link, to_html
from descscore.strict_json import dump, parse
from descscore.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAIRS_ON_PAGE = 200
"""Maximum explanations on one page."""

Order = Literal["table", "score"]
ORDERS: tuple[str, ...] = get_args(Order)

LINES, INDEX = "explanations.jsonl", "index.html"


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
        parts = values[name].items()
        values[name] = Attributions(
            **{k: None if v is None else np.array(v, dtype=np.float32) for k, v in parts}
        )
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
    names = [INDEX if page == 1 else f"page-{page}.html" for page in range(1, len(parts) + 1)]
    for part, name in zip(parts, names, strict=True):
        links = [
            Link(name=str(page), address=None if other == name else other)
            for page, other in enumerate(names, start=1)
        ]
        html = to_html(
            _read(folder / LINES, part),
            rows=[row.number for row in part],
            lowest_first=order == "score",
            pages=links if len(names) > 1 else (),
            whole=(len(rows), sum(row.failed for row in rows)),
        )
        write_whole(folder / name, html)
    pages = [folder / name for name in names]
    stale = len(pages) + 1
    while (path := folder / f"page-{stale}.html").exists():
        path.unlink()
        stale += 1
    return pages


@dataclass(frozen=True, kw_only=True)
class _Row:
    """Where a line of explanations is.

    Attributes:
        number: of the row that is explained, counted from 1.
        start: the line's first byte.
        failed: whether it has an error.
        height: what rows are ordered by.
    """

    number: int
    start: int
    failed: bool
    height: tuple[float, ...]


def _rows(path: Path, order: Order) -> list[_Row]:
    """All rows of a jsonl file, ordered."""
    rows = []
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            record = _record(line)
            height = _height(record) if order == "score" else ()
            failed = record["error"] is not None
            rows.append(_Row(number=number, start=start, failed=failed, height=height))
            start += len(line)
    return sorted(rows, key=lambda row: row.height)


def _height(record: Mapping[str, Any]) -> tuple[float, ...]:
    """The score, and among equal ones, as those that are cut at zero, what is explained itself."""
    if record["error"] is not None:
        return (math.inf,)
    return (record["score"] if record["target"] == "score" else 0.0, record["value"])


def _read(path: Path, rows: Sequence[_Row]) -> list[Explanation]:
    explanations = []
    with path.open("rb") as file:
        for row in rows:
            file.seek(row.start)
            explanations.append(from_dict(_record(file.readline())))
    return explanations


def _record(line: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", parse(line))
