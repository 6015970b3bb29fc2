"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from descscore.cli.parameters import flag, option

Checkpoint = Annotated[
    str | None,
    option(
        "NAME",
        "A folder, a Hub id such as openai/clip-vit-base-patch32, or mini (the default).",
        panel="Checkpoint",
        envvar="DESCSCORE_CHECKPOINT",
    ),
]
Revision = Annotated[
    str | None, option("NAME", "Branch, tag or commit on the Hub.", panel="Checkpoint")
]
LocalFilesOnly = Annotated[
    bool, flag("Take a Hub id from the cache only.", "--local-files-only", panel="Checkpoint")
]
Token = Annotated[
    str | None,
    option(
        "TOKEN",
        "For private checkpoints; better in the environment, where no one reads it.",
        panel="Checkpoint",
        envvar="HF_TOKEN",
    ),
]
Cache = Annotated[
    Path | None,
    option(
        "DIR", "Keep embeddings here; what was encoded once is not encoded again.", panel="Speed"
    ),
]
CacheSize = Annotated[
    str,
    option(
        "SIZE", "What the cache may take on disk; the longest unused goes first.", panel="Speed"
    ),
]
Device = Annotated[str, option("NAME", "auto, cpu, cuda, cuda:1, mps.", panel="Speed")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16", "int8", "auto"],
    option("float32|bfloat16|float16|int8|auto", "What the towers compute in.", panel="Speed"),
]
BatchSize = Annotated[int, option("N", "Images encoded together.", panel="Speed", min=1)]
Json = Annotated[bool, flag("Print the result as JSON on stdout.", "--json", panel="Output")]
Quiet = Annotated[bool, flag("No progress or notes.", "-q", "--quiet", panel="Output")]
Images = Annotated[
    Path | None,
    option(
        "DIR",
        "The folder that a table's image paths are relative to; the table's by default.",
        panel="Input",
    ),
]

Data = Annotated[Path, option("DIR", "The folder that the recipe's paths start from.", "--data")]
Out = Annotated[Path, option("DIR", "Where all files go.", "-o", "--output")]
Set = Annotated[
    list[str] | None,
    option("KEY=VALUE", "Change a value of the recipe, as in seed=1; may be repeated.", "--set"),
]
TrainingDevice = Annotated[
    Literal["auto", "cpu"],
    option("auto|cpu", "auto takes what there is; cpu leaves GPUs alone.", "--device"),
]
ImageColumn = Annotated[
    str | None,
    option("NAME", "The column with images: image by default, image_id in .json.", panel="Input"),
]
TextColumn = Annotated[
    str | None,
    option("NAME", "The column with texts: text by default, caption in .json.", panel="Input"),
]
ImagePattern = Annotated[
    str | None,
    option(
        "PATTERN",
        "Image names made from columns: 'COCO_val2014_{image_id:012d}.jpg'.",
        panel="Input",
    ),
]
Overwrite = Annotated[bool, flag("Replace an output that exists.", "--overwrite", panel="Output")]
QuietSummary = Annotated[
    bool, flag("No progress, notes or summary.", "-q", "--quiet", panel="Output")
]
ClipscoreCompatible = Annotated[
    bool,
    flag(
        "Put 'A photo depicts ' before every text, as the published CLIPScores do.",
        "--clipscore-compatible",
        panel="Score",
    ),
]
PurposeReader = Annotated[
    str | None,
    option("NAME", "Read purpose with this checkpoint, such as mini.", "--purpose", panel="Score"),
]
PurposeWeight = Annotated[
    float | None, option("W", "Add W times the clipped purpose logit to each score.", panel="Score")
]
Resamples = Annotated[int, option("N", "Resamples of the bootstrap.", panel="Statistics", min=100)]
Seed = Annotated[int, option("N", "Of all that is random.", panel="Statistics", min=0)]
