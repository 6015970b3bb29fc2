"""What is said once of the shipped checkpoint."""

from __future__ import annotations

import warnings

_SAID = (
    "the checkpoint 'mini' is a small demonstration, and its scores of real photos mean little; "
    "for real use name a full-size CLIP: "
)
_FULL_SIZE = "openai/clip-vit-base-patch32"

_warned_of_mini = False


class DemonstrationWarning(UserWarning):
    """The shipped checkpoint is small, and made to demonstrate."""

    on_command_line = f"{_SAID}--checkpoint {_FULL_SIZE}"


def warn_of_mini() -> None:
    """Warn whoever makes a metric from it, the first time in a process."""
    global _warned_of_mini
    if not _warned_of_mini:
        _warned_of_mini = True
        warnings.warn(
            f"{_SAID}DescriptionScore({_FULL_SIZE!r})", DemonstrationWarning, stacklevel=3
        )
