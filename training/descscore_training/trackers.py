"""Services that a run's metrics are sent to when asked, beside its own log."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from descscore.errors import MissingExtraError, RecipeError
from descscore_training.config import leaves

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACKERS = ("tensorboard", "wandb")


def check_trackers(trackers: Sequence[str]) -> None:
    """Refuse those that accelerate would pass over.

    Raises:
        RecipeError: there is no such name.
        MissingExtraError: it is not installed.
    """
    for tracker in trackers:
        if tracker not in TRACKERS:
            raise RecipeError(f"there is no tracker {tracker!r}; choose {' or '.join(TRACKERS)}")
        if find_spec(tracker) is None:
            raise MissingExtraError(
                f"the tracker {tracker!r} is not installed: pip install {tracker}"
            )


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Nested values by their dotted names, as trackers take them."""
    plain = bool | int | float | str | None
    return {
        name: value if isinstance(value, plain) else str(value) for name, value in leaves(values)
    }
