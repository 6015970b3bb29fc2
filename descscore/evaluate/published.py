"""Numbers of the paper, to be shown beside what is measured here."""

from __future__ import annotations

from dataclasses import dataclass

TABLE_1_SOURCE = "Zur et al. 2024, Table 1 (± 95% over 5 seeds)"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A printed value, in [0, 1].

    Attributes:
        value: as printed.
        half_width: of its 95% interval over seeds; None for a model that was not tuned.
    """

    value: float
    half_width: float | None = None


def _row(*values: float, halves: tuple[float, ...] | None = None) -> dict[str, Published]:
    columns = ("preference", "food101", "imagenet", "cifar100")
    shares = [round(value / 100, 4) for value in values]
    widths = [None] * 4 if halves is None else [round(half / 100, 4) for half in halves]
    return {
        column: Published(value=share, half_width=half)
        for column, share, half in zip(columns, shares, widths, strict=True)
    }


TABLE_1 = {
    "CLIP ViT-B/32": _row(49.4, 76.4, 53.6, 61.5),
    "behavioral, full": _row(90.1, 27.8, 14.6, 30.9, halves=(0.73, 24.96, 13.47, 24.97)),
    "behavioral, LoRA": _row(90.3, 64.4, 42.2, 55.6, halves=(0.72, 8.32, 6.98, 2.53)),
    "iit-das, full": _row(88.9, 35.1, 19.5, 42.8, halves=(0.80, 16.35, 6.77, 9.85)),
    "iit-das, LoRA": _row(86.6, 73.6, 45.1, 53.7, halves=(0.84, 3.22, 3.96, 3.80)),
}
"""By model: preference on Concadia's test split, and macro-F1 by data set (Table 1)."""
