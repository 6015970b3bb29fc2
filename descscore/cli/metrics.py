"""The metrics that evaluations measure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descscore.cli.source import Source
    from descscore.metric import DescriptionScore


def clipscore_metric(
    source: Source,
    *,
    device: str,
    dtype: str,
    batch_size: int,
    clipscore_compatible: bool,
    purpose: str | None = None,
) -> DescriptionScore:
    """On the scale "clipscore"; at the first item that cannot be scored it raises."""
    from descscore.metric import CLIPSCORE_PREFIX

    return source.load(
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        prefix=CLIPSCORE_PREFIX if clipscore_compatible else "",
        purpose=purpose,
        progress=sys.stderr.isatty(),
    )


def cosine_metric(
    source: Source, *, device: str, dtype: str, batch_size: int, quiet: bool
) -> DescriptionScore:
    """On the scale "cosine", which clamps nothing; items that cannot be scored are recorded."""
    return source.load(
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        scale="cosine",
        on_error="record",
        progress=not quiet and sys.stderr.isatty(),
    )
