"""`descscore evaluate benchmark`: captioning benchmarks from their authors' files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.cli import options
from descscore.cli.console import print_json, print_line, print_note, warnings_as_notes
from descscore.cli.groups import Evaluated, with_groups
from descscore.cli.parameters import argument, flag, option
from descscore.cli.tables import estimate_text, print_signature, print_table
from descscore.evaluate.benchmarks import BENCHMARKS, Benchmark

if TYPE_CHECKING:
    from descscore.evaluate.benchmarks.run import BenchmarkResult

_NAMES = f"{', '.join(BENCHMARKS)}."


@with_groups
def benchmark(
    name: Benchmark = argument(..., "NAME", _NAMES),
    data: Path = option(
        ..., "DIR", "Folder with the files that the authors distribute.", show_default=False
    ),
    images: Path | None = option(None, "DIR", "Folder of the images; --data by default."),
    references: bool = flag("--references", "Also measure RefCLIPScore.", "Score"),
    limit: int | None = option(
        None, "N", "Use only N images, chosen by a hash of their names.", "Input", min=1
    ),
    resamples: int = options.resamples(1000),
    seed: int = options.SEED,
    json: bool = options.JSON,
    *,
    source: Evaluated,
    clipscore_compatible: bool = options.CLIPSCORE_COMPATIBLE,
) -> None:
    r"""Run a captioning benchmark: how scores rank captions, and the published CLIPScore.

    Needs `pip install "descscore\[evaluate]"`. Flickr8k-Expert, Flickr8k-CF and Composite:
    Kendall's tau-c and tau-b with human ratings. Pascal-50S, FOIL and SugarCrepe: how often the
    correct one of two captions scores higher. Winoground: how often two images and two captions
    are matched. Intervals are 95% bootstraps over images. The published values are for CLIP
    ViT-B/32 with a prefix; compare with --checkpoint openai/clip-vit-base-patch32
    --clipscore-compatible.
    """
    from descscore.evaluate.benchmarks.run import read_benchmark, run_benchmark

    read = read_benchmark(name, data, images=images, references=references, limit=limit)
    with warnings_as_notes(shown=True):
        metric = source.metric(clipscore_compatible=clipscore_compatible)
        result = run_benchmark(metric, read, resamples=resamples, seed=seed)
    for note in result.notes:
        print_note(note)
    for reason in dict.fromkeys(
        m.estimate.undefined for m in result.measures if m.estimate.undefined
    ):
        print_note(reason)
    if json:
        print_json(asdict(result))
    else:
        _print_table(result)


def _print_table(result: BenchmarkResult) -> None:
    print_table(
        f"{result.benchmark}, {result.images:,} images",
        ["", "score", "n", "in percent", "published"],
        [
            (
                measure.name.replace("_", "-")
                + ("" if measure.part == "all" else f" {measure.part}"),
                "with references" if measure.references else "alone",
                f"{measure.estimate.n:,}",
                estimate_text(measure.estimate, digits=1, factor=100),
                "" if measure.published is None else f"{100 * measure.published:.1f}",
            )
            for measure in result.measures
        ],
        left=2,
    )
    where = next((m.published_in for m in result.measures if m.published_in), None)
    if where is not None:
        print_line(f"published: {where} (CLIP ViT-B/32)")
    print_signature(result.signature)
