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
    bool, flag("Read Hub ids from the local cache only.", "--local-files-only", panel="Checkpoint")
]
Token = Annotated[
    str | None,
    option(
        "TOKEN",
        "Access token for private checkpoints; safer in the environment.",
        panel="Checkpoint",
        envvar="HF_TOKEN",
    ),
]
Cache = Annotated[
    Path | None,
    option("DIR", "Cache embeddings here, so that nothing is encoded twice.", panel="Speed"),
]
CacheSize = Annotated[
    str,
    option("SIZE", "Size limit of the cache; the least recently used goes first.", panel="Speed"),
]
Device = Annotated[str, option("NAME", "auto, cpu, cuda, cuda:1, mps.", panel="Speed")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16", "int8", "auto"],
    option("float32|bfloat16|float16|int8|auto", "Precision of the encoders.", panel="Speed"),
]
BatchSize = Annotated[
    int, option("N", "Images encoded per batch.", panel="Speed", min=1, max=10**6)
]
Json = Annotated[bool, flag("Print the result as JSON on stdout.", "--json", panel="Output")]
Quiet = Annotated[bool, flag("Print no progress or notes.", "-q", "--quiet", panel="Output")]
Images = Annotated[
    Path | None,
    option(
        "DIR", "Folder that image paths are relative to; the table's by default.", panel="Input"
    ),
]

Data = Annotated[Path, option("DIR", "Folder that the recipe's paths are relative to.", "--data")]
Out = Annotated[Path, option("DIR", "Output folder.", "-o", "--output")]
Set = Annotated[
    list[str] | None,
    option("KEY=VALUE", "Change a value of the recipe, as in seed=1; repeatable.", "--set"),
]
TrainingDevice = Annotated[
    Literal["auto", "cpu"],
    option("auto|cpu", "Use a GPU if there is one (auto), or none (cpu).", "--device"),
]
ImageColumn = Annotated[
    str | None,
    option("NAME", "Column of images: image by default, image_id in .json.", panel="Input"),
]
TextColumn = Annotated[
    str | None, option("NAME", "Column of texts: text by default, caption in .json.", panel="Input")
]
ImagePattern = Annotated[
    str | None,
    option(
        "PATTERN",
        "File names made from columns, as in 'COCO_val2014_{image_id:012d}.jpg'.",
        panel="Input",
    ),
]
Overwrite = Annotated[bool, flag("Replace an existing output.", "--overwrite", panel="Output")]
QuietSummary = Annotated[
    bool, flag("Print no progress, notes or summary.", "-q", "--quiet", panel="Output")
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
    option(
        "NAME", "Read purpose with this checkpoint, for example mini.", "--purpose", panel="Score"
    ),
]
PurposeWeight = Annotated[
    float | None, option("W", "Add W times the clipped purpose logit to each score.", panel="Score")
]
Resamples = Annotated[int, option("N", "Bootstrap resamples.", panel="Statistics", min=100)]
Seed = Annotated[int, option("N", "Random seed.", panel="Statistics", min=0)]
