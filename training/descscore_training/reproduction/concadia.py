"""The images and texts that a study measures preference on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.data.concadia import Example, read_concadia
from descscore.errors import TableError

if TYPE_CHECKING:
    from pathlib import Path

    from descscore_training.reproduction.study import ConcadiaPart


def concadia_examples(part: ConcadiaPart, data: Path) -> list[Example]:
    """The images and texts of a split.

    Raises:
        TableError: the folder is not Concadia's, or has no such split.
    """
    every = read_concadia(data / part.path)
    examples = [example for example in every if part.split in {"", example.split}]
    if not examples:
        known = ", ".join(sorted({example.split for example in every}))
        raise TableError(f"{data / part.path} has no split {part.split!r}, only {known}")
    return examples
