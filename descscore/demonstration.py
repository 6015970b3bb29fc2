"""What is said once of the shipped checkpoint."""

from __future__ import annotations

import warnings

_warned_of_mini = False


class DemonstrationWarning(UserWarning):
    """The shipped checkpoint is small, and made to demonstrate."""


def warn_of_mini() -> None:
    """Warn whoever makes a metric from it, the first time in a process."""
    global _warned_of_mini
    if not _warned_of_mini:
        _warned_of_mini = True
        warnings.warn(
            "the checkpoint 'mini' is a small demonstration, and its scores of real photos mean "
            "little; for real use name a full-size CLIP: "
            "DescriptionScore('openai/clip-vit-base-patch32')",
            DemonstrationWarning,
            stacklevel=3,
        )
