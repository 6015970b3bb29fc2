"""What a study measures of a checkpoint, each kept in a file so that nothing is measured twice."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.atomic import write_json
from descscore.checkpoints.store import resolve_checkpoint
from descscore.datasets.image_folders import class_folders
from descscore.datasets.kreiss2022 import read_kreiss2022
from descscore.evaluate.human import human_ratings
from descscore.evaluate.items import score_items
from descscore.evaluate.preference import preference, relevance
from descscore.evaluate.transfer import PROMPT, transfer
from descscore.metric import DescriptionScore
from descscore_training.pretrain.corpus import held_out_rows
from descscore_training.study.concadia import concadia_examples
from descscore_training.study.fingerprint import digest, fingerprint
from descscore_training.study.towers import ImageStore, Towers
from descscore_training.study.word_norms import measure_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from descscore.checkpoints.store import Checkpoint
    from descscore_training.study.study import ConcadiaPart, Study, TransferPart

IMAGES_COMPARED = 1000
"""At most so many images' texts are compared with each other for relevance."""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Measures checkpoints of a study.

    Attributes:
        study: what is measured.
        data: the data folder.
        device: "auto" or a PyTorch device.
        store: embeddings of images that several checkpoints share.
    """

    study: Study
    data: Path
    device: str = "auto"
    store: ImageStore = field(default_factory=ImageStore)

    def evaluate(
        self,
        name: str | Path,
        folder: Path,
        *,
        revision: str | None = None,
        own_images: bool = True,
        making: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> dict[str, Any]:
        """All evaluations of a checkpoint, from its folder or made now.

        Args:
            name: of the checkpoint: a folder, a Hub id or a shipped name.
            folder: where the results are kept, one JSON file each.
            revision: its commit on the Hub.
            own_images: whether its vision tower is its own rather than its base's.
            making: what each evaluation that is made now is made in, by its name.

        Raises:
            TableError, InputError: data are not what the study says.
            CheckpointError: the checkpoint cannot be loaded.
        """
        checkpoint = resolve_checkpoint(name, revision=revision)
        models = _Models(checkpoint, self, own_images=own_images)
        results: dict[str, Any] = {}
        for part in self._parts():
            key = self._key(checkpoint, part)
            result = _kept(folder, part.name, key)
            if result is None:
                with making(part.name):
                    result = part.measure(models)
                    _keep(folder, part.name, key, result)
            results[part.name] = result
        return results

    def _parts(self) -> Iterator[_Part]:
        """The study's evaluations in the order in which they are made."""
        study, data = self.study, self.data
        concadia, human, norms = study.concadia, study.human, study.norms
        if concadia is not None:
            yield _Part(
                name="concadia",
                settings=concadia.split,
                paths=(concadia.path,),
                measure=lambda models: measure_concadia(models.towers, concadia, data),
            )
        for task in study.transfer:
            yield _Part(
                name=f"transfer {task.name}",
                settings=task.under,
                paths=(task.path,),
                measure=lambda models, task=task: measure_transfer(models.towers, task, data),
            )
        if human is not None:
            yield _Part(
                name="human",
                settings=None,
                paths=(human.path,),
                measure=lambda models: measure_human(models.metric, data / human.path),
            )
        if norms is not None and concadia is not None:
            yield _Part(
                name="norms",
                settings=[norms.sample, concadia.split],
                paths=(norms.concreteness, norms.imageability, concadia.path),
                measure=lambda models: measure_norms(models.metric, norms, concadia, data),
            )

    def _key(self, checkpoint: Checkpoint, part: _Part) -> str:
        """All that a result depends on."""
        base = checkpoint.base
        return digest(
            {
                "checkpoint": checkpoint.identity.rpartition("@")[2],
                "base": None if base is None else base.identity.rpartition("@")[2],
                "settings": part.settings,
                "data": [fingerprint(self.data / path) for path in part.paths],
                "version": version("descscore"),
            }
        )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One evaluation: its name, what it depends on in the study, its data, and how it is made."""

    name: str
    settings: object
    paths: tuple[str, ...]
    measure: Callable[[_Models], dict[str, Any]]


class _Models:
    """A checkpoint's models, loaded when they are first needed."""

    def __init__(self, checkpoint: Checkpoint, of: Evaluator, *, own_images: bool) -> None:
        self._checkpoint = checkpoint
        self._of = of
        self._own_images = own_images

    @cached_property
    def towers(self) -> Towers:
        base = self._checkpoint.base
        shared = None if base is None or self._own_images else base
        if base is None:
            shared = self._checkpoint
        return Towers(
            self._checkpoint,
            device=self._of.device,
            store=None if shared is None else self._of.store,
            tower="" if shared is None else shared.identity,
        )

    @cached_property
    def metric(self) -> DescriptionScore:
        checkpoint = self._checkpoint
        return DescriptionScore(
            checkpoint.name,
            revision=checkpoint.revision,
            device=self._of.device,
            dtype="float32",
            batch_size=256,
            on_error="record",
        )


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


def measure_transfer(towers: Towers, task: TransferPart, data: Path) -> dict[str, Any]:
    """Zero-shot classification of class folders with the paper's prompt.

    Raises:
        TableError: there are no class folders.
    """
    folders = class_folders(data / task.path, task.under)
    labels = folders.classes
    images = towers.images(folders.read(), f"{task.path}/{task.under}")
    texts = towers.texts([PROMPT.format(label=label.replace("_", " ")) for label in labels])
    truth = np.array([labels.index(label) for label in folders.labels])
    return asdict(transfer((images @ texts.T).cpu().numpy(), truth))


def measure_human(metric: DescriptionScore, folder: Path) -> dict[str, Any]:
    """Correlations of scores with ratings, by group and question (Kreiss et al. 2022).

    Raises:
        TableError: the folder is not that study's.
    """
    study = read_kreiss2022(folder)
    found = human_ratings(
        score_items(metric, study.items),
        study.ratings,
        texts=study.items.texts,
        clusters=study.items.image_names,
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
