"""Checks of options that several callers share."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from descscore.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a value that is not allowed.

    Raises:
        OptionError: the value is not allowed; the message suggests the closest, or lists all.
    """
    if value not in allowed:
        near = get_close_matches(str(value), allowed, n=1)
        advice = (
            f"did you mean {near[0]!r}?"
            if near
            else f"choose one of {', '.join(map(repr, allowed))}"
        )
        raise OptionError(f"{name} is {value!r}; {advice}")


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Refuse anything but a whole number of at least `least`.

    Raises:
        OptionError: the value is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"{name} is {value!r}; give a whole number of at least {least}")
