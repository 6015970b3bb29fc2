"""Figures of matplotlib, which is an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.extras import imports_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def blank_figure(width: float, height: float = 3.6) -> Figure:
    """A figure without axes, in inches."""
    with imports_of("plots"):
        from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
