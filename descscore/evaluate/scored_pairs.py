"""Two files of scored rows -> the two scores of each item."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from descscore.datasets.failures import Failure
from descscore.datasets.ratings import numbered_rows
from descscore.errors import OptionError, TableError
from descscore.signature import signature_parts
from descscore.strings import closest, normal_form
from descscore.tables.formats import open_table
from descscore.tables.locate import pattern_columns
from descscore.tables.numbers import read_number
from descscore.tables.record import recorded_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float

    from descscore.tables.table import Table


_ADDED = ("score", "ref_score", "purpose", "purpose_effect", "truncated", "error")
_MAY_DIFFER = frozenset({"descscore", "checkpoint", "base", "dtype", "images"})
"""Parts of a signature that leave scores comparable; all others must be equal."""


@dataclass(frozen=True, kw_only=True)
class ScoredPairs:
    """Items with a score from each of two files.

    Attributes:
        items: the items' names.
        texts: the items' texts; None if the files have none.
        clusters: the items' images; None if unknown.
        a: scores of the first file; NaN where there is none.
        b: scores of the second.
        missing: items of one file that the other lacks.
        notes: what could not be checked.
    """

    items: Sequence[str]
    texts: Sequence[str | None]
    clusters: Sequence[str] | None = None
    a: Float[np.ndarray, " item"]
    b: Float[np.ndarray, " item"]
    missing: Sequence[Failure]
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """One scored file.

    Attributes:
        table: the file.
        rows: its rows, all of which could be read.
        record: the settings that it was written with; empty if it has no record.
    """

    table: Table
    rows: list[dict[str, Any]]
    record: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.table.path

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> _Scored:
        table = open_table(path)
        rows = [values for _, values in numbered_rows(table)]
        return cls(table=table, rows=rows, record=recorded_settings(table.path) or {})

    def parts(self) -> dict[str, str]:
        """The parts of the signature of its scores."""
        signature = self.record.get("signature")
        return signature_parts(signature) if isinstance(signature, str) else {}

    def columns_of(self, role: Literal["image", "text"]) -> list[str]:
        """The columns that its images, or its texts, were read from; empty if no record says so."""
        pattern = self.record.get("image_pattern") if role == "image" else None
        column = self.record.get(f"{role}_column")
        if isinstance(pattern, str):
            return pattern_columns(pattern)
        return [column] if isinstance(column, str) else []

    def added(self, score_column: str) -> set[str]:
        """The columns that scoring added."""
        prefix = score_column.removesuffix("score")
        recorded = self.record.get("added_columns") or ()
        return {score_column, *recorded, *(prefix + name for name in _ADDED)}


def pair_scores(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    score_column: str = "score",
    image_column: str | None = None,
    text_column: str | None = None,
    repeated: bool = False,
) -> ScoredPairs:
    """Match the rows of two scored files.

    Without `id_column`, rows are matched by order, and the columns that identify them must be equal
    in both files: those named here, else those in the files' run records, else all
    columns that scoring did not add.

    Args:
        a: the first file (csv, tsv, jsonl, parquet).
        b: the second.
        id_column: match rows by this column instead.
        score_column: the column of scores.
        image_column: the column of images.
        text_column: the column of texts.
        repeated: whether ids may repeat, like those of images, if equally often in both files.

    Raises:
        TableError: a file cannot be read, a column is missing, the files have different rows,
            an id repeats, or a score is not a number.
        OptionError: the scores are not comparable, or nothing identifies the rows.
    """
    files = _Scored.read(a), _Scored.read(b)
    named = [name for name in (id_column, image_column, text_column) if name]
    advice = (
        "name the right ones with `score_column`, `id_column`, `image_column` and `text_column`"
    )
    for file in files:
        file.table.check_columns([score_column, *named], advice)
    _refuse_unlike(*files)
    image_columns = _identifying(files, image_column, "image")
    text_columns = _identifying(files, text_column, "text")
    missing: list[Failure] = []
    if id_column is None:
        items = _by_order(files, score_column, image_columns, text_columns)
        of_a, of_b = (file.rows for file in files)
    else:
        items, pairs, missing = _by_id(files, id_column, text_columns, repeated=repeated)
        of_a, of_b = ([pair[side] for pair in pairs] for side in (0, 1))
    of_image = image_columns or ([id_column] if id_column else [])
    return ScoredPairs(
        items=items,
        texts=[_text(row, text_columns) for row in of_a],
        clusters=[row_key(row, of_image) for row in of_a] if of_image else None,
        a=_scores(files[0].table, of_a, score_column),
        b=_scores(files[1].table, of_b, score_column),
        missing=missing,
        notes=_unchecked(files),
    )


def _unchecked(files: tuple[_Scored, _Scored]) -> list[str]:
    notes = [
        f"{file.path} has no record of its run beside it, so its scale, prefix and other settings "
        "are not checked"
        for file in files
        if not file.parts()
    ]
    notes += unlike_models(*(file.parts() for file in files))
    folders = [file.record.get("images") for file in files]
    if all(folders) and folders[0] != folders[1]:
        notes.append(f"the images of A are in {folders[0]}, those of B in {folders[1]}")
    return notes


def unlike_models(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """A note on signatures of two different CLIPs, if they are; a tuned one is its base's."""
    models = []
    for parts in (a, b):
        base = parts.get("base", "itself")
        models.append(parts.get("checkpoint") if base == "itself" else base)
    if None in models or models[0] == models[1]:
        return []
    return [
        f"A and B are scores of different models ({models[0]}, {models[1]}), whose cosines need "
        "not be on one scale: trust which items rise or fall more than the mean difference"
    ]


def _refuse_unlike(a: _Scored, b: _Scored) -> None:
    """Refuse scores that mean different things.

    Raises:
        OptionError: they do.
    """
    first, second = a.parts(), b.parts()
    if not first or not second:
        return
    names = [name for name in {**first, **second} if name not in _MAY_DIFFER]
    unlike = [name for name in names if first.get(name) != second.get(name)]
    if not unlike and first.get("scale") == "logit":
        # Logits are multiplied by the checkpoint's own logit scale.
        unlike = [name for name in ("checkpoint",) if first.get(name) != second.get(name)]
    if unlike:
        name = unlike[0]
        raise OptionError(
            f"{a.path} and {b.path} are not comparable: {name} is {first.get(name, 'none')} in the "
            f"first and {second.get(name, 'none')} in the second; score both with the same settings"
        )


def _identifying(
    files: tuple[_Scored, _Scored], given: str | None, role: Literal["image", "text"]
) -> list[str]:
    """The columns that hold the images, or the texts, of both files; empty if that is not known."""
    if given:
        return [given]
    recorded = [file.columns_of(role) for file in files if file.record]
    if any(columns != recorded[0] for columns in recorded):
        return []
    columns = recorded[0] if recorded else [role]
    known = all(name in file.table.columns for file in files for name in columns)
    return columns if known else []


def _by_order(
    files: tuple[_Scored, _Scored],
    score_column: str,
    image_columns: Sequence[str],
    text_columns: Sequence[str],
) -> list[str]:
    """The names of the items, whose rows are in one order in both files."""
    a, b = files
    if len(a.rows) != len(b.rows):
        raise TableError(
            f"{a.path} has {len(a.rows):,} rows and {b.path} {len(b.rows):,}; compare files of the "
            "same table, or match rows with `id_column`"
        )
    columns = [*image_columns, *text_columns]
    digests = [file.record.get("table_sha256") for file in files]
    one_table = digests[0] is not None and digests[0] == digests[1]
    if not (image_columns and text_columns) and not one_table:
        added = a.added(score_column) | b.added(score_column)
        columns = [name for name in a.table.columns if name in b.table.columns]
        columns = [name for name in columns if name not in added]
        distinct = {row_key(row, columns) for row in a.rows}
        if not columns or len(distinct) < len(a.rows):
            raise OptionError(
                f"nothing says which rows of {a.path} and {b.path} belong together; match them "
                "with `id_column`, or name both `image_column` and `text_column`"
            )
    for number, (first, second) in enumerate(zip(a.rows, b.rows, strict=True), start=1):
        for column in columns:
            if row_key(first, [column]) != row_key(second, [column]):
                raise TableError(
                    f"row {number} differs: column {column!r} is {first.get(column)!r:.60} in "
                    f"{a.path} and {second.get(column)!r:.60} in {b.path}; compare files of the "
                    "same table, or match rows with `id_column`"
                )
    images = [row.get(image_columns[0]) if image_columns else None for row in a.rows]
    return [item_name(number, image) for number, image in enumerate(images, start=1)]


def item_name(number: int, image: object) -> str:
    """What a row is called, with its image where that has a name."""
    return f"row {number}" + (f" ({image})" if isinstance(image, str | int) else "")


def _by_id(
    files: tuple[_Scored, _Scored],
    id_column: str,
    text_columns: Sequence[str],
    *,
    repeated: bool,
) -> tuple[list[str], list[tuple[dict[str, Any], dict[str, Any]]], list[Failure]]:
    """The ids, both rows of each, and what one file lacks."""
    by_id: list[dict[str, list[dict[str, Any]]]] = []
    for file in files:
        found: dict[str, list[dict[str, Any]]] = {}
        for number, row in enumerate(file.rows, start=1):
            key = row.get(id_column)
            if key is None or key == "":
                raise TableError(f"row {number} of {file.path} has no {id_column!r}; give it one")
            key = normal_form(str(key))
            found.setdefault(key, []).append(row)
            if len(found[key]) > 1 and not repeated:
                raise TableError(
                    f"{id_column!r} {key!r} repeats in row {number} of {file.path}; match by "
                    "a column without repeats, or let ids repeat as those of images do"
                )
        by_id.append(found)
    first, second = by_id
    keys = [key for key in first if key in second]
    if not keys:
        close = closest(next(iter(first)), second)
        raise TableError(
            f"{files[0].path} and {files[1].path} have no {id_column!r} in common"
            f"{close and f' ({close})'}; compare files of the same items"
        )
    missing = [
        Failure(item=key, error=f"is not in {files[1 - side].path}")
        for side in (0, 1)
        for key in by_id[side]
        if key not in by_id[1 - side]
    ]
    items: list[str] = []
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for key in keys:
        if len(first[key]) != len(second[key]):
            raise TableError(
                f"{id_column!r} {key!r} has {len(first[key])} rows in {files[0].path} and "
                f"{len(second[key])} in {files[1].path}; give each id equally many rows"
            )
        items += [key] * len(first[key])
        pairs += zip(first[key], _in_order_of(first[key], second[key], text_columns), strict=True)
    return items, pairs, missing


def _in_order_of(
    first: list[dict[str, Any]], second: list[dict[str, Any]], text_columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of one id, in the order of the other file's texts where the texts are the same."""

    def text(row: dict[str, Any]) -> str:
        return row_key(row, text_columns)

    if text_columns and sorted(map(text, first)) == sorted(map(text, second)):
        places = sorted(range(len(first)), key=lambda place: text(first[place]))
        placed = sorted(zip(places, sorted(second, key=text), strict=True), key=itemgetter(0))
        return [row for _, row in placed]
    return second


def _scores(
    table: Table, rows: Sequence[dict[str, Any]], column: str
) -> Float[np.ndarray, " item"]:
    scores = np.full(len(rows), np.nan)
    for place, row in enumerate(rows):
        value = row.get(column)
        if value is None or value == "":
            continue
        number = read_number(value, decimal_comma=table.decimal_comma)
        if number is None:
            raise TableError(
                f"column {column!r} of {table.path} holds {value!r:.60}, which is not a score; "
                "name the right one with `score_column`, or leave a missing score empty"
            )
        scores[place] = number
    return scores


def row_key(row: dict[str, Any], columns: Sequence[str]) -> str:
    """The values of some columns in one form, whichever format they were read from."""
    return "\t".join(normal_form(str(row.get(column))) for column in columns)


def _text(row: dict[str, Any], columns: Sequence[str]) -> str | None:
    value = row.get(columns[0]) if columns else None
    return value if isinstance(value, str) else None
