"""Captioning benchmarks, each read from the files that its authors distribute."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Benchmark: TypeAlias = Literal[
    "flickr8k-expert",
    "flickr8k-cf",
    "composite",
    "pascal-50s",
    "foil",
    "sugarcrepe",
    "winoground",
]
BENCHMARKS: tuple[Benchmark, ...] = get_args(Benchmark)
