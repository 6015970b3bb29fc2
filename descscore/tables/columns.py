"""What is added to each row of a table, under which names, and how rows with it are written."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.tables.table import Chunk

Cells = tuple[float | bool | str | None, ...]
"""What is added to one row: its score, readouts, whether it was truncated, and its error."""


class ScoredRow(NamedTuple):
    """What was found for one row.

    Attributes:
        score: None where the row could not be scored.
        truncated: whether the text was longer than the checkpoint's window.
        error: why the row could not be scored.
        readouts: what is added beside the score, by column; empty where the row failed.
    """

    score: float | None
    truncated: bool
    error: str | None
    readouts: Mapping[str, float] = {}

    def cells(self, readouts: Sequence[str]) -> Cells:
        """The values of the added columns."""
        beside = (self.readouts.get(name) for name in readouts)
        return (self.score, *beside, self.truncated, self.error)


class Writer:
    """Rows and what is added to them, as parts in one format and as the file that joins them.

    Attributes:
        added: names of the added columns.
        keeps_batches: writes the rows of a parquet table from Arrow's form of them.
    """

    added: tuple[str, ...]
    keeps_batches = False

    def header(self) -> bytes:
        """What comes before the first row."""
        return b""

    def encode(self, chunk: Chunk, results: Sequence[Cells]) -> bytes:
        """Some rows, in a format that is written piece by piece."""
        raise NotImplementedError

    def write(
        self, chunks: Iterable[tuple[Chunk, Sequence[Cells]]], out: Path, *, whole: bool = False
    ) -> None:
        """Write one part; with `whole`, a file by itself."""
        with out.open("wb") as file:
            if whole:
                file.write(self.header())
            for chunk, results in chunks:
                file.write(self.encode(chunk, results))

    def join(self, parts: Iterable[Path], out: Path) -> None:
        """Write the file that holds some parts."""
        with out.open("wb") as file:
            file.write(self.header())
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file, 2**20)
