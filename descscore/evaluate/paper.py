"""All published numbers that results are compared with, as printed.

Tables 1 to 3 are those of Zur et al. (2024), "Updating CLIP to Prefer Descriptions Over Captions",
for CLIP ViT-B/32; intervals are of 95% over five seeds. The benchmarks' are CLIPScore's own (Hessel
et al. 2021).
"""

from __future__ import annotations

from functools import partial

from descscore.datasets.kreiss2022 import BLV, NO_IMAGE, WITH_IMAGE
from descscore.results import Estimate

NONE = "none"
"""The row of CLIP ViT-B/32 without tuning."""

RUNS = {
    NONE: "CLIP ViT-B/32",
    "behavioral-full": "behavioral, full",
    "behavioral-lora": "behavioral, LoRA",
    "iit-das-full": "iit-das, full",
    "iit-das-lora": "iit-das, LoRA",
}
"""The rows of Tables 1 and 2, and what they are called."""

TRANSFER = ("food101", "imagenet", "cifar100")
"""The paper's transfer tasks."""

QUESTIONS = ("overall", "imaginability", "relevance", "irrelevance")
NORMS = ("concreteness", "imageability")

Cell = float | tuple[float, float] | None
"""A printed value, with half of its interval where one is printed."""


def _estimates(columns: tuple[str, ...], *cells: Cell) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for column, cell in zip(columns, cells, strict=True):
        if isinstance(cell, tuple):
            value, half = cell
            low, high = round(value - half, 4), round(value + half, 4)
            found[column] = Estimate(value=value, low=low, high=high, n=5)
        elif cell is not None:
            found[column] = Estimate(value=cell, n=1)
    return found


_COLUMNS_1 = ("preference", *TRANSFER, "blv overall", "blv imaginability")
_table_1 = partial(_estimates, _COLUMNS_1)
TABLE_1 = {
    NONE: _table_1(49.4, 76.4, 53.6, 61.5, 0.08, 0.10),
    "behavioral-full": _table_1(
        (90.1, 0.73), (27.8, 24.96), (14.6, 13.47), (30.9, 24.97), (0.29, 0.17), (0.31, 0.19)
    ),
    "behavioral-lora": _table_1(
        (90.3, 0.72), (64.4, 8.32), (42.2, 6.98), (55.6, 2.53), (0.36, 0.10), (0.38, 0.12)
    ),
    "iit-das-full": _table_1(
        (88.9, 0.80), (35.1, 16.35), (19.5, 6.77), (42.8, 9.85), (0.24, 0.14), (0.32, 0.17)
    ),
    "iit-das-lora": _table_1(
        (86.6, 0.84), (73.6, 3.22), (45.1, 3.96), (53.7, 3.80), (0.19, 0.15), (0.27, 0.15)
    ),
}
"""By run: preference on Concadia's test split and macro-F1 in percent; Pearson correlations."""


_table_2 = partial(_estimates, QUESTIONS)
TABLE_2 = {
    BLV: {
        NONE: _table_2(0.08, 0.10, 0.09, 0.09),
        "behavioral-full": _table_2((0.24, 0.04), (0.26, 0.03), (0.21, 0.04), (0.05, 0.09)),
        "behavioral-lora": _table_2((0.29, 0.03), (0.29, 0.01), (0.23, 0.02), (-0.01, 0.03)),
        "iit-das-full": _table_2((0.29, 0.05), (0.34, 0.05), (0.30, 0.06), (0.07, 0.05)),
        "iit-das-lora": _table_2((0.20, 0.09), (0.28, 0.10), (0.24, 0.07), (0.01, 0.06)),
    },
    NO_IMAGE: {
        NONE: _table_2(-0.01, 0.06, 0.00, -0.17),
        "behavioral-full": _table_2((0.22, 0.04), (0.13, 0.09), (0.17, 0.03), (-0.03, 0.03)),
        "behavioral-lora": _table_2((0.20, 0.02), (0.20, 0.04), (0.18, 0.02), (-0.13, 0.05)),
        "iit-das-full": _table_2((0.18, 0.06), (0.21, 0.03), (0.12, 0.08), (-0.14, 0.06)),
        "iit-das-lora": _table_2((0.13, 0.05), (0.18, 0.04), (0.11, 0.05), (-0.09, 0.06)),
    },
    WITH_IMAGE: {
        NONE: _table_2(0.14, None, 0.11, -0.08),
        "behavioral-full": _table_2((0.26, 0.05), None, (0.22, 0.04), (0.03, 0.05)),
        "behavioral-lora": _table_2((0.25, 0.02), None, (0.19, 0.02), (-0.04, 0.04)),
        "iit-das-full": _table_2((0.25, 0.06), None, (0.17, 0.07), (-0.04, 0.07)),
        "iit-das-lora": _table_2((0.22, 0.06), None, (0.15, 0.05), (0.02, 0.06)),
    },
}
"""By group and run: Pearson correlations with the mean ratings of 68 descriptions, by question."""


_table_3 = partial(_estimates, NORMS)
TABLE_3 = {
    NONE: {"total": _table_3(0.20, 0.16), "through": _table_3(0.14, 0.07)},
    "behavioral-lora": {
        "total": _table_3((0.26, 0.08), (0.31, 0.08)),
        "through": _table_3((0.24, 0.08), (0.24, 0.08)),
        "around": _table_3((0.24, 0.02), (0.30, 0.03)),
    },
    "iit-das-lora": {
        "total": _table_3((0.26, 0.08), (0.23, 0.08)),
        "through": _table_3((0.23, 0.03), (0.23, 0.03)),
        "around": _table_3((0.10, 0.09), (0.03, 0.09)),
    },
}
"""By run and part of attributions: Pearson correlations with norms of words. LoRA models only."""

UNIQUE_TOKENS = 420
"""Distinct tokens of the texts of Table 3 with a rating."""


BENCHMARKS: dict[str, tuple[str, dict[tuple[str, str], tuple[float, float]]]] = {
    "flickr8k-expert": ("Table 1", {("tau_c", "all"): (51.2, 53.0)}),
    "flickr8k-cf": ("Table 2", {("tau_b", "all"): (34.4, 36.4)}),
    "composite": ("Table 3", {("tau_c", "all"): (53.8, 55.4)}),
    "pascal-50s": (
        "Table 4",
        {
            ("accuracy", "HC"): (56.5, 64.5),
            ("accuracy", "HI"): (99.3, 99.6),
            ("accuracy", "HM"): (96.4, 95.4),
            ("accuracy", "MM"): (70.4, 72.8),
            ("accuracy", "mean"): (80.7, 83.1),
        },
    ),
    "foil": ("Table 5", {("accuracy", "all"): (87.2, 92.6)}),
}
"""Benchmark -> the table of Hessel et al. (2021), and in percent, by measure and part, CLIPScore
and RefCLIPScore. Pascal-50S is the corrected table of March 2022, with the 48 judgements a pair."""


def published_benchmark(
    benchmark: str, measure: str, part: str, *, references: bool
) -> tuple[float | None, str | None]:
    """What is printed for CLIP ViT-B/32, as a fraction, and the table; None, None for nothing."""
    table, values = BENCHMARKS.get(benchmark, ("", {}))
    pair = values.get((measure, part))
    if pair is None:
        return None, None
    return round(pair[references] / 100, 4), f"Hessel et al. 2021, {table}"
