"""The metric of an evaluation, from the options that all evaluations share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descscore.metric import DescriptionScore


def load_metric(
    checkpoint: str | None,
    *,
    revision: str | None,
    local_files_only: bool,
    token: str | None,
    device: str,
    batch_size: int,
    quiet: bool,
) -> DescriptionScore:
    """On the scale "cosine", which clamps nothing; items that cannot be scored are recorded."""
    from descscore.metric import DescriptionScore

    return DescriptionScore(
        checkpoint or None,
        revision=revision,
        local_files_only=local_files_only,
        token=token or None,
        device=device,
        batch_size=batch_size,
        scale="cosine",
        on_error="record",
        progress=not quiet and sys.stderr.isatty(),
    )
