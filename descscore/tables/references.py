"""Reference texts of a table's rows: from its columns, or from a file of COCO annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descscore.errors import TableError
from descscore.strict_json import parse
from descscore.tables.json_files import read_json


@dataclass(frozen=True, kw_only=True)
class References:
    """Where reference texts are.

    Attributes:
        columns: which hold them: a text, a list of texts, or a list in JSON.
        by_image: texts by the image's id, in place of columns.
        id_column: with `by_image`, the column with the image's id.
        settings: what this is, as plain values.
    """

    columns: tuple[str, ...]
    by_image: Mapping[str, tuple[str, ...]] | None = None
    id_column: str | None = None
    settings: object = None

    def of(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The references of a row.

        Raises:
            TableError: it has none.
        """
        if self.by_image is not None:
            name = values.get(self.id_column or "")
            found = self.by_image.get(str(name), ())
            where = f"{self.id_column} {name!r:.60} has no annotations"
        else:
            found = tuple(
                text for column in self.columns for text in _texts(values.get(column), column)
            )
            where = f"{' and '.join(map(repr, self.columns))} hold no reference"
        if not found:
            raise TableError(f"{where}; give at least one, or omit the row")
        return found


def references_in(names: Sequence[str], id_column: str) -> References:
    """References in the columns that are named, or in one file of COCO annotations.

    Args:
        names: columns, or the path of a .json file.
        id_column: with a file, the column with the image's id.

    Raises:
        TableError: the file is not there or has no annotations.
    """
    if len(names) == 1 and names[0].lower().endswith(".json"):
        path = Path(names[0])
        return References(
            columns=(id_column,),
            by_image=_annotations(path),
            id_column=id_column,
            settings=str(path.resolve()),
        )
    return References(columns=tuple(names), settings=list(names))


def _texts(value: object, column: str) -> list[str]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse(value)
        except ValueError as error:
            raise TableError(f"column {column!r} holds a list that is {error}") from None
    texts: list[str] = []
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and text:
            texts.append(text)
        elif text is not None and text != "":
            raise TableError(f"column {column!r} holds {text!r:.60} where a reference should be")
    return texts


def _annotations(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        content = read_json(path, "give COCO annotations")
    except FileNotFoundError:
        raise TableError(
            f"there is no file {path}; give COCO annotations, or name columns"
        ) from None
    listed = content.get("annotations") if isinstance(content, dict) else content
    found: dict[str, list[str]] = defaultdict(list)
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and isinstance(item.get("caption"), str):
            found[str(item.get("image_id"))].append(item["caption"])
    if not found:
        raise TableError(
            f'{path} has no annotations; COCO has {{"annotations": [{{"image_id": 42, '
            '"caption": "…"}]}'
        )
    return {name: tuple(texts) for name, texts in found.items()}
