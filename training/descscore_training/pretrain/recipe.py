"""The pretraining recipe: architecture, data and schedule."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from descscore.errors import RecipeError
from descscore_training.config import Part


class Source(Part):
    """One dataset of a recipe.

    A folder or a zip file holds one folder of images per class. A table (csv, optionally
    compressed) with `image_column` and `label_column` holds labelled images; with `image_column`
    and `text_columns`, images with texts; with two `text_columns` alone, pairs of texts. With
    `split` the path is a file of captions in Flickr8k's format.

    Attributes:
        name: what the log calls it.
        path: folder, zip file or table, relative to the data folder.
        batch: rows per step.
        held_out: rows kept out of training, for validation: those with the smallest SHA-256 of
            their key, the image's path or the value in `key_column`.
        under: the folder inside a zip file or folder.
        images: the folder of a table's images, relative to the data folder.
        image_column: column of image files.
        label_column: column of labels.
        text_columns: columns of texts.
        key_column: column that names the row of a table without images.
        split: a file that lists the images to train on, one per line, relative to the data folder.
        held_split: such a file of the images to validate on.
        texts_per_step: texts encoded per step, one each of random images of the batch; 0 encodes
            all texts of all of them.
        about: what it is, from whom and under which licence, for the model card.
    """

    name: str
    path: str
    batch: Annotated[int, Field(ge=1)]
    held_out: Annotated[int, Field(ge=0)] = 0
    under: str = ""
    images: str = ""
    image_column: str | None = None
    label_column: str | None = None
    text_columns: tuple[str, ...] = ()
    key_column: str | None = None
    split: str = ""
    held_split: str = ""
    texts_per_step: Annotated[int, Field(ge=0)] = 0
    about: str = ""

    @model_validator(mode="after")
    def _check_held_out(self) -> Source:
        if self.held_out and self.image_column and not self.label_column:
            raise RecipeError(
                f"source {self.name!r} holds out rows of images with texts, on which nothing is "
                "validated; omit held_out"
            )
        return self


class Architecture(Part):
    """The shape of the CLIP; both towers have the same width and depth.

    Attributes:
        width: of the residual streams.
        layers: blocks of each tower.
        heads: of each block's attention.
        projection: dimensions of the embeddings in training.
        image_size: side of the images, in pixels.
        patch_size: side of a patch, in pixels.
        window: tokens of a text at most.
        vocabulary: tokens in all.
        cosine_offset: what cosines are raised by when training is over, by one dimension more: c
            becomes about (1 - offset) c + offset.
    """

    width: int = 192
    layers: int = 6
    heads: int = 3
    projection: int = 192
    image_size: int = 64
    patch_size: int = 8
    window: int = 77
    vocabulary: int = 5000
    cosine_offset: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Schedule(Part):
    """How long and how fast to train.

    Attributes:
        steps: optimiser steps.
        warmup: steps over which the learning rate rises linearly; it then falls to 0 as a cosine.
        lr: peak learning rate of the blocks' matrices (Muon, Jordan et al. 2024, scaled to AdamW's
            update size) and of everything else (AdamW).
        weight_decay: decoupled, on the blocks' matrices.
        patch_keep: share of an image's patches that is encoded (FLIP, Li et al. 2023).
        full_from: share of the steps after which every patch is encoded.
        jitter: brightness, contrast and saturation change by up to this share.
        shift: images move by up to so many pixels in each direction, and half are mirrored.
        save_every: steps between saved states, from which an interrupted run resumes.
    """

    steps: Annotated[int, Field(ge=1)] = 3000
    warmup: int = 200
    lr: float = 2e-3
    weight_decay: float = 0.05
    patch_keep: Annotated[float, Field(gt=0, le=1)] = 0.5
    full_from: float = 0.8
    jitter: float = 0.0
    shift: int = 8
    save_every: Annotated[int, Field(ge=1)] = 250

    def rate(self, step: int) -> float:
        """The learning rate's factor at a step, in [0, 1]."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * done))

    def keep(self, step: int) -> float:
        """The share of patches encoded at a step."""
        return self.patch_keep if step < self.full_from * self.steps else 1.0


class Teaching(Part):
    """What larger models teach the CLIP: see `descscore_training.pretrain.lessons`.

    Attributes:
        photos: names of the sources whose photos the teacher sees.
        views: random crops of each photo.
        smallest: the least share of a photo's area in a crop.
        mix: share of the photos that are blended with another one, and their targets with its
            (mixup, Zhang et al. 2018); the contrastive loss does not see them.
        steps: optimiser steps of the teacher's projections.
        photo_weight: of the photos' loss, beside the contrastive losses.
        text_weight: of the texts' loss.
    """

    photos: Annotated[tuple[str, ...], Field(min_length=1)]
    views: Annotated[int, Field(ge=1)] = 6
    smallest: Annotated[float, Field(gt=0, le=1)] = 0.35
    mix: Annotated[float, Field(ge=0, le=1)] = 0.0
    steps: Annotated[int, Field(ge=1)] = 400
    photo_weight: float = 1.0
    text_weight: float = 1.0


class PretrainRecipe(Part):
    """A small CLIP and what it is trained on.

    Attributes:
        about: purpose and limits of the checkpoint, for the model card.
        seed: seed of the weights, the batches and the augmentation.
        templates: sentences made from labels; the first is used for validation.
        sources: the data.
        architecture: the shape of the CLIP.
        schedule: how it is trained.
        teacher: distillation from larger models, if any.
    """

    about: str = ""
    seed: int = 0
    templates: tuple[str, ...] = ("An image of {label}",)
    sources: tuple[Source, ...]
    architecture: Architecture = Field(default_factory=Architecture)
    schedule: Schedule = Field(default_factory=Schedule)
    teacher: Teaching | None = None

    @model_validator(mode="after")
    def _check_templates(self) -> PretrainRecipe:
        for template in self.templates:
            if "{label}" not in template:
                raise RecipeError(f"the template {template!r} lacks {{label}}")
        if not self.templates:
            raise RecipeError("templates is empty; give at least one sentence with {label}")
        names = [source.name for source in self.sources if source.images or not source.text_columns]
        for name in self.teacher.photos if self.teacher else ():
            if name not in names:
                raise RecipeError(
                    f"teacher.photos names {name!r}, which is not a source with images; choose "
                    f"from {', '.join(names)}"
                )
        return self
