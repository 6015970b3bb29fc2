"""What a study measures of a checkpoint, each kept in a file so that nothing is measured twice."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.checkpoints.store import resolve_checkpoint
from descscore.data.concadia import read_concadia
from descscore.data.image_folders import class_folders
from descscore.errors import TableError
from descscore.evaluate.human import human_ratings
from descscore.evaluate.kreiss2022 import read_kreiss2022, score_study
from descscore.evaluate.preference import preference, relevance
from descscore.evaluate.transfer import PROMPT, transfer
from descscore.metric import DescriptionScore
from descscore_training.corpus import held_out_rows
from descscore_training.reproduction.fingerprint import digest, fingerprint
from descscore_training.reproduction.towers import ImageStore, Towers
from descscore_training.reproduction.word_norms import measure_norms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore.checkpoints.store import Checkpoint
    from descscore.data.concadia import Example
    from descscore_training.reproduction.study import ConcadiaPart, Study, TransferPart

IMAGES_COMPARED = 1000
"""At most so many images' texts are compared with each other for relevance."""


class Evaluator:
    """Measures checkpoints of a study.

    Args:
        study: what is measured.
        data: the data folder.
        device: "auto" or a PyTorch device.
    """

    def __init__(self, study: Study, data: Path, *, device: str) -> None:
        self._study = study
        self._data = data
        self._device = device
        self._store = ImageStore()

    def names(self) -> list[str]:
        """Every evaluation of the study, in the order in which they are made."""
        return [name for name, _, _ in self._parts()]

    def missing(self, checkpoint: Path | str, folder: Path) -> list[str]:
        """Those of a checkpoint that are not in its folder, or were of something else."""
        found = resolve_checkpoint(checkpoint)
        return [
            name
            for name, settings, paths in self._parts()
            if _kept(folder, name, self._key(found, settings, paths)) is None
        ]

    def evaluate(
        self,
        name: str | Path,
        folder: Path,
        *,
        revision: str | None = None,
        own_images: bool = True,
        report: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """All evaluations of a checkpoint, from its folder or made now.

        Args:
            name: of the checkpoint: a folder, a Hub id or a shipped name.
            folder: where the results are kept, one JSON file each.
            revision: its commit on the Hub.
            own_images: whether its vision tower is its own rather than its base's.
            report: called with the name of each evaluation that is made.

        Raises:
            TableError, InputError: data are not what the study says.
            CheckpointError: the checkpoint cannot be loaded.
        """
        checkpoint = resolve_checkpoint(name, revision=revision)
        measuring = _Measuring(self, checkpoint, own_images=own_images)
        results: dict[str, Any] = {}
        for part, settings, paths in self._parts():
            key = self._key(checkpoint, settings, paths)
            result = _kept(folder, part, key)
            if result is None:
                if report is not None:
                    report(part)
                result = measuring.measure(part)
                _keep(folder, part, key, result)
            results[part] = result
        return results

    def _parts(self) -> list[tuple[str, object, list[str]]]:
        """Each evaluation's name, what it depends on in the study, and its data."""
        study = self._study
        parts: list[tuple[str, object, list[str]]] = []
        if study.concadia is not None:
            parts.append(("concadia", asdict(study.concadia), [study.concadia.path]))
        parts += [(f"transfer {task.name}", asdict(task), [task.path]) for task in study.transfer]
        if study.human is not None:
            parts.append(("human", None, [study.human.path]))
        if study.norms is not None and study.concadia is not None:
            norms = study.norms
            files = [norms.concreteness, norms.imageability, study.concadia.path]
            parts.append(("norms", [norms.images, study.concadia.split], files))
        return parts

    def _key(self, checkpoint: Checkpoint, settings: object, paths: list[str]) -> str:
        base = checkpoint.base
        return digest(
            {
                "checkpoint": checkpoint.identity.rpartition("@")[2],
                "base": None if base is None else base.identity.rpartition("@")[2],
                "settings": settings,
                "data": [fingerprint(self._data / path) for path in paths],
                "version": version("descscore"),
            }
        )


class _Measuring:
    """One checkpoint; its models are loaded when they are first needed."""

    def __init__(self, of: Evaluator, checkpoint: Checkpoint, *, own_images: bool) -> None:
        self._of = of
        self._checkpoint = checkpoint
        self._own_images = own_images
        self._towers: Towers | None = None
        self._metric: DescriptionScore | None = None

    def measure(self, part: str) -> dict[str, Any]:
        study, data = self._of._study, self._of._data
        if part == "concadia" and study.concadia is not None:
            return measure_concadia(self.towers, study.concadia, data)
        if part == "human" and study.human is not None:
            return _measure_human(self.metric, data / study.human.path)
        if part == "norms" and study.norms is not None and study.concadia is not None:
            return measure_norms(self.metric, study.norms, study.concadia, data)
        [task] = [task for task in study.transfer if part == f"transfer {task.name}"]
        return measure_transfer(self.towers, task, data)

    @property
    def towers(self) -> Towers:
        if self._towers is None:
            base = self._checkpoint.base
            tower = self._checkpoint if self._own_images or base is None else base
            shared = tower is base or base is None
            self._towers = Towers(
                self._checkpoint,
                device=self._of._device,
                store=self._of._store if shared else None,
                tower=tower.identity,
            )
        return self._towers

    @property
    def metric(self) -> DescriptionScore:
        if self._metric is None:
            name, revision = self._checkpoint.name, self._checkpoint.revision
            self._metric = DescriptionScore(
                name, revision=revision, device=self._of._device, dtype="float32", batch_size=256
            )
        return self._metric


def measure_concadia(towers: Towers, part: ConcadiaPart, data: Path) -> dict[str, Any]:
    """Preference for descriptions, and relevance of both kinds of text.

    Relevance is measured on at most `IMAGES_COMPARED` images, those with the smallest SHA-256 of
    their name.

    Raises:
        TableError: the folder is not Concadia's, or has no such split.
    """
    examples = concadia_examples(part, data)
    images = towers.images([example.image for example in examples], part.name)
    sides = {
        "descriptions": towers.texts([example.description for example in examples]),
        "captions": towers.texts([example.caption for example in examples]),
    }
    own = {side: (images * texts).sum(1).cpu().numpy() for side, texts in sides.items()}
    results = {"preference": asdict(preference(own["descriptions"], own["captions"]))}
    rows = list(range(len(examples)))
    if len(examples) > IMAGES_COMPARED:
        rows = sorted(held_out_rows([example.image.name for example in examples], IMAGES_COMPARED))
    for side, texts in sides.items():
        scores = (images[rows] @ texts[rows].T).cpu().numpy()
        results[f"relevance of {side}"] = asdict(relevance(scores))
    return results


def concadia_examples(part: ConcadiaPart, data: Path) -> list[Example]:
    """The images and texts of a split.

    Raises:
        TableError: the folder is not Concadia's, or has no such split.
    """
    every = read_concadia(data / part.path)
    examples = [example for example in every if part.split in {"", example.split}]
    if not examples:
        known = ", ".join(sorted({example.split for example in every}))
        raise TableError(f"{data / part.path} has no split {part.split!r}, only {known}")
    return examples


def measure_transfer(towers: Towers, task: TransferPart, data: Path) -> dict[str, Any]:
    """Zero-shot classification of class folders with the paper's prompt.

    Raises:
        TableError: there are no class folders.
    """
    folders = class_folders(data / task.path, task.under)
    labels = sorted(set(folders.labels))
    images = towers.images(folders.read(), f"{task.path}/{task.under}")
    texts = towers.texts([PROMPT.format(label=label.replace("_", " ")) for label in labels])
    truth = np.array([labels.index(label) for label in folders.labels])
    return asdict(transfer((images @ texts.T).cpu().numpy(), truth))


def _measure_human(metric: DescriptionScore, folder: Path) -> dict[str, Any]:
    study = read_kreiss2022(folder)
    found = human_ratings(
        score_study(metric, study),
        study.ratings,
        texts=study.texts,
        clusters=study.image_names,
    )
    return {
        "items": found.items,
        "questions": [
            {
                "group": question.group,
                "question": question.question,
                **{result.kind: asdict(result) for result in question.correlations},
                "given length": None
                if question.given_length is None
                else asdict(question.given_length),
            }
            for question in found.questions
        ],
    }


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-').replace('/', '-')}.json"


def _kept(folder: Path, name: str, key: str) -> dict[str, Any] | None:
    """What was measured before, if it was of just this."""
    try:
        found = json.loads(_path(folder, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found["result"] if isinstance(found, dict) and found.get("key") == key else None


def _keep(folder: Path, name: str, key: str, result: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(_path(folder, name), {"name": name, "key": key, "result": result})


def write_json(path: Path, content: object) -> None:
    """Write a file, whole or not at all."""
    unfinished = path.with_suffix(".tmp")
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)
