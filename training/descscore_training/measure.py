"""What a checkpoint can do, on data that it was not trained on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore import DescriptionScore
from descscore.data.concadia import read_concadia
from descscore.data.image_folders import class_folders
from descscore.errors import TableError
from descscore.evaluate.preference import preference, relevance
from descscore.evaluate.transfer import PROMPT, transfer
from descscore_training.corpus import held_out_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from descscore_training.finetune_recipe import Measurement

_IMAGES_COMPARED = 1000


def measure_transfer(metric: DescriptionScore, path: Path, under: str) -> dict[str, Any]:
    """Zero-shot classification of class folders with the paper's prompt."""
    folders = class_folders(path, under)
    labels = sorted(set(folders.labels))
    prompts = [PROMPT.format(label=label.replace("_", " ")) for label in labels]
    result = metric(list(folders.read()), prompts, pairwise=True)
    truth = np.array([labels.index(label) for label in folders.labels])
    return asdict(transfer(result.scores, truth))


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
    every = read_concadia(folder)
    examples = [example for example in every if split in {"", example.split}]
    if not examples:
        known = ", ".join(sorted({example.split for example in every}))
        raise TableError(f"{folder} has no split {split!r}, only {known}")
    images = [example.image for example in examples]
    captions = [example.caption for example in examples]
    descriptions = [example.description for example in examples]
    scored = np.split(metric([*images, *images], [*descriptions, *captions]).scores, 2)
    results = {"preference": asdict(preference(*scored))}
    rows = range(len(examples))
    if len(examples) > _IMAGES_COMPARED:
        names = [example.image.name for example in examples]
        rows = sorted(held_out_rows(names, _IMAGES_COMPARED))
    for kind, texts in (("descriptions", descriptions), ("captions", captions)):
        scores = metric([images[i] for i in rows], [texts[i] for i in rows], pairwise=True).scores
        results[f"relevance of {kind}"] = asdict(relevance(scores))
    return results


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
    metric = DescriptionScore(model, scale="cosine", batch_size=256)
    return {
        "cifar10 test": measure_transfer(metric, data / "cifar10.zip", "test"),
        "concadia-val200": measure_concadia(metric, data / "concadia-val200"),
    }
