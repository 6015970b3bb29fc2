"""How long a recipe trains here, and what room it needs, from a few steps."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from descscore.datasets.image_folders import class_folders
from descscore.towers.device import choose_device
from descscore_training.finetuning import add_updates_to_weights, optimiser_for, trainable
from descscore_training.pairs.bank import load_banks
from descscore_training.pairs.sources import load_anchors, load_pairs, load_stand_ins
from descscore_training.starting_model import load_base, prepare
from descscore_training.validation import TransferTask, list_transfer, validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from descscore.checkpoints.attach import Clip
    from descscore_training.finetune_recipe import FinetuneRecipe, Kept, TransferSource
    from descscore_training.pairs.bank import Bank
    from descscore_training.pairs.sources import Pairs
    from descscore_training.step import Step

STEPS = 5
"""Timed steps, after one that is not timed."""

_VALIDATED = 64
_CLASSIFIED = 64


@dataclass(frozen=True, kw_only=True)
class TrainingTime:
    """One training, as a few steps of it foretell.

    Attributes:
        steps: at most; patience may end it before.
        evaluations: on the way, that of the base included.
        seconds_per_step: mean over the timed steps.
        seconds_per_evaluation: of the validation pairs and the transfer tasks.
        gigabytes: of its folder: saved state, chosen step and checkpoint.
        pixel_gigabytes: of the file of decoded images that all trainings share.
    """

    steps: int
    evaluations: int
    seconds_per_step: float
    seconds_per_evaluation: float
    gigabytes: float
    pixel_gigabytes: float

    @property
    def seconds(self) -> float:
        """Of the whole training, without reading the data."""
        return self.steps * self.seconds_per_step + self.evaluations * self.seconds_per_evaluation


def time_training(recipe: FinetuneRecipe, data: Path, device: str) -> TrainingTime:
    """Time a few steps and an evaluation on some of the data.

    Args:
        recipe: what would be trained.
        data: the folder that its paths start from.
        device: "auto" or "cpu".

    Raises:
        RecipeError: data are missing or do not fit.
        CheckpointError: the base cannot be loaded.
    """
    pairs = load_pairs(recipe.sources, data)
    clip = load_base(recipe, choose_device(device))
    keep = recipe.images_keep
    with TemporaryDirectory() as folder:
        training, validation, _ = load_banks(
            [_first(part, 4 * part.batch) for part in pairs.training],
            [_first(part, _VALIDATED) for part in pairs.validation],
            clip,
            keep=keep,
            cache=Path(folder) / "pixels.npy",
            progress=False,
            stand_ins=load_stand_ins(recipe.stand_ins, data),
            anchors=load_anchors(recipe.anchors, data),
            anchors_together=recipe.anchors.batch if recipe.anchors else 0,
        )
        step, adapted = prepare(clip, recipe)
        if adapted is not None and not recipe.tuning.dropout:
            add_updates_to_weights(adapted)
        per_step = _seconds_per_step(step, training, recipe)
        seconds_validated = _timed(lambda: validate(step, validation, (), seed=recipe.seed))
    validated = sum(len(part.captions) for part in pairs.validation)
    per_evaluation = seconds_validated * validated / sum(validation.sizes) + sum(
        _classification(source, data, clip, keep=keep) for source in recipe.transfer
    )
    steps = recipe.duration.steps(len(pairs.training[0].captions), training.batch_sizes[0])
    # In float32, with two moments each in the saved state; half of that in the checkpoint, which a
    # full fine-tuning writes with all parameters.
    trained = sum(tensor.numel() for tensor in trainable(step).values())
    written = trained if adapted is not None else sum(p.numel() for p in step.parameters())
    images = {path for part in (*pairs.training, *pairs.validation) for path in part.images}
    return TrainingTime(
        steps=steps,
        evaluations=1 + math.ceil(steps / recipe.duration.evaluate_every),
        seconds_per_step=per_step,
        seconds_per_evaluation=per_evaluation,
        gigabytes=(4 * 3 * trained + 4 * trained + 2 * written) / 1e9,
        pixel_gigabytes=_pixel_gigabytes(clip, len(images)) if keep == "pixels" else 0.0,
    )


def _seconds_per_step(step: Step, bank: Bank, recipe: FinetuneRecipe) -> float:
    parameters = [parameter for parameter in step.parameters() if parameter.requires_grad]
    settings = recipe.optimiser
    optimiser = optimiser_for(settings.name, [{"params": parameters}], settings.arguments)
    device = parameters[0].device
    mixed = recipe.duration.precision == "bfloat16"
    random = np.random.default_rng(0)
    picked = [
        (source, int(row))
        for source, (size, batch) in enumerate(zip(bank.sizes, bank.batch_sizes, strict=True))
        for row in random.choice(size, batch, replace=size < batch)
    ]
    parts = recipe.duration.accumulate

    def take() -> None:
        loss = torch.zeros(())
        for part in range(parts):
            batch = bank.batch(
                picked[part::parts], random, probes=recipe.objective.relevance_weight > 0
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                loss = step(batch)["loss"]
            loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        loss.item()  # waits for the device

    step.train()
    take()
    return _timed(lambda: [take() for _ in range(STEPS)]) / STEPS


def _classification(source: TransferSource, data: Path, clip: Clip, *, keep: Kept) -> float:
    """Seconds that one evaluation takes for a transfer task."""
    there = len(class_folders(data / source.path, source.under).names)
    watched = source.held_out or there
    few = min(watched, _CLASSIFIED)
    some = source.model_copy(update={"held_out": few if few < there else 0})
    task = TransferTask(list_transfer(some, data), clip, keep=keep)
    seconds = _timed(task.f1)
    return seconds if keep != "pixels" else seconds * watched / few


def _pixel_gigabytes(clip: Clip, images: int) -> float:
    return 3 * math.prod(clip.images.crop) * images / 1e9


def _first(part: Pairs, rows: int) -> Pairs:
    return dataclasses.replace(
        part,
        images=part.images[:rows],
        descriptions=part.descriptions[:rows],
        captions=part.captions[:rows],
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
