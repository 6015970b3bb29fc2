"""Two files of scored rows -> the two scores of each item."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from descscore.datasets.failures import Failure
from descscore.datasets.ratings import number_of, numbered_rows
from descscore.errors import OptionError, TableError
from descscore.signature import differences, signature_parts
from descscore.strings import closest, normal_form
from descscore.tables.formats import open_table
from descscore.tables.locate import pattern_columns
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

    @property
    def signature(self) -> str:
        """What its scores depend on; empty if no record says so."""
        return str(self.record.get("signature") or "")

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
    """Match the rows of two scored files by what identifies them, in any order.

    That is `id_column` if it is given. Otherwise it is image and text: the columns named here, else
    those in the files' run records; where they are not known, all columns that scoring did not add.
    Two files that were made from one table match row by row.

    Args:
        a: the first file (csv, tsv, jsonl, parquet).
        b: the second.
        id_column: match rows by this column instead.
        score_column: the column of scores.
        image_column: the column of images.
        text_column: the column of texts.
        repeated: whether ids may repeat, like those of images, if equally often in both files.

    Raises:
        TableError: a file cannot be read, a column is missing, no row is in both files, an id
            repeats, or a score is not a number.
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
    if id_column:
        columns = [id_column]
    else:
        columns = _key_columns(files, [image_columns, text_columns], score_column)
    pairs = _match(files, columns, text_columns, unique=id_column is not None and not repeated)
    of_a, of_b = ([pair[side] for pair in pairs] for side in (0, 1))

    def name(file: _Scored, row: int) -> str:
        if id_column:
            return str(file.rows[row][id_column])
        image = file.rows[row].get(image_columns[0]) if image_columns else None
        return f"row {row + 1}" + (f" ({image})" if isinstance(image, str | int) else "")

    first, second = files
    of_image = image_columns or ([id_column] if id_column else [])
    return ScoredPairs(
        items=[name(first, row) for row in of_a],
        texts=[_text(first.rows[row], text_columns) for row in of_a],
        clusters=[_key(first.rows[row], of_image) for row in of_a] if of_image else None,
        a=_scores(first, of_a, score_column),
        b=_scores(second, of_b, score_column),
        missing=[
            Failure(item=name(file, row), error=f"is not in {other.path}")
            for file, other, matched in ((first, second, of_a), (second, first, of_b))
            for row in sorted({*range(len(file.rows))}.difference(matched))
        ],
        notes=_unchecked(files),
    )


def _unchecked(files: tuple[_Scored, _Scored]) -> list[str]:
    """Notes on what may make scores that were not refused unlike."""
    notes = [
        f"{file.path} has no record of its run beside it, so its scale, prefix and other settings "
        "are not checked"
        for file in files
        if not file.signature
    ]
    models = []
    for parts in (signature_parts(file.signature) for file in files):
        base = parts.get("base", "itself")  # a tuned CLIP is its base's
        models.append(parts.get("checkpoint") if base == "itself" else base)
    if None not in models and models[0] != models[1]:
        notes.append(
            f"A and B are scores of different models ({models[0]}, {models[1]}), whose cosines "
            "need not be on one scale: trust which items rise or fall more than the mean difference"
        )
    folders = [file.record.get("images") for file in files]
    if all(folders) and folders[0] != folders[1]:
        notes.append(f"the images of A are in {folders[0]}, those of B in {folders[1]}")
    return notes


def _refuse_unlike(a: _Scored, b: _Scored) -> None:
    """Refuse scores that mean different things.

    Raises:
        OptionError: they do.
    """
    if not (a.signature and b.signature):
        return
    # Logits are multiplied by the checkpoint's own logit scale.
    of_checkpoint = signature_parts(a.signature).get("scale") == "logit"
    for name, first, second in differences(a.signature, b.signature):
        if name not in _MAY_DIFFER or (name == "checkpoint" and of_checkpoint):
            raise OptionError(
                f"{a.path} and {b.path} are not comparable: {name} is {first} in the first and "
                f"{second} in the second; score both with the same settings"
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


def _key_columns(
    files: tuple[_Scored, _Scored], known: Sequence[list[str]], score_column: str
) -> list[str]:
    """The columns whose values identify a row of both files; empty for the rows' numbers.

    Args:
        files: both.
        known: the columns of images, and those of texts; empty if they are not known.
        score_column: the column of scores.
    """
    found = [name for columns in known for name in columns]
    if all(known):
        return found
    a, b = files
    digest = a.record.get("table_sha256")
    if digest is not None and digest == b.record.get("table_sha256"):
        if [_key(row, found) for row in a.rows] != [_key(row, found) for row in b.rows]:
            raise TableError(
                f"{a.path} and {b.path} were made from one table, but rows have moved or are gone "
                "since; match rows with `id_column`"
            )
        return []
    added = a.added(score_column) | b.added(score_column)
    columns = [name for name in a.table.columns if name in b.table.columns and name not in added]
    if not columns or len({_key(row, columns) for row in a.rows}) < len(a.rows):
        raise OptionError(
            f"nothing says which rows of {a.path} and {b.path} belong together; match them with "
            "`id_column`, or name both `image_column` and `text_column`"
        )
    return columns


def _match(
    files: tuple[_Scored, _Scored],
    columns: Sequence[str],
    text_columns: Sequence[str],
    *,
    unique: bool,
) -> list[tuple[int, int]]:
    """The rows of both files with equal values, in the order of the first file.

    Rows of one file with equal values are taken in the order of their texts.
    """
    a, b = files
    first, second = (_by_key(file, columns, text_columns) for file in files)
    pairs: list[tuple[int, int]] = []
    for key, of_a in first.items():
        of_b = second.get(key, [])
        if of_b and (len(of_a) != len(of_b) or (unique and len(of_a) > 1)):
            raise TableError(
                f"{', '.join(map(repr, columns))} {key!r} repeats: it has {len(of_a)} rows in "
                f"{a.path} and {len(of_b)} in {b.path}; match by a column without repeats, or let "
                "ids repeat equally often in both files, as those of images do"
            )
        pairs += zip(of_a, of_b, strict=False)
    if not pairs:
        close = closest(next(iter(first), ""), second)
        raise TableError(
            f"{a.path} and {b.path} have no row in common"
            f"{close and f' ({close})'}; compare files of the same items, or match rows with "
            "`id_column`"
        )
    return pairs


def _by_key(
    file: _Scored, columns: Sequence[str], text_columns: Sequence[str]
) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row, values in enumerate(file.rows):
        key = _key(values, columns)
        if not key.strip():
            if len(columns) == 1:
                raise TableError(
                    f"row {row + 1} of {file.path} has nothing in {columns[0]!r}; fill it in"
                )
            # With neither image nor text, it failed: nothing else may be taken for it.
            key = f"row {row + 1}"
        found[key].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: _key(file.rows[row], text_columns))
    return found


def _scores(file: _Scored, rows: Sequence[int], column: str) -> Float[np.ndarray, " item"]:
    """Scores of some rows, NaN where there is none."""
    found = (
        number_of(file.table, f"row {row + 1}", column, file.rows[row].get(column)) for row in rows
    )
    return np.array([math.nan if score is None else score for score in found])


def _key(row: Mapping[str, object], columns: Sequence[str]) -> str:
    """The values of some columns in one form, whichever format they were read from."""
    values = ("" if row.get(name) is None else str(row.get(name)) for name in columns)
    return normal_form("\t".join(values))


def _text(row: dict[str, Any], columns: Sequence[str]) -> str | None:
    value = row.get(columns[0]) if columns else None
    return value if isinstance(value, str) else None
