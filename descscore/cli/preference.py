"""`descscore evaluate preference`: descriptions over captions, and the right image's text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from descscore.cli import options
from descscore.cli.console import print_json, say_note, warnings_as_notes
from descscore.cli.metrics import cosine_metric
from descscore.cli.source import Source, with_source
from descscore.cli.tables import (
    as_json,
    counted,
    print_line,
    print_table,
    published_text,
    say_failures,
    share_cells,
)

if TYPE_CHECKING:
    from descscore.evaluate.preference import PreferenceReport


@with_source
def preference(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Concadia's folder, or a table with an image, a description and a caption per row "
            "(.csv, .tsv, .jsonl, .parquet).",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Concadia's split, or what a table's column split says; all by default.",
            rich_help_panel="Input",
        ),
    ] = None,
    images: options.Images = None,
    image_column: options.PairImages = "image",
    description_column: options.PairDescriptions = "description",
    caption_column: options.PairCaptions = "caption",
    json: options.Json = False,
    quiet: options.Quiet = False,
    *,
    source: Source,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 64,
) -> None:
    """Measure how often the description scores higher than the caption, and relevance.

    Relevance beside it: how often an image's own text scores higher than another image's. A metric
    that only reads the text can have the one without the other.
    """
    from descscore.datasets.described_images import read_described_images
    from descscore.evaluate.preference import evaluate_preference

    found = read_described_images(
        data,
        split=split,
        image_column=image_column,
        description_column=description_column,
        caption_column=caption_column,
        images=images,
    )
    with warnings_as_notes(shown=not quiet):
        metric = cosine_metric(
            source, device=device, dtype=dtype, batch_size=batch_size, quiet=quiet
        )
        report = evaluate_preference(metric, found.examples, failed=found.failed)
    if not quiet:
        say_failures(report.failed, "image")
        if report.truncated:
            say_note(f"{counted(report.truncated, 'text')} longer than the checkpoint reads")
    if json:
        print_json({"source": found.source, **as_json(report)})
    else:
        _print(report, found.source, concadia=data.is_dir())


def _print(report: PreferenceReport, source: str, *, concadia: bool) -> None:
    from descscore.evaluate.paper import RUNS, TABLE_1

    rows = {
        "description over caption": (report.preference, ""),
        "  description the shorter text": (report.description_shorter, "no such image"),
        "  caption the shorter text": (report.caption_shorter, "no such image"),
        "own description over other images'": (
            report.relevance_of_descriptions,
            "needs two images",
        ),
        "own caption over other images'": (
            report.relevance_of_captions,
            "needs two images",
        ),
    }
    print_table(
        source,
        ["scores higher", "share", "95%", "images", "ties"],
        [(name, *share_cells(*cells)) for name, cells in rows.items()],
    )
    if report.equal_length:
        print_line(f"texts of equal length (in characters): {report.equal_length:,}")
    if report.relevance_sampled and report.relevance_of_descriptions is not None:
        n = report.relevance_of_descriptions.n
        print_line(f"relevance is measured on {n:,} of the images, picked by the hash of their id")
    if concadia:
        values = "; ".join(
            f"{RUNS[run]} {published_text(row['preference'])}" for run, row in TABLE_1.items()
        )
        print_line(
            "published preference in %, Concadia's test split (Zur et al. 2024, Table 1, "
            f"± 95% over 5 seeds): {values}"
        )
    print_line(report.signature)
