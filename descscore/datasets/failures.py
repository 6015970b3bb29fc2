"""What could not be evaluated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An item that was left out.

    Attributes:
        item: which: an image's name, or a row of a table.
        error: why.
    """

    item: str
    error: str
