"""`descscore calibrate`: what a purpose weight gains and costs on your own table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.cli import options
from descscore.cli.console import print_json, warnings_as_notes
from descscore.cli.groups import DescribedTable, Evaluated, with_groups
from descscore.cli.parameters import argument, option
from descscore.cli.tables import (
    estimate_text,
    print_failures,
    print_line,
    print_signature,
    print_table,
    print_truncated,
)
from descscore.errors import OptionError
from descscore.strings import counted

if TYPE_CHECKING:
    from descscore.evaluate.calibrate import Calibration

_WEIGHTS = "0,0.005,0.01,0.02,0.03,0.05,0.07,0.1,0.15,0.2,0.3,0.5"


@with_groups
def calibrate(
    table: Path = argument(
        ..., "TABLE", "Table of images with description and caption, or Concadia's folder."
    ),
    purpose: str | None = options.PURPOSE_READER,
    clipscore_compatible: bool = options.CLIPSCORE_COMPATIBLE,
    weights: str = option(_WEIGHTS, "W,W,...", "Purpose weights to try.", "Statistics"),
    tolerance: float = option(
        0.02, "X", "Largest acceptable loss of relevance.", "Statistics", min=0
    ),
    seed: int = options.SEED,
    figure: Path | None = option(
        None, "FILE", "Draw the curves into this file (.png, .svg, .pdf).", "Output"
    ),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    *,
    columns: DescribedTable,
    source: Evaluated,
) -> None:
    r"""Show what a purpose weight gains in preference and costs in relevance.

    Needs `pip install "descscore\[evaluate]"`, and the extra plots for --figure. Shows for each
    weight how often the description scores higher than the caption, and how often an image's own
    description or caption scores higher than another image's; then the largest weight that keeps
    relevance within --tolerance.
    """
    from descscore.evaluate.calibrate import calibrate_purpose, draw_calibration

    found = columns.read(table)
    with warnings_as_notes(shown=not quiet):
        metric = source.metric(
            quiet=quiet,
            clipscore_compatible=clipscore_compatible,
            purpose=purpose,
            on_error="record",
        )
        if "purpose" not in metric.readouts:
            raise OptionError("the checkpoint reads no purpose; name one that does: --purpose mini")
        result = calibrate_purpose(
            metric,
            found.examples,
            weights=_numbers(weights),
            tolerance=tolerance,
            failed=found.failed,
            seed=seed,
        )
    if not quiet:
        print_failures(result.failed, "image")
        print_truncated(result.truncated)
    if figure is not None:
        draw_calibration(result, figure)
    if json:
        print_json({"source": found.source, **asdict(result)})
    else:
        _print(result, found.source)


def _numbers(given: str) -> list[float]:
    try:
        return [float(number) for number in given.split(",")]
    except ValueError:
        raise OptionError(
            f"--weights is {given!r}; give numbers with commas between, as in 0.01,0.02,0.05"
        ) from None


def _print(result: Calibration, source: str) -> None:
    print_table(
        f"{source}, {counted(result.images, 'image')}",
        ["weight", "description over caption", "own description", "own caption"],
        [
            (
                f"{one.weight:g}",
                estimate_text(one.preference, digits=3),
                estimate_text(one.relevance_of_descriptions, digits=3),
                estimate_text(one.relevance_of_captions, digits=3),
            )
            for one in result.weights
        ],
    )
    print_line(f"purpose alone: {estimate_text(result.purpose_alone, digits=3)} over captions")
    print_line(
        f"largest weight whose relevance stays within {result.tolerance:g}: {result.largest:g}"
    )
    print_signature(result.signature)
