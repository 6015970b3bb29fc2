"""What a score depends on, in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from descscore.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BETWEEN_PARTS = re.compile(r"\|(?=[a-z_]+:)")  # a prefix may hold a bar


def to_signature(parts: Mapping[str, str | None]) -> str:
    """One line of names and values; what is None is left out."""
    return "|".join(f"{name}:{value}" for name, value in parts.items() if value is not None)


def signature_parts(signature: str) -> dict[str, str]:
    """The parts of a signature by name; a string that is not a signature becomes one part."""
    parts = [part.partition(":") for part in _BETWEEN_PARTS.split(signature)]
    if not all(colon for _, colon, _ in parts):
        return {"signature": signature}
    return {name: value for name, _, value in parts}


def check_same_signature(signatures: Sequence[str]) -> None:
    """Refuse to combine scores that depend on different things.

    Raises:
        OptionError: two signatures differ; the message names in what.
    """
    first = signature_parts(signatures[0])
    for signature in signatures[1:]:
        other = signature_parts(signature)
        for name in {**first, **other}:
            if first.get(name) != other.get(name):
                raise OptionError(
                    f"scores with {name} {first.get(name, 'none')!r} and {name} "
                    f"{other.get(name, 'none')!r} are not comparable; keep them in separate results"
                )
