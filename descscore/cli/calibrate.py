"""`descscore calibrate`: what a purpose weight buys and costs on a table of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from descscore.cli import options
from descscore.cli.console import print_json, say_note, warnings_as_notes
from descscore.cli.source import Source, with_source
from descscore.cli.tables import (
    as_json,
    counted,
    estimate_text,
    print_line,
    print_signature,
    print_table,
    say_failures,
)
from descscore.errors import OptionError

if TYPE_CHECKING:
    from descscore.evaluate.calibrate import Calibration

_WEIGHTS = "0,0.005,0.01,0.02,0.03,0.05,0.07,0.1,0.15,0.2,0.3,0.5"


@with_source
def calibrate(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="An image, a description and a caption per row, or Concadia's folder.",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Take one part: Concadia's split, or a table's column split.",
            rich_help_panel="Input",
        ),
    ] = None,
    images: options.Images = None,
    image_column: options.PairImages = "image",
    description_column: options.PairDescriptions = "description",
    caption_column: options.PairCaptions = "caption",
    purpose: options.PurposeReader = None,
    clipscore_compatible: options.ClipscoreCompatible = False,
    weights: Annotated[
        str,
        typer.Option(
            metavar="W,W,...", help="Purpose weights to try.", rich_help_panel="Statistics"
        ),
    ] = _WEIGHTS,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="X",
            help="By how much relevance may fall.",
            rich_help_panel="Statistics",
        ),
    ] = 0.02,
    seed: options.Seed = 0,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the curves to this file (.png, .svg, .pdf).",
            rich_help_panel="Output",
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    *,
    source: Source,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 64,
) -> None:
    r"""Show what a purpose weight buys in preference and costs in relevance.

    Needs `pip install "descscore\[evaluate]"`, and the extra plots for --figure. For each weight:
    how often the description scores higher than the caption, and how often an image's own
    description or caption scores higher than another image's; and the largest weight that keeps
    relevance within --tolerance.
    """
    import sys

    from descscore.datasets.described_images import read_described_images
    from descscore.evaluate.calibrate import calibrate_purpose, draw_calibration
    from descscore.metric import CLIPSCORE_PREFIX

    found = read_described_images(
        table,
        split=split,
        image_column=image_column,
        description_column=description_column,
        caption_column=caption_column,
        images=images,
    )
    with warnings_as_notes(shown=not quiet):
        metric = source.load(
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            prefix=CLIPSCORE_PREFIX if clipscore_compatible else "",
            purpose=purpose,
            on_error="record",
            progress=not quiet and sys.stderr.isatty(),
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
        say_failures(result.failed, "image")
        if result.truncated:
            say_note(f"{counted(result.truncated, 'text')} longer than the checkpoint reads")
    if figure is not None:
        draw_calibration(result, figure)
    if json:
        print_json({"source": found.source, **as_json(result)})
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
