"""Speed of a fine-tuning step: `python -m tests.benchmarks.training DATA` in the repository's root.

A step is forward, backward and Adam, on a ViT-B/32 with random weights and LoRA of rank 128 on the
attention of both towers, with texts of Concadia's lengths and images as pixels. Three ways take
turns on the same batches, and medians are compared:

- `iit-das`: descscore's step.
- `behavioral`: descscore's step without interchanges.
- `plain`: iit-das as one writes it with PEFT, transformers and pyvene: each of the four terms runs
  its own image and its own texts, padded to 77 tokens, an interchange its source too.

Before it is timed each way takes one step; iit-das and plain must then have the same loss.

DATA is the folder with evaluation data: `clip-vit-base-patch32` and `concadia-test-texts.csv.gz`.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import csv
import gzip
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyvene
import torch
import torch.nn.functional as F
from torch import Tensor

from descscore.checkpoints.attach import Clip, load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.purpose.subspace import LearnedBasis
from descscore_training.finetune_recipe import FinetuneRecipe, Objective, Optimiser, Tuning
from descscore_training.finetuning import add_lora, add_updates_to_weights, build_step
from descscore_training.pairs.rows import PairSource
from descscore_training.step import Batch
from tests.benchmarks.throughput import random_clip

LAYER, RANK, WINDOW = 10, 256, 77
PAIRS, EPOCHS = 100_000, 10

Loss = Callable[[Batch], Tensor]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to take a step.

    Attributes:
        loss: of a batch, before backward.
        optimiser: of what is trained.
    """

    loss: Loss
    optimiser: torch.optim.Optimizer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with evaluation data")
    parser.add_argument("--batch", type=int, default=12, help="pairs of a step")
    parser.add_argument("--steps", type=int, default=5, help="of each way")
    parser.add_argument("--ways", nargs="+", default=["iit-das", "behavioral", "plain"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], default="float32", help="bfloat16 is autocast"
    )
    parser.add_argument(
        "--together", type=int, help="texts in a rectangle; by default the trainer's"
    )
    parser.add_argument("--threads", type=int, help="of PyTorch; by default its own choice")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        base = random_clip(arguments.data / "clip-vit-base-patch32", Path(folder) / "base")
        ways = {name: make(name, base, arguments) for name in arguments.ways}
        clip = load(base, "cpu")
    batches = batches_of(clip, arguments)
    losses, seconds = {}, {name: [] for name in ways}
    for name, way in ways.items():
        losses[name] = take_step(way, batches[0], arguments)
    for batch in batches[1:]:
        for name, way in ways.items():
            start = time.perf_counter()
            take_step(way, batch, arguments)
            seconds[name].append(time.perf_counter() - start)
    report(seconds, losses, arguments)


def take_step(way: Way, batch: Batch, arguments: argparse.Namespace) -> float:
    """One optimiser step; the loss, which also waits for the device."""
    mixed = arguments.dtype == "bfloat16"
    way.optimiser.zero_grad()
    with torch.autocast(arguments.device, torch.bfloat16, enabled=mixed):
        loss = way.loss(batch)
    loss.backward()
    way.optimiser.step()
    if arguments.device == "cuda":
        torch.cuda.synchronize()
    return loss.item()


def load(base: Path, device: str) -> Clip:
    return load_clip(resolve_checkpoint(base), dtype=torch.float32, device=torch.device(device))


def make(name: str, base: Path, arguments: argparse.Namespace) -> Way:
    """A way by its name, each with a model of its own, all with the same weights."""
    clip = load(base, arguments.device)
    if name == "plain":
        return plain(clip)
    step, adapted = build_step(clip, recipe(name))
    if adapted is not None:
        add_updates_to_weights(adapted)
    step.texts_together = arguments.together or step.texts_together
    step.train()
    return Way(loss=lambda batch: step(batch)["loss"], optimiser=adam(step))


def recipe(kind: Any) -> FinetuneRecipe:
    return FinetuneRecipe(
        base="openai/clip-vit-base-patch32",
        objective=Objective(kind=kind, layer=LAYER, dimension=RANK),
        tuning=Tuning(kind="lora", towers="both", targets="attention", rank=128),
        optimiser=Optimiser(lr=1e-5),
        sources=(PairSource(name="concadia", path="concadia", batch=12),),
    )


def adam(module: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=1e-5)


def plain(clip: Clip) -> Way:
    """iit-das with pyvene: a run of image and texts for each term."""
    model: Any = clip.model
    device = model.device
    if device.type == "cpu":
        # As descscore does, so that the attention's implementation makes no difference.
        model.set_attn_implementation("eager")
    add_lora(model, recipe("iit-das").tuning, seed=0)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    width = model.config.text_config.hidden_size
    swap = pyvene.LowRankRotatedSpaceIntervention(embed_dim=width, low_rank_dimension=RANK)
    swap.rotate_layer.weight = LearnedBasis(width, RANK)().detach()
    component = f"encoder.layers[{LAYER - 1}].output"
    tower: Any = pyvene.IntervenableModel(
        {"component": component, "unit": "pos", "intervention": swap}, model.text_model
    )
    tower.set_device(device)
    # pyvene freezes what it wraps.
    for parameter in trained:
        parameter.requires_grad_(True)
    model.train()
    scale = model.logit_scale.exp()

    def padded(tokens: Any) -> tuple[Tensor, list[list[list[int]]]]:
        ids = torch.zeros(len(tokens), WINDOW, dtype=torch.int64)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = torch.tensor(text)
        return ids.to(device), [[[len(text) - 1] for text in tokens]]

    def logit(pixels: Tensor, texts: Tensor) -> Tensor:
        images = model.get_image_features(pixel_values=pixels).pooler_output
        return scale * F.cosine_similarity(images.float(), texts.float())

    def alone(batch: Batch, tokens: Any) -> Tensor:
        texts = model.get_text_features(input_ids=padded(tokens)[0]).pooler_output
        return logit(batch.images, texts)

    def interchanged(batch: Batch, base: Any, source: Any) -> Tensor:
        (base_ids, base_ends), (source_ids, source_ends) = padded(base), padded(source)
        _, output = tower(
            {"input_ids": base_ids},
            [{"input_ids": source_ids}],
            unit_locations={"sources->base": (source_ends, base_ends)},
        )
        return logit(batch.images, model.text_projection(output.pooler_output))

    def loss(batch: Batch) -> Tensor:
        caption = alone(batch, batch.captions)
        raised = interchanged(batch, batch.captions, batch.descriptions)
        description = alone(batch, batch.descriptions)
        lowered = interchanged(batch, batch.descriptions, batch.captions)
        first = torch.zeros(len(caption), dtype=torch.int64, device=device)
        return (
            F.cross_entropy(torch.stack([raised, caption], 1), first)
            + F.cross_entropy(torch.stack([description, lowered], 1), first)
        ) / 2

    parameters = [*trained, *(p for p in swap.parameters() if p.requires_grad)]
    return Way(loss=loss, optimiser=torch.optim.Adam(parameters, lr=1e-5))


def batches_of(clip: Clip, arguments: argparse.Namespace) -> list[Batch]:
    """Batches of Concadia's pairs in random order, with random pixels."""
    table = arguments.data / "concadia-test-texts.csv.gz"
    with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(rows), generator=generator).tolist()
    batches = []
    for step in range(arguments.steps + 1):
        first = step * arguments.batch
        own = [rows[row] for row in order[first : first + arguments.batch]]
        pixels = torch.randn(len(own), 3, *clip.images.crop, generator=generator)
        batches.append(
            Batch(
                captions=[list(text.ids) for text in clip.texts([row["caption"] for row in own])],
                descriptions=[
                    list(text.ids) for text in clip.texts([row["description"] for row in own])
                ],
                images=pixels.to(arguments.device),
                own_image=torch.ones(len(own), dtype=torch.bool, device=arguments.device),
            )
        )
    return batches


def report(
    seconds: dict[str, list[float]], losses: dict[str, float], arguments: argparse.Namespace
) -> None:
    medians = {way: median(times) for way, times in seconds.items()}
    ratios = {way: one / next(iter(medians.values())) for way, one in medians.items()}
    hours = {way: one * PAIRS * EPOCHS / arguments.batch / 3600 for way, one in medians.items()}
    if arguments.json:
        settings = {
            name: getattr(arguments, name)
            for name in ("batch", "steps", "device", "dtype", "together")
        }
        settings["threads"] = torch.get_num_threads()
        found = {"seconds": seconds, "median": medians, "ratio": ratios, "hours": hours}
        print(json.dumps(settings | found | {"loss": losses}))
        return
    print(
        f"{arguments.steps} steps of {arguments.batch} pairs on {arguments.device} in "
        f"{arguments.dtype}; hours for {PAIRS:,} pairs, {EPOCHS} epochs"
    )
    print(f"{'way':12} {'median s':>9} {'ratio':>7} {'steps/s':>9} {'hours':>8} {'first loss':>11}")
    for way in seconds:
        print(
            f"{way:12} {medians[way]:9.3f} {ratios[way]:7.2f} {1 / medians[way]:9.2f} "
            f"{hours[way]:8.1f} {losses[way]:11.5f}"
        )


if __name__ == "__main__":
    main()
