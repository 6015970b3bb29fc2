"""Numbers in the fields of tables."""

from __future__ import annotations

import math
import re

_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_number(value: object, *, decimal_comma: bool = False) -> float | None:
    """A finite number from a field of a table; None if it is not one."""
    if isinstance(value, str):
        text = value.strip()
        if decimal_comma:
            text = text.replace(",", ".", 1)
        return float(text) if _POINT.fullmatch(text) and math.isfinite(float(text)) else None
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
