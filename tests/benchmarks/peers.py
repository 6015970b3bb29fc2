"""descscore beside its peers: `python -m tests.benchmarks.peers DATA` in the repository's root.

500 photos of Flickr8k's training split, each with its first caption, are scored with the same
random weights of a ViT-B/32 by torchmetrics' CLIPScore, by the reference formula written with
transformers (2.5 max(cos, 0), prefix "A photo depicts "), and by descscore. Then texts beyond 77
tokens: whether two long texts that differ in their last words only get one score, as they must when
both are cut, and whether two that differ at once get two.

DATA is the folder with evaluation data: `flickr8k` and `clip-vit-base-patch32`.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchmetrics.multimodal.clip_score import CLIPScore
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from descscore import CLIPSCORE_PREFIX, DescriptionScore
from tests.benchmarks.cache import flickr8k_pairs

Way = Callable[[list[str], list[str]], np.ndarray]
BATCH = 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with evaluation data")
    parser.add_argument("--photos", type=int, default=500)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    pairs = flickr8k_pairs(arguments.data / "flickr8k", arguments.photos)
    photos, texts = [*pairs], [captions[0] for captions in pairs.values()]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = random_clip(arguments.data / "clip-vit-base-patch32", Path(folder) / "clip")
        ways = {"reference formula": formula(clip), "descscore": ours(clip)}
        ways["torchmetrics"] = torchmetrics_score(clip)
        expected = None
        for name, score in ways.items():
            score(photos[:4], texts[:4])
            start = time.perf_counter()
            values = score(photos, texts)
            seconds = time.perf_counter() - start
            expected = values if expected is None else expected
            found[name] = {
                "seconds": seconds,
                "mean": float(values.mean()),
                "values": len(values),
                "largest difference": float(np.abs(values - expected).max())
                if len(values) == len(expected)
                else float(abs(values.mean() - expected.mean())),
            } | long_texts(score, photos[0])
    print(json.dumps(found, indent=2))


def long_texts(score: Way, photo: str) -> dict[str, Any]:
    """What becomes of texts beyond the window."""
    long = " ".join(["a brown dog runs over the wet grass beside a fence"] * 9)
    other = " ".join(["two men in red coats row a small boat on a lake"] * 9)
    try:
        values = [float(score([photo], [text])[0]) for text in (long, f"{long} at dusk", other)]
    except Exception as error:
        return {"long texts": f"{type(error).__name__}: {error}"[:100]}
    return {"long texts": values}


def formula(clip: Path) -> Way:
    """CLIPScore as its authors define it, one value per pair."""
    model, processor = plain(clip)

    def score(photos: list[str], texts: list[str]) -> np.ndarray:
        parts = []
        for images, captions in batches(photos, texts):
            inputs = processor(
                text=[CLIPSCORE_PREFIX + text for text in captions],
                images=[Image.open(photo).convert("RGB") for photo in images],
                return_tensors="pt",
                padding="max_length",
                max_length=77,
                truncation=True,
            )
            with torch.inference_mode():
                output = model(**inputs)
            parts.append(2.5 * (output.image_embeds * output.text_embeds).sum(1).clamp(min=0))
        return torch.cat(parts).numpy()

    return score


def torchmetrics_score(clip: Path) -> Way:
    """torchmetrics' mean, brought to the same scale, with the same prefix."""
    model, processor = plain(clip)

    class Features:
        """What torchmetrics 1.9 expects: with transformers 5 features are in an object."""

        config = model.config

        def to(self, *_: object) -> Features:
            return self

        def eval(self) -> Features:
            return self

        def get_image_features(self, pixels: Any) -> Any:
            return model.get_image_features(pixels).pooler_output

        def get_text_features(self, ids: Any, mask: Any) -> Any:
            return model.get_text_features(ids, mask).pooler_output

    metric: Any = CLIPScore(lambda: (Features(), processor))

    def score(photos: list[str], texts: list[str]) -> np.ndarray:
        metric.reset()
        for images, captions in batches(photos, texts):
            pixels = [
                torch.from_numpy(np.array(Image.open(photo).convert("RGB"))).permute(2, 0, 1)
                for photo in images
            ]
            with torch.inference_mode():
                metric.update(pixels, [CLIPSCORE_PREFIX + text for text in captions])
        return np.array([metric.compute().item() / 40])

    return score


def ours(clip: Path) -> Way:
    """descscore, one value per pair."""
    metric = DescriptionScore(clip, prefix=CLIPSCORE_PREFIX)
    return lambda photos, texts: metric(photos, texts).scores


def batches(photos: list[str], texts: list[str]) -> list[tuple[list[str], list[str]]]:
    starts = range(0, len(photos), BATCH)
    return [(photos[start : start + BATCH], texts[start : start + BATCH]) for start in starts]


def plain(clip: Path) -> tuple[Any, Any]:
    model = CLIPModel.from_pretrained(clip).eval()
    processor = CLIPProcessor(
        CLIPImageProcessorPil.from_pretrained(clip), CLIPTokenizer.from_pretrained(clip)
    )
    return model, processor


def random_clip(config: Path, folder: Path) -> Path:
    """A ViT-B/32 with the real end token, and random weights that give positive cosines."""
    shutil.copytree(config, folder, copy_function=shutil.copyfile)
    settings = json.loads((config / "config.json").read_text("utf-8"))
    settings["text_config"]["eos_token_id"] = 49_407
    (folder / "config.json").write_text(json.dumps(settings), "utf-8")
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig.from_pretrained(folder))
    with torch.no_grad():
        model.visual_projection.weight.neg_()
    model.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
