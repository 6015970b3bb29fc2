"""What a checkpoint can do, on data that it was not trained on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from descscore import DescriptionScore
from descscore.datasets.described_images import read_described_images
from descscore.datasets.labelled_images import read_labelled_images
from descscore.evaluate.preference import evaluate_preference
from descscore.evaluate.transfer import evaluate_transfer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from descscore_training.finetune_recipe import Measurement


def measure_transfer(metric: DescriptionScore, path: Path, under: str) -> dict[str, Any]:
    """Zero-shot classification of class folders with the paper's prompt."""
    return asdict(evaluate_transfer(metric, read_labelled_images(path, under=under)).transfer)


def measure_concadia(metric: DescriptionScore, folder: Path, split: str = "") -> dict[str, Any]:
    """Preference for descriptions, and relevance of both kinds of text.

    Relevance is measured on at most 1,000 images, those with the smallest SHA-256 of their name.

    Args:
        metric: on the scale "cosine", which clamps nothing.
        folder: Concadia in its official layout.
        split: which part; empty takes all.

    Raises:
        TableError: the folder is not Concadia's, or has no such split.
    """
    found = evaluate_preference(metric, read_described_images(folder, split=split or None).examples)
    shares = {
        "preference": found.preference,
        "relevance of descriptions": found.relevance_of_descriptions,
        "relevance of captions": found.relevance_of_captions,
    }
    return {
        name: {
            "n": share.n,
            "share": share.value,
            "low": share.low,
            "high": share.high,
            "ties": share.ties,
        }
        for name, share in shares.items()
        if share is not None
    }


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
        concadia = (path / "wiki_split.json").is_file()
        measured[part.name] = (
            measure_concadia(metric, path, part.split)
            if concadia
            else measure_transfer(metric, path, part.under)
        )
    return measured


def measure_base(model: Path, data: Path) -> dict[str, Any]:
    """Transfer to CIFAR-10's test part; preference and relevance on 200 images of Concadia.

    Args:
        model: a folder in transformers' format.
        data: a folder with `cifar10.zip` and `concadia-val200/`.
    """
    metric = DescriptionScore(model, scale="cosine", dtype="float32", batch_size=256)
    return {
        "cifar10 test": measure_transfer(metric, data / "cifar10.zip", "test"),
        "concadia-val200": measure_concadia(metric, data / "concadia-val200"),
    }
