"""How long the evaluations of a checkpoint take here, from a few images and texts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.store import resolve_checkpoint
from descscore.datasets.image_folders import class_folders
from descscore.metric import DescriptionScore
from descscore_training.study.concadia import concadia_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from descscore.inputs.pairs import ImageInput
    from descscore_training.study.study import Study

_TIMED = 64
_EXPLAINED = 2


@dataclass(frozen=True, kw_only=True)
class MeasuringTime:
    """The evaluations of one checkpoint, as a few images and texts foretell.

    Attributes:
        images: that are embedded; once for all checkpoints whose vision tower is the base's.
        texts: that are embedded.
        explained: texts whose words are attributed.
        seconds_per_image: decoding included.
        seconds_per_text: as they come, most of them short.
        seconds_per_explanation: of one text with its image.
    """

    images: int
    texts: int
    explained: int
    seconds_per_image: float
    seconds_per_text: float
    seconds_per_explanation: float

    def seconds(self, *, own_images: bool) -> float:
        """Of one checkpoint, without the intervals' resamples.

        Args:
            own_images: whether its vision tower is its own.
        """
        seconds = self.texts * self.seconds_per_text
        seconds += self.explained * self.seconds_per_explanation
        return seconds + (self.images * self.seconds_per_image if own_images else 0.0)


def time_measuring(study: Study, data: Path, device: str) -> MeasuringTime:
    """Time the base on some of the evaluations' images and texts.

    Raises:
        TableError, InputError: data are missing or not what the study says.
        CheckpointError: the base cannot be loaded.
    """
    checkpoint = resolve_checkpoint(study.base, revision=study.base_revision)
    metric = DescriptionScore(
        checkpoint.name,
        revision=checkpoint.revision,
        device=device,
        dtype="float32",
        batch_size=256,
        on_error="record",
    )
    images, texts = 0, 0
    per_image = per_text = per_explanation = 0.0
    explained = 0
    some: list[Any] = []
    for task in study.transfer:
        folders = class_folders(data / task.path, task.under)
        images += len(folders.names)
        texts += len(folders.classes)
        some = list(islice(folders.read(), _TIMED))
    if some:
        per_image = _per_item(lambda: metric.embed_images(some), some)
    if study.concadia is not None:
        examples = concadia_examples(study.concadia, data)
        images += len(examples)
        texts += 2 * len(examples)
        some = [example.image for example in examples[:_TIMED]]
        # Larger images take longer to decode.
        per_image = max(per_image, _per_item(lambda: metric.embed_images(some), some))
        written = [example.description for example in examples[:_TIMED]]
        per_text = _per_item(lambda: metric.embed_texts(written), written)
        if study.norms is not None:
            few = examples[:_EXPLAINED]
            shown: list[ImageInput] = [example.image for example in few]
            explained = 2 * min(study.norms.sample, len(examples))
            per_explanation = _per_item(
                lambda: metric.explain(shown, [example.description for example in few]),
                few,
            )
    return MeasuringTime(
        images=images,
        texts=texts,
        explained=explained,
        seconds_per_image=per_image,
        seconds_per_text=per_text,
        seconds_per_explanation=per_explanation,
    )


def _per_item(work: Callable[[], object], items: Sequence[object]) -> float:
    work()
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / len(items)
