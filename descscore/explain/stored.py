"""Explanations in a folder: one JSON object a line, and the pages made from them."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.data.strict_json import dump, parse
from descscore.explain.explanation import PARTS, Attributions, Explanation, Span
from descscore.explain.render_html import Link, to_html

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jaxtyping import Float

PAIRS_ON_PAGE = 200
"""Explanations that a page shows at most; more than these go on several pages."""

_MADE = ("target", "baseline", "n_steps", "method", "signature")

LINES, INDEX = "explanations.jsonl", "index.html"


def failed_explanation(text: str, error: str, **made: Any) -> Explanation:
    """What stands for a pair that could not be explained.

    Args:
        text: of the pair; empty where it has none.
        error: why.
        made: `target`, `baseline`, `n_steps`, `method` and `signature`, as of the others.
    """
    nothing = Attributions(total=np.zeros(0, dtype=np.float32), through=None, around=None)
    nan = float("nan")
    return Explanation(
        text=text,
        image=None,
        tokens=(),
        of_tokens=nothing,
        words=(),
        of_words=nothing,
        value=nan,
        baseline_value=nan,
        completeness_error=nan,
        score=None,
        purpose=None,
        error=error,
        **made,
    )


def to_line(row: int, explanation: Explanation) -> bytes:
    """The explanation of a table's row, counted from 1, as a line of jsonl."""
    return dump({"row": row, **explanation.to_dict()}).encode() + b"\n"


def from_dict(record: Mapping[str, Any]) -> Explanation:
    """The explanation that `Explanation.to_dict` gave the record of."""
    values: dict[str, Any] = {
        name: float("nan") if record[name] is None else record[name]
        for name in ("value", "baseline_value", "completeness_error")
    }
    for name in (*_MADE, "text", "image_name", "score", "purpose", "error"):
        values[name] = record[name]
    return Explanation(
        **values,
        image=None if record["image"] is None else b64decode(record["image"]),
        tokens=_spans(record["tokens"]),
        of_tokens=_attributions(record["of_tokens"]),
        words=_spans(record["words"]),
        of_words=_attributions(record["of_words"]),
    )


def read_lines(path: Path) -> Iterator[Explanation]:
    """The explanations of a jsonl file, in order."""
    with path.open("rb") as file:
        for line in file:
            record = parse(line)
            if isinstance(record, dict):
                yield from_dict(record)


def write_pages(folder: Path, count: int, *, title: str | None = None) -> list[Path]:
    """Make `index.html`, and more pages if there are many, from a folder's explanations.

    Pages of more explanations, from an earlier time, are removed.

    Args:
        folder: holds the explanations, and is given the pages.
        count: how many explanations there are.
        title: of the pages.
    """
    explanations = read_lines(folder / LINES)
    names = [
        INDEX if page == 1 else f"page-{page}.html"
        for page in range(1, -(-count // PAIRS_ON_PAGE) + 1)
    ]
    for page, name in enumerate(names):
        first = page * PAIRS_ON_PAGE + 1
        rows = range(first, min(first + PAIRS_ON_PAGE, count + 1))
        links = [
            Link(name=str(other), address=None if other == page + 1 else address)
            for other, address in enumerate(names, start=1)
        ]
        html = to_html(
            [next(explanations) for _ in rows],
            title=title,
            rows=rows,
            pages=links if len(names) > 1 else (),
        )
        write_whole(folder / name, html.encode())
    pages = [folder / name for name in names]
    for path in folder.glob("page-*.html"):
        if path not in pages:
            path.unlink()
    return pages


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def _spans(records: list[dict[str, Any]]) -> tuple[Span, ...]:
    return tuple(Span(**record) for record in records)


def _attributions(record: Mapping[str, list[float] | None]) -> Attributions:
    values: dict[str, Any] = {name: _array(record[name]) for name in PARTS}
    return Attributions(**values)


def _array(values: list[float] | None) -> Float[np.ndarray, " span"] | None:
    return None if values is None else np.array(values, dtype=np.float32)
