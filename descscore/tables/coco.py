"""COCO results: a JSON list, `[{"image_id": 42, "caption": "…"}, …]`.

Loaded whole, about 0.5 kB of memory a row; the largest set of COCO images that captions are
evaluated on has 40,775 (test2014). A longer list is streamed if it is written as jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from descscore.tables.table import Row, Table, scan

if TYPE_CHECKING:
    from pathlib import Path


def coco_results(path: Path, items: list[object]) -> Table:
    """The parsed list as a table; an item that is no object becomes a row with a problem.

    Raises:
        TableError: no item is an object.
    """

    def rows() -> Iterator[Row]:
        for number, item in enumerate(items, start=1):
            if isinstance(item, dict):
                yield Row(item)
            else:
                yield Row({}, f"item {number} is not an object with image_id and caption")

    columns, n_rows = scan(rows(), path)
    return Table(
        path=path,
        columns=columns,
        n_rows=n_rows,
        image_column="image_id",
        text_column="caption",
        images_by_id=True,
        read=rows,
    )
