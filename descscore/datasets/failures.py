"""What could not be evaluated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A skipped item.

    Attributes:
        item: the name of an image, or the row of a table.
        error: the reason.
    """

    item: str
    error: str
