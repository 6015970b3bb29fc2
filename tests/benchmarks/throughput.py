"""Speed against the straightforward loop: `python tests/benchmarks/throughput.py DATA`.

Both score the same photos with the same texts, several texts a photo, with the same random weights
of a full-size ViT-B/32. The loop is what one writes with transformers alone: for each batch of
pairs a `CLIPProcessor` that pads to 77 tokens, then `CLIPModel`; an image is read and encoded anew
for each of its texts. Each runs once with a few pairs before it is timed. Speeds count the photos,
texts and pairs of the input, whatever was encoded. On a CPU times are those of all threads of the
process, which other processes hardly change; else by the clock.

DATA is the folder with evaluation data: `clip-vit-base-patch32`, `imagenet-sample` (or other
photos) and `concadia-test-texts.csv.gz`.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from descscore import DescriptionScore

SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast one way scored the input; each rate is over the whole time."""

    way: str
    dtype: str
    seconds: float
    images_per_s: float
    texts_per_s: float
    pairs_per_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with evaluation data")
    parser.add_argument("--photos", type=Path, help="by default imagenet-sample in DATA")
    parser.add_argument("--images", type=int, default=1000, help="photos to score")
    parser.add_argument("--texts", type=int, default=5, help="texts for each photo")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--loop-batch-size", type=int, default=64, help="pairs in a batch")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of PyTorch; by default its own choice")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.device == "cpu" else time.perf_counter
    speeds, differences = [], {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = random_clip(arguments.data / "clip-vit-base-patch32", Path(folder) / "clip")
        source = arguments.photos or arguments.data / "imagenet-sample"
        photos = distinct_photos(source, arguments.images, Path(folder) / "photos")
        texts = texts_of(
            arguments.data / "concadia-test-texts.csv.gz", len(photos), arguments.texts
        )
        for dtype in arguments.dtypes:
            ways = {
                "descscore": package(checkpoint, dtype, arguments.device, arguments.batch_size),
                "loop": loop(
                    checkpoint,
                    "float32" if dtype == "int8" else dtype,  # which transformers does not load
                    arguments.device,
                    arguments.loop_batch_size,
                ),
            }
            scores = {}
            for way, score in ways.items():
                score(photos[-2:], texts[-2:])
                start = clock()
                scores[way] = score(photos, texts)
                speeds.append(speed(way, dtype, texts, clock() - start))
            differences[dtype] = float(np.abs(scores["descscore"] - scores["loop"]).max())
    report(speeds, differences, arguments)


Score = Callable[[list[Path], list[list[str]]], np.ndarray]


def package(checkpoint: Path, dtype: str, device: str, batch_size: int) -> Score:
    """Cosines by descscore."""
    metric = DescriptionScore(
        checkpoint, scale="cosine", dtype=dtype, device=device, batch_size=batch_size
    )
    return lambda photos, texts: metric(photos, texts).scores


def loop(checkpoint: Path, dtype: str, device: str, batch_size: int) -> Score:
    """Cosines by transformers alone, pair for pair."""
    model = CLIPModel.from_pretrained(checkpoint, dtype=dtype).to(device).eval()
    processor = CLIPProcessor(
        CLIPImageProcessorPil.from_pretrained(checkpoint), CLIPTokenizer.from_pretrained(checkpoint)
    )

    @torch.inference_mode()
    def score(photos: list[Path], texts: list[list[str]]) -> np.ndarray:
        pairs = [(photo, text) for photo, own in zip(photos, texts, strict=True) for text in own]
        cosines = []
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            inputs = processor(
                text=[text for _, text in batch],
                images=[Image.open(photo).convert("RGB") for photo, _ in batch],
                return_tensors="pt",
                padding="max_length",
                max_length=77,
                truncation=True,
            ).to(device, model.dtype)
            output = model(**inputs)
            cosines.append((output.image_embeds * output.text_embeds).float().sum(1).cpu())
        return torch.cat(cosines).numpy()

    return score


def random_clip(config: Path, folder: Path) -> Path:
    """A ViT-B/32 with random weights."""
    shutil.copytree(config, folder, copy_function=shutil.copyfile)
    torch.manual_seed(0)
    CLIPModel(CLIPConfig.from_pretrained(config)).save_pretrained(folder)
    return folder


def distinct_photos(source: Path, count: int, folder: Path) -> list[Path]:
    """Photos under names of their own; if there are too few, copies that differ in one pixel."""
    found = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    folder.mkdir()
    photos = []
    for number, path in zip(range(count), itertools.cycle(found), strict=False):
        photos.append(folder / f"{number}{path.suffix}")
        if number < len(found):
            shutil.copyfile(path, photos[-1])
            continue
        with Image.open(path) as image:
            copy = image.convert("RGB")
        copy.paste(
            tuple(np.random.default_rng(number).integers(256, size=3).tolist()), (0, 0, 8, 8)
        )
        copy.save(photos[-1], "JPEG", quality=90)
    return photos


def texts_of(table: Path, images: int, each: int) -> list[list[str]]:
    """Texts in the order of the table, distinct as long as it lasts."""
    with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    distinct = dict.fromkeys(row[kind] for row in rows for kind in ("description", "caption"))
    texts = itertools.cycle(text for text in distinct if text.strip())
    return [list(itertools.islice(texts, each)) for _ in range(images)]


def speed(way: str, dtype: str, texts: list[list[str]], seconds: float) -> Speed:
    pairs = sum(map(len, texts))
    return Speed(
        way=way,
        dtype=dtype,
        seconds=seconds,
        images_per_s=len(texts) / seconds,
        texts_per_s=len({text for own in texts for text in own}) / seconds,
        pairs_per_s=pairs / seconds,
    )


def report(
    speeds: list[Speed], differences: dict[str, float], arguments: argparse.Namespace
) -> None:
    seconds = {(one.dtype, one.way): one.seconds for one in speeds}
    ratios = {dtype: seconds[dtype, "loop"] / seconds[dtype, "descscore"] for dtype in differences}
    if arguments.json:
        settings = {
            "images": arguments.images,
            "texts": arguments.texts,
            "batch_size": arguments.batch_size,
            "loop_batch_size": arguments.loop_batch_size,
            "device": arguments.device,
            "threads": torch.get_num_threads(),
        }
        runs = [asdict(one) for one in speeds]
        found = {"runs": runs, "ratio": ratios, "largest_difference": differences}
        print(json.dumps(settings | found))
        return
    print(f"{arguments.images} photos, {arguments.texts} texts each, on {arguments.device}")
    print(f"{'dtype':10} {'way':10} {'seconds':>9} {'images/s':>9} {'texts/s':>9} {'pairs/s':>9}")
    for one in speeds:
        print(
            f"{one.dtype:10} {one.way:10} {one.seconds:9.1f} {one.images_per_s:9.1f} "
            f"{one.texts_per_s:9.1f} {one.pairs_per_s:9.1f}"
        )
    for dtype, ratio in ratios.items():
        print(
            f"{dtype}: descscore is {ratio:.1f} times as fast; the cosines differ by "
            f"{differences[dtype]:.1e} at most"
        )


if __name__ == "__main__":
    main()
