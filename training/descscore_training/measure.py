"""What a base CLIP can do, on data that it was not trained on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore import DescriptionScore
from descscore.data.concadia import read_concadia
from descscore.data.image_folders import class_folders
from descscore.evaluate.preference import preference, relevance
from descscore.evaluate.transfer import PROMPT, transfer

if TYPE_CHECKING:
    from pathlib import Path


def measure_transfer(metric: DescriptionScore, path: Path, under: str) -> dict[str, Any]:
    """Zero-shot classification of class folders with the paper's prompt."""
    folders = class_folders(path, under)
    labels = sorted(set(folders.labels))
    prompts = [PROMPT.format(label=label.replace("_", " ")) for label in labels]
    result = metric(list(folders.read()), prompts, pairwise=True)
    truth = np.array([labels.index(label) for label in folders.labels])
    return asdict(transfer(result.scores, truth))


def measure_concadia(metric: DescriptionScore, folder: Path) -> dict[str, Any]:
    """Preference for descriptions, and relevance of both kinds of text."""
    examples = read_concadia(folder)
    images = [example.image for example in examples]
    texts = [example.description for example in examples] + [
        example.caption for example in examples
    ]
    descriptions, captions = np.hsplit(metric(images, texts, pairwise=True).scores, 2)
    return {
        "preference": asdict(preference(descriptions.diagonal(), captions.diagonal())),
        "relevance of descriptions": asdict(relevance(descriptions)),
        "relevance of captions": asdict(relevance(captions)),
    }


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
