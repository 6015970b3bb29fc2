"""What a score depends on, in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from descscore.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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


def differences(first: str, second: str) -> Iterator[tuple[str, str, str]]:
    """The parts in which two signatures differ, and what each has; "none" for nothing."""
    one, other = signature_parts(first), signature_parts(second)
    for name in {**one, **other}:
        if one.get(name) != other.get(name):
            yield name, one.get(name, "none"), other.get(name, "none")


def check_same_signature(signatures: Sequence[str]) -> None:
    """Refuse to combine scores that depend on different things.

    Raises:
        OptionError: two signatures differ; the message names in what.
    """
    for signature in signatures[1:]:
        for name, one, other in differences(signatures[0], signature):
            raise OptionError(
                f"scores with {name} {one!r} and {name} {other!r} are not comparable; keep them in "
                "separate results"
            )
