"""What the paper printed: Zur et al. 2024, "Updating CLIP to Prefer Descriptions Over Captions"."""

from __future__ import annotations

from dataclasses import dataclass

NONE = "none"
"""The row of the model without tuning."""

TRANSFER = ("food101", "imagenet", "cifar100")
"""The paper's transfer tasks."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A number of the paper.

    Attributes:
        mean: as printed; shares and F1 in percent.
        half_width: of the 95% interval over five seeds; None where none is printed.
    """

    mean: float
    half_width: float | None = None


def _row(*cells: tuple[float, float] | float) -> dict[str, Printed]:
    columns = ("preference", *TRANSFER, "blv overall", "blv imaginability")
    return {
        column: Printed(mean=cell[0], half_width=cell[1])
        if isinstance(cell, tuple)
        else Printed(mean=cell)
        for column, cell in zip(columns, cells, strict=True)
    }


TABLE_1: dict[str, dict[str, Printed]] = {
    NONE: _row(49.4, 76.4, 53.6, 61.5, 0.08, 0.10),
    "behavioral-full": _row(
        (90.1, 0.73), (27.8, 24.96), (14.6, 13.47), (30.9, 24.97), (0.29, 0.17), (0.31, 0.19)
    ),
    "behavioral-lora": _row(
        (90.3, 0.72), (64.4, 8.32), (42.2, 6.98), (55.6, 2.53), (0.36, 0.10), (0.38, 0.12)
    ),
    "iit-das-full": _row(
        (88.9, 0.80), (35.1, 16.35), (19.5, 6.77), (42.8, 9.85), (0.24, 0.14), (0.32, 0.17)
    ),
    "iit-das-lora": _row(
        (86.6, 0.84), (73.6, 3.22), (45.1, 3.96), (53.7, 3.80), (0.19, 0.15), (0.27, 0.15)
    ),
}
"""Table 1: preference and macro-F1 in percent, Pearson correlations; a row a run."""


def meet(low: float, high: float, printed: Printed, *, digit: float) -> bool:
    """Whether a 95% interval and a printed one have a number in common.

    Args:
        low: the interval's lower end, on the scale of what is printed.
        high: its upper end.
        printed: the paper's number; without an interval it is a point.
        digit: what the last printed digit stands for, such as 0.1: a point may be half of it off.
    """
    reach = (printed.half_width or 0.0) + digit / 2 + 1e-9
    return low - reach <= printed.mean <= high + reach
