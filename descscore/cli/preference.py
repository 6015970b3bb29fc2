"""`descscore evaluate preference`: descriptions over captions, and the right image's text."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.cli import options
from descscore.cli.console import print_json, warnings_as_notes
from descscore.cli.groups import DescribedTable, Evaluated, with_groups
from descscore.cli.parameters import argument
from descscore.cli.tables import (
    print_failures,
    print_line,
    print_table,
    print_truncated,
    published_text,
    share_cells,
)

if TYPE_CHECKING:
    from descscore.evaluate.preference import PreferenceReport


@with_groups
def preference(
    data: Path = argument(
        ...,
        "DATA",
        "Concadia's folder, or a table with an image, a description and a caption per "
        "row (.csv, .tsv, .jsonl, .parquet).",
    ),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    *,
    columns: DescribedTable,
    source: Evaluated,
) -> None:
    """Measure how often the description scores higher than the caption, and relevance.

    Relevance is how often an image's own text scores higher than another image's. A metric that
    reads only the text can have preference without relevance.
    """
    from descscore.evaluate.preference import evaluate_preference

    found = columns.read(data)
    with warnings_as_notes(shown=not quiet):
        metric = source.metric(quiet=quiet, scale="cosine", on_error="record")
        report = evaluate_preference(metric, found.examples, failed=found.failed)
    if not quiet:
        print_failures(report.failed, "image")
        print_truncated(report.truncated)
    if json:
        print_json({"source": found.source, **asdict(report)})
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
        "own caption over other images'": (report.relevance_of_captions, "needs two images"),
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
        print_line(f"relevance is measured on {n:,} of the images, chosen by a hash of their ids")
    if concadia:
        values = "; ".join(
            f"{RUNS[run]} {published_text(row['preference'])}" for run, row in TABLE_1.items()
        )
        print_line(
            "published preference in %, Concadia's test split (Zur et al. 2024, Table 1, "
            f"± 95% over 5 seeds): {values}"
        )
    print_line(report.signature)
