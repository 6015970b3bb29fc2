"""What differs between the values of an earlier run and those of this one, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

_NAMED = 3


def changes(before: object, after: object) -> str:
    """The values that differ, by their names: "seed was 0 and is now 1"; the first few of many.

    Args:
        before: values by name, as JSON has them; nested ones are named as in "duration.epochs".
        after: the same, as they are now.
    """
    found = list(_changes(before, after, ""))
    more = len(found) - _NAMED
    return ", ".join(found[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _changes(before: object, after: object, name: str) -> Iterator[str]:
    first, second = _parts(before), _parts(after)
    if first is not None and second is not None:
        for key in {**first, **second}:
            part = f"{name}.{key}" if name else str(key)
            yield from _changes(first.get(key), second.get(key), part)
    elif before != after:
        yield f"{name} was {_said(before)} and is now {_said(after)}"


def _parts(value: object) -> Mapping[object, object] | None:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return dict(enumerate(value))
    return value if isinstance(value, Mapping) else None


def _said(value: object) -> str:
    if value is None:
        return "not set"
    said = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= 100 else f"{said[:97]}..."
