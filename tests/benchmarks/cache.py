"""What a cache of embeddings saves: `python -m tests.benchmarks.cache DATA` in the root folder.

One table of Flickr8k's training photos is scored without a cache, with an empty one, with what that
left, and with other texts. Times are those of `score_table`, with the checkpoint loaded before, by
the clock and of all threads of the process; the ratio is that of the latter, which other processes
do not change.

DATA is the folder with evaluation data: `flickr8k`, and `clip-vit-base-patch32` for a ViT-B/32 with
random weights.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path

from descscore import DescriptionScore
from descscore.tables.scoring import score_table
from tests.benchmarks.throughput import random_clip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with evaluation data")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--checkpoint", help="by default a ViT-B/32 with random weights")
    arguments = parser.parse_args()
    pairs = flickr8k_pairs(arguments.data / "flickr8k", arguments.photos)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = arguments.checkpoint or random_clip(
            arguments.data / "clip-vit-base-patch32", folder / "clip"
        )
        for name, place in {"first": 0, "other": 1}.items():
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                rows = [(photo, texts[place]) for photo, texts in pairs.items()]
                csv.writer(file).writerows([("image", "text"), *rows])
        seconds, processor = {}, {}
        for run, (table, cache) in {
            "without": ("first", None),
            "empty": ("first", folder / "cache"),
            "warm": ("first", folder / "cache"),
            "warm, other texts": ("other", folder / "cache"),
        }.items():
            metric = DescriptionScore(clip, on_error="record", cache=cache)
            out = folder / f"{run}.csv"
            start, used = time.perf_counter(), time.process_time()
            score_table(lambda metric=metric: metric, folder / f"{table}.csv", out)
            seconds[run] = time.perf_counter() - start
            processor[run] = time.process_time() - used
        same = (folder / "empty.csv").read_bytes() == (folder / "warm.csv").read_bytes()
    ratios = {run: processor["empty"] / processor[run] for run in ("warm", "warm, other texts")}
    found = {"seconds": seconds, "processor": processor, "ratio": ratios, "same scores": same}
    print(json.dumps(found, indent=2))


def flickr8k_pairs(folder: Path, count: int) -> dict[str, list[str]]:
    """Photos of the training split and the captions of each."""
    names = (folder / "Flickr_8k.trainImages.txt").read_text("utf-8").split()[:count]
    captions: dict[str, list[str]] = {}
    for line in (folder / "Flickr8k.token.txt").read_text("utf-8").splitlines():
        key, _, text = line.partition("\t")
        captions.setdefault(key.partition("#")[0], []).append(text)
    return {str(folder / "images" / name): captions[name] for name in names}


if __name__ == "__main__":
    main()
