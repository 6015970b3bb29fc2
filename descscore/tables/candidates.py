"""CLIPScore's candidates: a JSON object, `{image_id: caption}`, loaded whole like COCO results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.tables.table import Row, Table

if TYPE_CHECKING:
    from pathlib import Path


def clipscore_candidates(path: Path, captions: dict[str, object]) -> Table:
    """The parsed object as a table.

    Raises:
        TableError: a value isn't a caption, so the file is something else.
    """
    for image_id, caption in captions.items():
        if not isinstance(caption, str):
            raise TableError(
                f"{path} gives {image_id!r} a {type(caption).__name__}, not a caption; candidates "
                'are an object of strings, {"42": "…"}, COCO results a list, '
                '[{"image_id": 42, "caption": "…"}]'
            )

    def rows() -> Iterator[Row]:
        for image_id, caption in captions.items():
            yield Row({"image_id": image_id, "caption": caption})

    return Table(
        path=path,
        columns=("image_id", "caption"),
        n_rows=len(captions),
        image_column="image_id",
        text_column="caption",
        images_by_id=True,
        read=rows,
    )
