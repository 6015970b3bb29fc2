"""A rehearsal of a study: a few rows of each dataset, and a CLIP with random weights.

All parts of the study run as in earnest, in minutes; its numbers mean nothing. What the data folder
lacks is drawn, in the layout that the study reads.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.checkpoints.store import SHIPPED
from descscore.datasets.concadia import read_concadia
from descscore.datasets.labelled_images import class_folders

if TYPE_CHECKING:
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
    if not small.is_dir():
        unfinished = folder / ".data"
        shutil.rmtree(unfinished, ignore_errors=True)
        _make_data(study, data, unfinished)
        unfinished.replace(small)
    if study.base != RANDOM_BASE:
        return study, small
    if not base.is_dir():
        unfinished = folder / ".base"
        shutil.rmtree(unfinished, ignore_errors=True)
        _make_base(unfinished)
        unfinished.replace(base)
    return study.model_copy(update={"base": str(base)}), small


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
    entries: list[dict[str, Any]] = []
    (target / "resized").mkdir(parents=True)
    if (source / "wiki_split.json").is_file():
        whole = [one for one in read_concadia(source) if one.lacking is None and one.image.exists()]
        for number, (split, rows) in enumerate(_ROWS.items()):
            own = [one for one in whole if one.split == split]
            # A folder that holds a part of Concadia may lack a split.
            for one in (own or whole[number :: len(_ROWS)])[:rows]:
                shutil.copyfile(one.image, target / "resized" / one.image.name)
                entries.append(_entry(one.image.name, split, one.description, one.caption))
    else:
        for split, rows in _ROWS.items():
            for row in range(rows):
                name = f"{split}{row}.png"
                colour, thing, place = (
                    str(draws.choice(words)) for words in (_COLOURS, _THINGS, _PLACES)
                )
                _draw_image(target / "resized" / name, draws)
                description = f"A {colour} {thing} beside a {place} with {row} stones"
                caption = f"The {thing} festival of 19{row + 10} on the {place}"
                entries.append(_entry(name, split, description, caption))
    content = json.dumps({"images": entries})
    (target / "wiki_split.json").write_text(content, encoding="utf-8")
    return [entry[kind]["raw"] for entry in entries for kind in ("description", "caption")]


def _entry(name: str, split: str, description: str, caption: str) -> dict[str, Any]:
    texts = {"description": {"raw": description}, "caption": {"raw": caption}}
    return {"filename": name, "split": split, **texts}


def _make_classes(source: Path, under: str, target: Path, draws: np.random.Generator) -> None:
    if source.exists():
        found = class_folders(source, under)
        chosen = found.classes[:_CLASSES]
        taken = dict.fromkeys(chosen, 0)
        for label, name, content in zip(found.labels, found.names, found.read_all(), strict=True):
            if taken.get(label, _IMAGES_PER_CLASS) < _IMAGES_PER_CLASS:
                taken[label] += 1
                path = target / label / name.rpartition("/")[2]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)  # pyright: ignore[reportArgumentType]
            if all(count == _IMAGES_PER_CLASS for count in taken.values()):
                return
        return
    for thing in _THINGS[:_CLASSES]:
        for number in range(_IMAGES_PER_CLASS):
            _draw_image(target / thing / f"{number}.png", draws)


def _make_ratings(source: Path, target: Path, draws: np.random.Generator) -> None:
    """The study of Kreiss et al. (2022) is small: all of it, if it is there."""
    if source.is_dir():
        shutil.copytree(source, target)
        return
    rows = [["description_id", "image", "description"]]
    after = [f"q_{name}.postimg" for name in _QUESTIONS if name != "reconstructivity"]
    blv = [["description_id", *(f"q_{name}" for name in _QUESTIONS)]]
    sighted = [["description_id", *(f"q_{name}.preimg" for name in _QUESTIONS), *after]]
    for row in range(_DESCRIPTIONS):
        image = f"{row // 2}.png"
        _draw_image(target / "images" / image, draws)
        words = " and a tree" * (row % 3)
        rows.append([f"d{row}", image, f"A {_COLOURS[row % 6]} {_THINGS[row % 5]}{words}"])
        for _ in range(2):
            blv.append([f"d{row}", *map(str, draws.integers(1, 6, len(_QUESTIONS)))])
            sighted.append([f"d{row}", *map(str, draws.integers(1, 6, len(sighted[0]) - 1))])
    for name, table in (("descriptions", rows), ("blv_ratings", blv), ("sighted_ratings", sighted)):
        _write_csv(target / f"{name}.csv", table)


def _make_norms(norms: NormsPart, data: Path, out: Path, texts: list[str]) -> None:
    words = sorted({word.lower() for text in texts for word in re.findall(r"[A-Za-z]+", text)})
    for path in (norms.concreteness, norms.imageability):
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (data / path).is_file():
            shutil.copyfile(data / path, target)
            continue
        drawn = (hashlib.sha256(f"{path} {word}".encode()).digest()[0] for word in words)
        rows = [
            [word, f"{1 + 4 * value / 255:.2f}"] for word, value in zip(words, drawn, strict=True)
        ]
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
