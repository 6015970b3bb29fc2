"""What Hessel et al. (2021), "CLIPScore", printed for CLIP ViT-B/32, without and with references.

Percent in the paper, fractions here. Pascal-50S is the corrected table of March 2022, with the 48
judgements a pair.
"""

from __future__ import annotations

PUBLISHED: dict[str, tuple[str, dict[tuple[str, str], tuple[float, float]]]] = {
    "flickr8k-expert": ("Table 1", {("tau_c", "all"): (0.512, 0.530)}),
    "flickr8k-cf": ("Table 2", {("tau_b", "all"): (0.344, 0.364)}),
    "composite": ("Table 3", {("tau_c", "all"): (0.538, 0.554)}),
    "pascal-50s": (
        "Table 4",
        {
            ("accuracy", "HC"): (0.565, 0.645),
            ("accuracy", "HI"): (0.993, 0.996),
            ("accuracy", "HM"): (0.964, 0.954),
            ("accuracy", "MM"): (0.704, 0.728),
            ("accuracy", "mean"): (0.807, 0.831),
        },
    ),
    "foil": ("Table 5", {("accuracy", "all"): (0.872, 0.926)}),
}
"""Benchmark -> the table, and for each measure and part the CLIPScore and the RefCLIPScore."""


def published(
    benchmark: str, name: str, part: str, *, references: bool
) -> tuple[float | None, str | None]:
    """The printed value and the table it stands in; None, None where there is none."""
    table, values = PUBLISHED[benchmark]
    pair = values.get((name, part))
    return (None, None) if pair is None else (pair[references], f"Hessel et al. 2021, {table}")
