"""A rehearsal of a study: a few rows of each dataset, and a CLIP with random weights.

All parts of the study run as in earnest, in minutes; its numbers mean nothing. What the data folder
lacks is drawn, in the layout that the study reads.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from descscore.checkpoints.store import SHIPPED
from descscore.datasets.concadia import read_concadia
from descscore.datasets.labelled_images import class_folders, read_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore_training.study.study import NormsPart, Study

RANDOM_BASE = "random-vit-b32"
"""Names a CLIP of ViT-B/32's size with random weights."""

_ROWS = {"train": 12, "val": 4, "test": 8}
# Of few classes, random weights get some images right: no task has an F1 of 0.
_CLASSES, _IMAGES_PER_CLASS = 2, 4
_DESCRIPTIONS = 9
_SIDE = 96
_COLOURS = ("red", "green", "blue", "white", "black", "brown")
_THINGS = ("dog", "boat", "house", "tree", "bridge", "horse")
_PLACES = ("river", "field", "street", "beach")
_QUESTIONS = ("overall", "reconstructivity", "relevance", "irrelevance")


def rehearse(study: Study, data: Path, out: Path) -> tuple[Study, Path]:
    """The study with its base made, and a small data folder for it, in `out/rehearsal`.

    What was made before is used again, so that an interrupted rehearsal resumes.

    Args:
        study: that rehearses.
        data: where a few rows of each dataset are taken from, as far as it has them.
        out: the study's folder.
    """
    folder = out / "rehearsal"
    small, base = folder / "data", folder / "base"
    _made(small, partial(_make_data, study, data))
    if study.base != RANDOM_BASE:
        return study, small
    _made(base, _make_base)
    return study.model_copy(update={"base": str(base)}), small


def _made(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder under another name first, if it is not there."""
    if not folder.is_dir():
        unfinished = folder.with_name(f".{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.replace(folder)


def _make_base(folder: Path) -> None:
    """A ViT-B/32 with random weights and the tokenizer of the shipped base."""
    import torch
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["mini/base"])
    config = CLIPConfig()  # the defaults are ViT-B/32's
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config.text_config, name, getattr(tokenizer, name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(config)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)


def _make_data(study: Study, data: Path, out: Path) -> None:
    draws = np.random.default_rng(0)
    texts: list[str] = []
    if study.concadia is not None:
        path = study.concadia.path
        texts = _make_concadia(data / path, out / path, draws)
    for task in study.transfer:
        _make_classes(data / task.path, task.under, out / task.path / task.under, draws)
    if study.human is not None:
        _make_ratings(data / study.human.path, out / study.human.path, draws)
    if study.norms is not None:
        _make_norms(study.norms, data, out, texts)


def _make_concadia(source: Path, target: Path, draws: np.random.Generator) -> list[str]:
    """Write a few entries of each split; their texts."""
    (target / "resized").mkdir(parents=True)
    whole = []
    if (source / "wiki_split.json").is_file():
        whole = [one for one in read_concadia(source) if one.lacking is None and one.image.exists()]
    entries, texts = [], []
    for number, (split, rows) in enumerate(_ROWS.items()):
        # A folder that holds a part of Concadia may lack a split.
        own = [one for one in whole if one.split == split] or whole[number :: len(_ROWS)]
        for row in range(min(rows, len(own)) if whole else rows):
            if whole:
                image, pair = own[row].image.name, (own[row].description, own[row].caption)
                shutil.copyfile(own[row].image, target / "resized" / image)
            else:
                image, pair = f"{split}{row}.png", _draw_texts(row, draws)
                _draw_image(target / "resized" / image, draws)
            raw = {"description": {"raw": pair[0]}, "caption": {"raw": pair[1]}}
            entries.append({"filename": image, "split": split, **raw})
            texts += pair
    content = json.dumps({"images": entries})
    (target / "wiki_split.json").write_text(content, encoding="utf-8")
    return texts


def _draw_texts(row: int, draws: np.random.Generator) -> tuple[str, str]:
    """A description and a caption."""
    colour, thing, place = (draws.choice(words) for words in (_COLOURS, _THINGS, _PLACES))
    return (
        f"A {colour} {thing} beside a {place} with {row} stones",
        f"The {thing} festival of 19{row + 10} on the {place}",
    )


def _make_classes(source: Path, under: str, target: Path, draws: np.random.Generator) -> None:
    if not source.exists():
        for thing in _THINGS[:_CLASSES]:
            for number in range(_IMAGES_PER_CLASS):
                _draw_image(target / thing / f"{number}.png", draws)
        return
    found = class_folders(source, under)
    taken = []
    for chosen in found.classes[:_CLASSES]:
        pairs = zip(found.names, found.labels, strict=True)
        taken += [name for name, label in pairs if label == chosen][:_IMAGES_PER_CLASS]
    for name, content in zip(taken, read_files(source, taken), strict=True):
        if isinstance(content, bytes):
            path = target / PurePosixPath(name).relative_to(under)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _make_ratings(source: Path, target: Path, draws: np.random.Generator) -> None:
    """The study of Kreiss et al. (2022) is small: all of it, if it is there."""
    if source.is_dir():
        shutil.copytree(source, target)
        return
    after = [f"q_{name}.postimg" for name in _QUESTIONS if name != "reconstructivity"]
    tables: dict[str, list[list[str]]] = {
        "descriptions": [["description_id", "image", "description"]],
        "blv_ratings": [["description_id", *(f"q_{name}" for name in _QUESTIONS)]],
        "sighted_ratings": [
            ["description_id", *(f"q_{name}.preimg" for name in _QUESTIONS), *after]
        ],
    }
    for row in range(_DESCRIPTIONS):
        image = f"{row // 2}.png"
        _draw_image(target / "images" / image, draws)
        text = f"A {_COLOURS[row % 6]} {_THINGS[row % 5]}" + " and a tree" * (row % 3)
        tables["descriptions"].append([f"d{row}", image, text])
        for table in ("blv_ratings", "sighted_ratings") * 2:
            answers = draws.integers(1, 6, len(tables[table][0]) - 1)
            tables[table].append([f"d{row}", *map(str, answers)])
    for name, rows in tables.items():
        _write_csv(target / f"{name}.csv", rows)


def _make_norms(norms: NormsPart, data: Path, out: Path, texts: list[str]) -> None:
    words = sorted({word.lower() for text in texts for word in re.findall(r"[A-Za-z]+", text)})
    for seed, path in enumerate((norms.concreteness, norms.imageability)):
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (data / path).is_file():
            shutil.copyfile(data / path, target)
            continue
        drawn = np.random.default_rng(seed).uniform(1, 5, len(words))
        rows = [[word, f"{rating:.2f}"] for word, rating in zip(words, drawn, strict=True)]
        _write_csv(target, [["word", "rating"], *rows])


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _draw_image(path: Path, draws: np.random.Generator) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    colour = draws.integers(0, 256, 3)
    noisy = colour + draws.integers(-40, 41, (_SIDE, _SIDE, 3))
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path)
