"""Speeds on a GPU, with random weights: `python -m tests.benchmarks.gpu score --size b32`.

- `score`: images and texts a second by descscore and by the loop that one writes with transformers
  (a processor that pads to 77 tokens, one batch after another), for each dtype.
- `train`: seconds of a step of each objective with a batch of 12 pairs and with the largest that
  fits, and what the paper's training would take: 10 epochs of 100,000 pairs.

Photos are made here, as JPEG files of 500 x 375 pixels. `gpu.sh` runs all of it.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from descscore import DescriptionScore
from descscore.checkpoints.store import SHIPPED
from descscore_training.finetune_recipe import FinetuneRecipe, Objective, Optimiser, Tuning
from descscore_training.finetuning import build_step, load_base
from descscore_training.pairs.rows import PairSource
from descscore_training.step import Batch

# Layers and width of the text tower; layers, width and patch of the image tower; embedding.
SIZES = {
    "b32": (12, 512, 12, 768, 32, 512),
    "l14": (12, 768, 24, 1024, 14, 768),
    "toy": (2, 32, 2, 32, 32, 32),
}
PAIRS, EPOCHS, BATCH = 100_000, 10, 12
WORDS = ("a", "the", "red", "dog", "beach", "cup", "woman", "space", "cat", "rocket", "two", "men")


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["score", "train"])
    parser.add_argument("--size", choices=["b32", "l14"], default="b32")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--small", action="store_true", help="a toy, to see that all of it runs")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.images, arguments.texts, arguments.steps = 8, 16, 2
    with tempfile.TemporaryDirectory() as folder:
        clip = save_clip(Path(folder) / "clip", "toy" if arguments.small else arguments.size)
        measure = score if arguments.what == "score" else train
        found = measure(clip, arguments, Path(folder))
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else arguments.device
    print(json.dumps({"device": device, "size": arguments.size} | found))


def score(clip: Path, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Rates of both ways in each dtype, and how far their embeddings are apart."""
    photos = save_photos(folder / "photos", arguments.images)
    texts = made_texts(arguments.texts)
    found: dict[str, Any] = {}
    for dtype in ("float32", "bfloat16", "float16"):
        if dtype == "float16" and arguments.device == "cpu":
            continue
        metric = DescriptionScore(
            clip, device=arguments.device, dtype=dtype, batch_size=arguments.batch_size
        )
        model, processor, tokenizer = plain(clip, dtype, arguments.device)
        ways = {
            "images": (metric.embed_images, lambda p, m=model, t=processor: plain_images(m, t, p)),
            "texts": (metric.embed_texts, lambda s, m=model, t=tokenizer: plain_texts(m, t, s)),
        }
        for kind, (ours, theirs) in ways.items():
            items: list[Any] = photos if kind == "images" else texts
            few, part = items[: 2 * arguments.batch_size], items[: max(8, len(items) // 4)]
            fast, embedded = rate(ours, items, few)
            # The loop's rate needs fewer items, which leaves time for the rest.
            slow, expected = rate(theirs, part, few[: len(part)])
            apart = float(np.abs(embedded.values[: len(part)] - expected).max())
            found[f"{kind} {dtype}"] = {
                "descscore per s": fast,
                "loop per s": slow,
                "ratio": fast / slow,
                "apart": apart,
            }
            # What is known if time runs out.
            print(f"{kind} {dtype}", found[f"{kind} {dtype}"], file=sys.stderr, flush=True)
    return found


def train(clip: Path, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Median seconds of a step by objective and batch, and hours for the paper's training."""
    del folder
    found: dict[str, Any] = {}
    for kind in ("behavioral", "iit-das", "iit", "joint"):
        batch, largest = BATCH, 0
        while batch <= (2 * BATCH if arguments.small else 12_288):
            with freed_memory():
                try:
                    seconds = step_seconds(clip, kind, batch, arguments)
                except torch.OutOfMemoryError:
                    break
            largest = batch
            hours = seconds * PAIRS * EPOCHS / batch / 3600
            found[f"{kind}, batch {batch}"] = {"seconds": seconds, "hours for the paper": hours}
            print(f"{kind}, batch {batch}: {seconds:.4f} s", file=sys.stderr, flush=True)
            if seconds > 1:
                break
            batch *= 8 if batch == BATCH else 4
        found[f"{kind}, largest tried that fits"] = largest
    return found


def step_seconds(clip: Path, kind: Any, batch: int, arguments: argparse.Namespace) -> float:
    """Median seconds of a step with LoRA on both towers, in bfloat16 autocast on a GPU."""
    layers = SIZES["toy" if arguments.small else arguments.size][0]
    recipe = FinetuneRecipe(
        base=str(clip),
        objective=Objective(kind=kind, layer=min(10, layers - 1), dimension=16),
        tuning=Tuning(kind="lora", towers="both", targets="attention", rank=16),
        optimiser=Optimiser(lr=1e-5),
        sources=(PairSource(name="pairs", path="pairs.csv", batch=batch),),
    )
    loaded = load_base(recipe, torch.device(arguments.device))
    step, _ = build_step(loaded, recipe)
    step.train().to(arguments.device)
    trained = [parameter for parameter in step.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=1e-5)
    captions, descriptions = (
        [list(text.ids) for text in loaded.texts(made_texts(batch, seed=seed))] for seed in (1, 2)
    )
    pairs = Batch(
        captions=captions,
        descriptions=descriptions,
        images=torch.randn(batch, 3, *loaded.images.crop, device=arguments.device),
        own_image=torch.ones(batch, dtype=torch.bool, device=arguments.device),
    )
    times = []
    for _ in range(2 + (arguments.steps if batch == BATCH else min(3, arguments.steps))):
        start = time.perf_counter()
        optimiser.zero_grad()
        with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.device != "cpu"):
            loss = step(pairs)["loss"]
        loss.backward()
        optimiser.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    return median(times[2:])


def rate(way: Callable[[Any], Any], items: list[Any], few: list[Any]) -> tuple[float, Any]:
    """Items a second after a warm-up, and the result."""
    way(few)
    start = time.perf_counter()
    result = way(items)
    return len(items) / (time.perf_counter() - start), result


def plain(clip: Path, dtype: str, device: str) -> tuple[Any, Any, Any]:
    """The model, image processor and tokenizer by transformers alone."""
    model: Any = CLIPModel.from_pretrained(clip, dtype=dtype)
    return (
        model.to(device).eval(),
        CLIPImageProcessorPil.from_pretrained(clip),
        CLIPTokenizer.from_pretrained(clip),
    )


@torch.inference_mode()
def plain_images(model: Any, processor: Any, photos: list[Path]) -> np.ndarray:
    """Unit embeddings of photos, batch after batch."""
    parts = []
    for start in range(0, len(photos), 64):
        images = [Image.open(photo).convert("RGB") for photo in photos[start : start + 64]]
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        features = model.get_image_features(pixels.to(model.device, model.dtype)).pooler_output
        parts.append(torch.nn.functional.normalize(features.float(), dim=1).cpu())
    return torch.cat(parts).numpy()


@torch.inference_mode()
def plain_texts(model: Any, tokenizer: Any, texts: list[str]) -> np.ndarray:
    """Unit embeddings of texts padded to 77 tokens, batch after batch."""
    parts = []
    for start in range(0, len(texts), 64):
        inputs = tokenizer(
            texts[start : start + 64],
            padding="max_length",
            max_length=77,
            truncation=True,
            return_tensors="pt",
        ).to(model.device)
        features = model.get_text_features(**inputs).pooler_output
        parts.append(torch.nn.functional.normalize(features.float(), dim=1).cpu())
    return torch.cat(parts).numpy()


@contextmanager
def freed_memory() -> Iterator[None]:
    yield
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def save_clip(folder: Path, size: str) -> Path:
    """A CLIP with random weights and the shipped checkpoint's tokenizer."""
    source = SHIPPED["mini/base"]
    folder.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / file, folder / file)
    tokenizer: Any = CLIPTokenizer.from_pretrained(folder)
    text_layers, text_width, layers, width, patch, embedding = SIZES[size]
    heads = 2 if size == "toy" else 64
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
    config = CLIPConfig(
        text_config=special
        | {
            "vocab_size": max(len(tokenizer), 0 if size == "toy" else 49_408),
            "pad_token_id": tokenizer.pad_token_id,
            "hidden_size": text_width,
            "intermediate_size": 4 * text_width,
            "num_hidden_layers": text_layers,
            "num_attention_heads": text_width // heads,
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // heads,
            "image_size": 224,
            "patch_size": patch,
        },
        projection_dim=embedding,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def save_photos(folder: Path, count: int) -> list[Path]:
    """Smooth random photos, no two alike."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def made_texts(count: int, *, seed: int = 0) -> list[str]:
    """Distinct texts of 4 to 40 words."""
    random = np.random.default_rng(seed)
    lengths = random.integers(4, 41, count)
    return [
        f"{' '.join(random.choice(WORDS, length))} {number}"
        for number, length in enumerate(lengths)
    ]


if __name__ == "__main__":
    main()
