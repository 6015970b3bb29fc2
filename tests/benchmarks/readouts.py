"""What readouts cost: `python -m tests.benchmarks.readouts DATA` in the repository's root.

The same photos and texts are scored by one random ViT-B/32 with a subspace after block 10: without
readouts, with the one that comes by default, and with all; and by the same ViT-B/32 without a
subspace. The ways take turns, so that what else the machine does falls on all alike; medians are
compared. Several texts a photo, since only texts have readouts.

DATA is the folder with evaluation data: `clip-vit-base-patch32`, `imagenet-sample` (or other
photos) and `concadia-test-texts.csv.gz`.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from descscore import DescriptionScore
from descscore.purpose.probe import READOUTS
from tests.benchmarks.throughput import distinct_photos, random_clip, texts_of
from tests.checkpoints_made import lora_checkpoint


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with evaluation data")
    parser.add_argument("--photos", type=Path, help="by default imagenet-sample in DATA")
    parser.add_argument("--images", type=int, default=8, help="photos to score")
    parser.add_argument("--texts", type=int, default=10, help="texts for each photo")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of PyTorch; by default its own choice")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        base = random_clip(arguments.data / "clip-vit-base-patch32", Path(folder) / "base")
        checkpoint = lora_checkpoint(
            Path(folder) / "checkpoint", base, update=0.01, layer=10, subspace=256
        )
        options = {
            "dtype": arguments.dtype,
            "device": arguments.device,
            "batch_size": arguments.batch_size,
        }
        ways = {
            "no subspace": DescriptionScore(base, **options),
            "no readouts": DescriptionScore(checkpoint, readouts=(), **options),
            "purpose": DescriptionScore(checkpoint, readouts=("purpose",), **options),
            "all": DescriptionScore(checkpoint, readouts=READOUTS, **options),
        }
        source = arguments.photos or arguments.data / "imagenet-sample"
        photos = distinct_photos(source, arguments.images, Path(folder) / "photos")
        texts = texts_of(
            arguments.data / "concadia-test-texts.csv.gz", len(photos), arguments.texts
        )
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for metric in ways.values():
            metric(photos[:1], texts[:1])
        for repeat in range(arguments.repeats):
            # Another way is first each time.
            order = np.roll(list(ways), repeat).tolist()
            for way in order:
                start = time.perf_counter()
                ways[way](photos, texts)
                seconds[way].append(time.perf_counter() - start)
    report(seconds, arguments)


def report(seconds: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    medians = {way: median(times) for way, times in seconds.items()}
    ratios = {way: one / medians["no readouts"] for way, one in medians.items()}
    if arguments.json:
        settings = {
            name: getattr(arguments, name)
            for name in ("images", "texts", "repeats", "batch_size", "dtype", "device")
        }
        settings["threads"] = torch.get_num_threads()
        print(json.dumps(settings | {"seconds": seconds, "median": medians, "ratio": ratios}))
        return
    print(
        f"{arguments.images} photos, {arguments.texts} texts each, on {arguments.device} in "
        f"{arguments.dtype}; {arguments.repeats} repeats"
    )
    print(f"{'readouts':12} {'median s':>9} {'fastest s':>9} {'ratio':>7}")
    for way, times in seconds.items():
        print(f"{way:12} {medians[way]:9.2f} {min(times):9.2f} {ratios[way]:7.3f}")


if __name__ == "__main__":
    main()
