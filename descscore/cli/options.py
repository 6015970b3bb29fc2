"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_PANEL = "Checkpoint"

CheckpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A folder, a Hub id such as openai/clip-vit-base-patch32, or mini (the default).",
        envvar="DESCSCORE_CHECKPOINT",
        rich_help_panel=_PANEL,
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Branch, tag or commit on the Hub.", rich_help_panel=_PANEL),
]
LocalFilesOnlyOption = Annotated[
    bool,
    typer.Option(
        "--local-files-only",
        metavar="",
        help="Take a Hub id from the cache only.",
        rich_help_panel=_PANEL,
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        help="For private checkpoints; better in the environment, where no one reads it.",
        envvar="HF_TOKEN",
        rich_help_panel=_PANEL,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel="Speed"),
]
BatchSizeOption = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Images encoded together.", rich_help_panel="Speed"),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print the result as JSON.", rich_help_panel="Output"),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "-q", "--quiet", metavar="", help="No progress or notes.", rich_help_panel="Output"
    ),
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The folder that a table's image paths are relative to; the table's by default.",
        rich_help_panel="Input",
    ),
]

DataOption = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="The folder that the recipe's paths start from."),
]
OutOption = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Where all files go.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value of the recipe, as in seed=1; may be repeated.",
    ),
]
TrainingDeviceOption = Annotated[
    Literal["auto", "cpu"],
    typer.Option(
        "--device", metavar="auto|cpu", help="auto takes what there is; cpu leaves GPUs alone."
    ),
]
ImageColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column with images: image by default, image_id in .json.",
        rich_help_panel="Input",
    ),
]
TextColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column with texts: text by default, caption in .json.",
        rich_help_panel="Input",
    ),
]
ImagePatternOption = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="Image names made from columns: 'COCO_val2014_{image_id:012d}.jpg'.",
        rich_help_panel="Input",
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        metavar="",
        help="Replace an output that exists.",
        rich_help_panel="Output",
    ),
]
QuietSummaryOption = Annotated[
    bool,
    typer.Option(
        "-q",
        "--quiet",
        metavar="",
        help="No progress, notes or summary.",
        rich_help_panel="Output",
    ),
]
