"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_PANEL = "Checkpoint"

Checkpoint = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A folder, a Hub id such as openai/clip-vit-base-patch32, or mini (the default).",
        envvar="DESCSCORE_CHECKPOINT",
        rich_help_panel=_PANEL,
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Branch, tag or commit on the Hub.", rich_help_panel=_PANEL),
]
LocalFilesOnly = Annotated[
    bool,
    typer.Option(
        "--local-files-only",
        metavar="",
        help="Take a Hub id from the cache only.",
        rich_help_panel=_PANEL,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        help="For private checkpoints; better in the environment, where no one reads it.",
        envvar="HF_TOKEN",
        rich_help_panel=_PANEL,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keep embeddings here; what was encoded once is not encoded again.",
        rich_help_panel="Speed",
    ),
]
CacheSize = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="What the cache may take on disk; the longest unused goes first.",
        rich_help_panel="Speed",
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel="Speed"),
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16", "int8", "auto"],
    typer.Option(
        metavar="float32|bfloat16|float16|int8|auto",
        help="What the towers compute in.",
        rich_help_panel="Speed",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Images encoded together.", rich_help_panel="Speed"),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Print the result as JSON on stdout.", rich_help_panel="Output"
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "-q", "--quiet", metavar="", help="No progress or notes.", rich_help_panel="Output"
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The folder that a table's image paths are relative to; the table's by default.",
        rich_help_panel="Input",
    ),
]

Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="The folder that the recipe's paths start from."),
]
Out = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where all files go.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value of the recipe, as in seed=1; may be repeated.",
    ),
]
TrainingDevice = Annotated[
    Literal["auto", "cpu"],
    typer.Option(
        "--device", metavar="auto|cpu", help="auto takes what there is; cpu leaves GPUs alone."
    ),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column with images: image by default, image_id in .json.",
        rich_help_panel="Input",
    ),
]
PairImages = Annotated[
    str, typer.Option(metavar="NAME", help="A table's images.", rich_help_panel="Input")
]
PairDescriptions = Annotated[
    str, typer.Option(metavar="NAME", help="A table's descriptions.", rich_help_panel="Input")
]
PairCaptions = Annotated[
    str, typer.Option(metavar="NAME", help="A table's captions.", rich_help_panel="Input")
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column with texts: text by default, caption in .json.",
        rich_help_panel="Input",
    ),
]
ImagePattern = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="Image names made from columns: 'COCO_val2014_{image_id:012d}.jpg'.",
        rich_help_panel="Input",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        metavar="",
        help="Replace an output that exists.",
        rich_help_panel="Output",
    ),
]
QuietSummary = Annotated[
    bool,
    typer.Option(
        "-q",
        "--quiet",
        metavar="",
        help="No progress, notes or summary.",
        rich_help_panel="Output",
    ),
]
ClipscoreCompatible = Annotated[
    bool,
    typer.Option(
        "--clipscore-compatible",
        metavar="",
        help="Put 'A photo depicts ' before every text, as the published CLIPScores do.",
        rich_help_panel="Score",
    ),
]
PurposeReader = Annotated[
    str | None,
    typer.Option(
        "--purpose",
        metavar="NAME",
        help="Read purpose with this checkpoint, such as mini.",
        rich_help_panel="Score",
    ),
]
PurposeWeight = Annotated[
    float | None,
    typer.Option(
        metavar="W",
        help="Add W times the clipped purpose logit to each score.",
        rich_help_panel="Score",
    ),
]
Resamples = Annotated[
    int,
    typer.Option(
        min=100, metavar="N", help="Resamples of the bootstrap.", rich_help_panel="Statistics"
    ),
]
Seed = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Of all that is random.", rich_help_panel="Statistics"),
]
