"""What explaining costs: `python -m tests.benchmarks.explain DATA` in the repository's root.

One random ViT-B/32 with a subspace after block 10 explains texts of Concadia, with 50 steps each.
Beside it, captum's `LayerIntegratedGradients` of transformers' own model explains them one by one:
once, for the total; and three times with hooks that detach, for total, through and around. The ways
take turns text by text, so that what else the machine does falls on all alike.

DATA is the folder with evaluation data: `clip-vit-base-patch32` and `concadia-test-texts.csv.gz`.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients

from descscore import DescriptionScore
from tests.benchmarks.throughput import random_clip, texts_of
from tests.checkpoints_made import lora_checkpoint
from tests.plain_gradients import plain_score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BASELINE = "captum: total"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with evaluation data")
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        base = random_clip(arguments.data / "clip-vit-base-patch32", Path(folder) / "base")
        checkpoint = lora_checkpoint(
            Path(folder) / "checkpoint", base, update=0.01, layer=10, subspace=256
        )
        metric = DescriptionScore(checkpoint)
        photo = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))[0]
        texts = [
            text
            for [text] in texts_of(
                arguments.data / "concadia-test-texts.csv.gz", 2 * arguments.texts, 1
            )
            if len(metric._pipeline.transform([text])[0].ids) < 77
        ][: arguments.texts]
        explain = partial(metric.explain, photo, n_steps=arguments.steps)
        ways = {
            "total, through, around": explain,
            "purpose": partial(explain, target="purpose"),
            BASELINE: partial(captums, metric, photo, ("total",), arguments.steps),
            "captum: total, through, around": partial(
                captums, metric, photo, ("total", "through", "around"), arguments.steps
            ),
        }
        metric.explain(photo, texts[0], n_steps=2)
        captums(metric, photo, ("total",), 2, texts[0])
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        of_cpu: dict[str, list[float]] = {way: [] for way in ways}
        for turn, text in enumerate(texts):
            # Another way is first each time.
            for way in np.roll(list(ways), turn).tolist():
                start, cpu_start = time.perf_counter(), time.process_time()
                ways[way](text)
                seconds[way].append(time.perf_counter() - start)
                of_cpu[way].append(time.process_time() - cpu_start)
        together = compare_calls(explain, texts)
        tokens = [len(metric._pipeline.transform([text])[0].ids) for text in texts]
    report(seconds, of_cpu, together, tokens, as_json=arguments.json)


def compare_calls(
    explain: Callable[[Sequence[str]], object], texts: Sequence[str], rounds: int = 2
) -> dict[str, float]:
    """CPU seconds a text, one text a call and all in one call: medians of rounds in turns."""
    ways = {
        "one by one": lambda: [explain([text]) for text in texts],
        "in one call": lambda: explain(texts),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in np.roll(list(ways), turn).tolist():
            start = time.process_time()
            ways[way]()
            seconds[way].append((time.process_time() - start) / len(texts))
    return {way: median(values) for way, values in seconds.items()}


def captums(
    metric: DescriptionScore, photo: Path, parts: Sequence[str], steps: int, text: str
) -> None:
    """Explain as a user of captum would."""
    model, tokenizer = metric._pipeline.encoder.towers.model, metric._pipeline.transform.tokenizer
    purpose = metric.purpose_subspace
    if purpose is None:
        raise ValueError("the benchmark's checkpoint has a subspace")
    ids = tokenizer([text], return_tensors="pt").input_ids
    baseline = ids.clone()
    baseline[:, 1:-1] = tokenizer.pad_token_id
    image = metric.embed_images(photo).values[0]
    of_image = torch.as_tensor(image).clone()
    for part in parts:

        def score(rows: torch.Tensor, part: str = part) -> torch.Tensor:
            return plain_score(
                model,
                rows,
                of_image,
                part=part,
                layer=purpose.site.layer,
                basis=purpose.basis,
                end=ids.shape[1] - 1,
            )

        layer = LayerIntegratedGradients(score, model.text_model.embeddings.token_embedding)
        layer.attribute(ids, baseline, n_steps=steps)


def report(
    seconds: dict[str, list[float]],
    of_cpu: dict[str, list[float]],
    together: dict[str, float],
    tokens: Sequence[int],
    *,
    as_json: bool,
) -> None:
    """Medians of seconds a text, and medians of ratios to captum's for the same text.

    On a machine that does other things too, CPU time says more than the clock.
    """
    rows = {
        way: {
            "seconds": median(seconds[way]),
            "ratio": _ratio(seconds, way),
            "cpu_seconds": median(of_cpu[way]),
            "cpu_ratio": _ratio(of_cpu, way),
        }
        for way in seconds
    }
    found = {
        "texts": len(tokens),
        "median_tokens": median(tokens),
        "threads": torch.get_num_threads(),
        "ways": rows,
        "cpu_seconds_a_text": together,
    }
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print(f"{len(tokens)} texts, median {median(tokens):g} tokens, {found['threads']} threads")
    print(f"{'':32}{'s a text':>10}{'ratio':>8}{'CPU s':>10}{'ratio':>8}")
    for way, row in rows.items():
        print(
            f"{way:32}{row['seconds']:10.3f}{row['ratio']:8.2f}"
            f"{row['cpu_seconds']:10.3f}{row['cpu_ratio']:8.2f}"
        )
    print("CPU s a text: " + ", ".join(f"{way} {value:.3f}" for way, value in together.items()))


def _ratio(times: dict[str, list[float]], way: str) -> float:
    return median(one / other for one, other in zip(times[way], times[BASELINE], strict=True))


if __name__ == "__main__":
    main()
