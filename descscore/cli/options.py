"""Options that several commands share."""

from __future__ import annotations

from typing import Any

from descscore.cli.parameters import flag, option

CHECKPOINT = option(
    None,
    "NAME",
    "A folder, a Hub id such as openai/clip-vit-base-patch32, or mini (the default).",
    "Checkpoint",
    envvar="DESCSCORE_CHECKPOINT",
)
REVISION = option(None, "NAME", "Branch, tag or commit on the Hub.", "Checkpoint")
LOCAL_FILES_ONLY = flag(
    "--local-files-only", "Read Hub ids from the local cache only.", "Checkpoint"
)
TOKEN = option(
    None,
    "TOKEN",
    "Access token for private checkpoints; safer in the environment.",
    "Checkpoint",
    envvar="HF_TOKEN",
)
CACHE = option(None, "DIR", "Cache embeddings here, so that nothing is encoded twice.", "Speed")
CACHE_SIZE = option(
    "10GB", "SIZE", "Size limit of the cache; the least recently used goes first.", "Speed"
)
DEVICE = option("auto", "NAME", "auto, cpu, cuda, cuda:1, mps.", "Speed")
DTYPE = option(
    "float32", "float32|bfloat16|float16|int8|auto", "Precision of the encoders.", "Speed"
)
BATCH_SIZE = option(64, "N", "Images encoded per batch.", "Speed", min=1, max=10**6)
JSON = flag("--json", "Print the result as JSON on stdout.", "Output")
QUIET = flag("-q --quiet", "Print no progress or notes.", "Output")
IMAGES = option(
    None, "DIR", "Folder that image paths are relative to; the table's by default.", "Input"
)
SET = option(None, "--set KEY=VALUE", "Change a value of the recipe, as in seed=1; repeatable.")
TRAINING_DEVICE = option(
    "auto", "--device auto|cpu", "Use a GPU if there is one (auto), or none (cpu)."
)
OVERWRITE = flag("--overwrite", "Replace an existing output.", "Output")
QUIET_SUMMARY = flag("-q --quiet", "Print no progress, notes or summary.", "Output")
CLIPSCORE_COMPATIBLE = flag(
    "--clipscore-compatible",
    "Put 'A photo depicts ' before every text, as the published CLIPScores do.",
    "Score",
)
PURPOSE_READER = option(
    None, "--purpose NAME", "Read purpose with this checkpoint, for example mini.", "Score"
)
PURPOSE_WEIGHT = option(None, "W", "Add W times the clipped purpose logit to each score.", "Score")
SEED = option(0, "N", "Random seed.", "Statistics", min=0)
DATA = option(..., "--data DIR", "Folder that the recipe's paths are relative to.")
OUT = option(..., "-o --output DIR", "Output folder.")


def resamples(default: int) -> Any:
    """How many samples a bootstrap interval takes."""
    return option(default, "N", "Bootstrap resamples.", "Statistics", min=100)
