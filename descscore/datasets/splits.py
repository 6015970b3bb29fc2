"""Splits that depend on names alone, not on their order or on chance."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows_by_hash(keys: Sequence[str], count: int) -> list[int]:
    """The rows whose key has one of the `count` smallest SHA-256 digests, in order.

    Rows with the same key stay together, so there may be more than `count`; all if there are fewer.
    """
    digests = [hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest() for key in keys]
    chosen = set(sorted(set(digests))[:count])
    return [row for row, digest in enumerate(digests) if digest in chosen]
