"""The images and texts that a study measures preference on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.datasets.concadia import Example, read_concadia
from descscore.errors import TableError

if TYPE_CHECKING:
    from pathlib import Path

    from descscore_training.study.study import ConcadiaPart


def concadia_examples(part: ConcadiaPart, data: Path) -> list[Example]:
    """The images and texts of a split; images that lack a text are left out.

    Raises:
        TableError: the folder is not Concadia's, or has no such image.
    """
    every = read_concadia(data / part.path)
    examples = [
        example
        for example in every
        if part.split in {"", example.split} and example.lacking is None
    ]
    if not examples:
        known = ", ".join(sorted({example.split for example in every}))
        raise TableError(
            f"{data / part.path} has no image with both texts in the split {part.split!r}; its "
            f"splits are {known}: choose one, or '' for all"
        )
    return examples
