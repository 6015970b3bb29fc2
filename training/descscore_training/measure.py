"""What a checkpoint can do, on data that it was not trained on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore import DescriptionScore
from descscore.datasets.described_images import read_described_images
from descscore.datasets.labelled_images import read_labelled_images
from descscore.evaluate.benchmarks.run import read_benchmark, run_benchmark
from descscore.evaluate.preference import evaluate_preference
from descscore.evaluate.transfer import evaluate_transfer
from descscore_training.finetune_recipe import Measurement
from descscore_training.pretrain.corpus import read_captions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, Int

    from descscore.datasets.described_images import DescribedImage
    from descscore.datasets.labelled_images import LabelledImages
    from descscore.evaluate.benchmarks.run import Benchmark


def measure_transfer(metric: DescriptionScore, images: LabelledImages) -> dict[str, Any]:
    """Zero-shot classification with the paper's prompt."""
    return asdict(evaluate_transfer(metric, images).transfer)


def measure_preference(
    metric: DescriptionScore, examples: Sequence[DescribedImage]
) -> dict[str, Any]:
    """Preference for descriptions, and relevance of both kinds of text.

    Relevance is measured on at most 1,000 images, those with the smallest SHA-256 of their name.

    Args:
        metric: on the scale "cosine", which clamps nothing.
        examples: each image once.
    """
    found = evaluate_preference(metric, examples)
    shares = {
        "preference": found.preference,
        "relevance of descriptions": found.relevance_of_descriptions,
        "relevance of captions": found.relevance_of_captions,
    }
    return {
        name: {"n": of.n, "share": of.value, "low": of.low, "high": of.high, "ties": of.ties}
        for name, of in shares.items()
        if of is not None
    }


def measure_flickr8k(metric: DescriptionScore, folder: Path) -> dict[str, float | None]:
    """Agreement with people's judgements of captions, and how often an image's own come first.

    Args:
        metric: on any scale.
        folder: with Flickr8k's captions, judgements and list of test images, and `images/`.

    Returns:
        Kendall's τ_c on Flickr8k-Expert and τ_b on Flickr8k-CF, and the share of other test images'
        captions below each of an image's own, mean over the test images that are there. None
        where a correlation is undefined, since all scores are equal.

    Raises:
        TableError: a file or an image is missing, or laid out otherwise.
    """
    images = folder / "images"
    measured: dict[str, float | None] = {}
    wanted_of: dict[Benchmark, str] = {"flickr8k-expert": "tau_c", "flickr8k-cf": "tau_b"}
    for name, wanted in wanted_of.items():
        read = read_benchmark(name, folder, images=images)
        # Of the interval nothing is kept.
        result = run_benchmark(metric, read, resamples=1)
        measured[f"{name} {wanted}"] = next(
            found.estimate.value for found in result.measures if found.name == wanted
        )
    captions = read_captions(folder / "Flickr8k.token.txt")
    listed = (folder / "Flickr_8k.testImages.txt").read_text("utf-8").split()
    names = [name for name in listed if (images / name).exists()]
    texts = [text for name in names for text in captions[name]]
    own = np.repeat(np.arange(len(names)), [len(captions[name]) for name in names])
    seen = metric.embed_images([images / name for name in names]).values
    similarity = seen @ metric.embed_texts(texts).values.T
    measured["own caption above others"] = float(own_above_others(similarity, own))
    return measured


def own_above_others(
    similarity: Float[np.ndarray, "image text"], own: Int[np.ndarray, " text"]
) -> float:
    """Share of other images' texts that an image is nearer to its own texts than to.

    Args:
        similarity: of images to texts.
        own: the image of each text.
    """
    shares = []
    for image, row in enumerate(similarity):
        others = np.sort(row[own != image])
        shares.append(np.searchsorted(others, row[own == image]).mean() / len(others))
    return float(np.mean(shares))


def measure(
    metric: DescriptionScore, what: Sequence[Measurement], data: Path
) -> dict[str, dict[str, Any]]:
    """What a recipe says to measure, by its names.

    Raises:
        TableError: something is not where the recipe says, or not what it says.
    """
    measured = {}
    for part in what:
        path = data / part.path
        if (path / "wiki_split.json").is_file():
            found = read_described_images(path, split=part.split or None)
            measured[part.name] = measure_preference(metric, found.examples)
        elif (path / "ExpertAnnotations.txt").is_file():
            measured[part.name] = measure_flickr8k(metric, path)
        else:
            images = read_labelled_images(path, under=part.under)
            measured[part.name] = measure_transfer(metric, images)
    return measured


def measure_base(model: Path, data: Path) -> dict[str, Any]:
    """Transfer to CIFAR-10's test part; preference and relevance on 200 images of Concadia.

    And, if it is there, agreement with judgements of captions on Flickr8k's test images.

    Args:
        model: a folder in transformers' format.
        data: a folder with `cifar10.zip` and `concadia-val200/`, and perhaps `flickr8k/`.
    """
    metric = DescriptionScore(model, scale="cosine", dtype="float32", batch_size=256)
    parts = [
        Measurement(name="cifar10 test", path="cifar10.zip", under="test"),
        Measurement(name="concadia-val200", path="concadia-val200"),
    ]
    if (data / "flickr8k").is_dir():
        parts.append(Measurement(name="flickr8k test", path="flickr8k"))
    return measure(metric, parts, data)
