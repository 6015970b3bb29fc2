"""What is fine-tuned, to which objective, on what, and for how long."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, model_validator

from descscore.errors import RecipeError
from descscore.evaluate.transfer import PROMPT
from descscore_training.config import Part
from descscore_training.pairs.rows import PairSource

AtLeast0 = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]

Kept = Literal["embeddings", "features", "pixels"]
"""Of images: unit embeddings, what the vision tower gives to its projection, or uint8 pixels."""

Schedule = Literal[
    "constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "inverse_sqrt"
]
"""Of the learning rate, by transformers' names."""


class Objective(Part):
    """What training makes true (Zur et al. 2024, section 3).

    Attributes:
        kind: "behavioral", "iit-das", "iit" (iit-das with the identity basis), or "joint".
        alpha: with "joint", the weight of iit-das; the rest is behavioral's.
        sources: of interchanges: "paired", the same image's other text; or "cross", that of another
            image in the batch, paired anew at each step; the paper samples pairs of all captions
            with all descriptions once.
        layer: of the site, counted from 1.
        dimension: of the purpose subspace.
        relevance_weight: of the term that keeps images apart: contrastive for pairs with an image,
            and for others the drift of how images rank their texts; not in the paper.
    """

    kind: Literal["behavioral", "iit-das", "iit", "joint"]
    alpha: Share = 0.5
    sources: Literal["paired", "cross"] = "paired"
    layer: Positive = 10
    # Recipes of 0.1.0 call it rank.
    dimension: Positive = Field(256, validation_alias=AliasChoices("dimension", "rank"))
    relevance_weight: AtLeast0 = 0.0

    @property
    def intervenes(self) -> bool:
        """Whether there is a subspace to learn or to train for."""
        return self.kind != "behavioral"


class Tuning(Part):
    """Which parameters are trained.

    Attributes:
        kind: "lora" (Hu et al. 2022) or "full".
        towers: "text", "vision" or "both"; a projection belongs to its tower. Or
            "text-and-projections": the text tower and the projection of images, so that image
            features can be kept; not in the paper. The logit scale is trained by full fine-tuning
            of both.
        targets: of LoRA: "attention" (all four projections), "qv" (two of them), "all-linear"
            (those, both layers of the MLPs and the towers' projections), or
            "all-linear-and-tokens" (also the text tower's token embeddings; not in the paper).
        rank: of LoRA's updates.
        alpha: LoRA scales its updates by alpha / rank; by default alpha = rank.
        dropout: before LoRA's updates.
        token_dropout: share of a text's tokens that are left out at random at each step, though
            never its ends; not in the paper.
    """

    kind: Literal["lora", "full"]
    towers: Literal["text", "vision", "both", "text-and-projections"] = "both"
    targets: Literal["attention", "qv", "all-linear", "all-linear-and-tokens"] = "attention"
    rank: Positive = 128
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    token_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Optimiser(Part):
    """How parameters move.

    Attributes:
        name: a class of `torch.optim` in lowercase, such as "adam", "adamw" or "sgd".
        lr: peak learning rate.
        rotation_lr: of the basis; by default `lr`.
        weight_decay: as the optimiser has it.
        options: other arguments of the class, such as betas.
        schedule: of the learning rate after the warmup; see `Schedule`.
        warmup: steps of a linear rise at the start.
        clip_norm: largest gradient norm; 0 does not clip.
    """

    name: str = "adam"
    lr: AtLeast0
    rotation_lr: AtLeast0 | None = None
    weight_decay: AtLeast0 = 0.0
    options: dict[str, Any] = Field(default_factory=dict)
    schedule: Schedule = "constant"
    warmup: Count = 0
    clip_norm: AtLeast0 = 0.0

    @property
    def arguments(self) -> dict[str, Any]:
        """What the class is called with."""
        return {"lr": self.lr, "weight_decay": self.weight_decay, **self.options}


class Duration(Part):
    """How long, and how often it is looked at.

    Attributes:
        epochs: passes over the first source.
        epoch_pairs: pairs of the first source in an epoch; 0 means each once.
        evaluate_every: steps between evaluations.
        save_minutes: an evaluation saves the state to resume from if its step is the best so far,
            the last, or as long after the last save. A state of full tuning is three times as large
            as the weights.
        patience: epochs without a better validation preference after which it stops; 0 never.
        accumulate: parts that a batch is computed in, to save memory.
        precision: "float32", or "bfloat16" for autocast; rotations are in float32 in any case.
    """

    epochs: AtLeast0 = 10
    epoch_pairs: Count = 0
    evaluate_every: Positive = 1000
    save_minutes: AtLeast0 = 0
    patience: AtLeast0 = 5
    accumulate: Positive = 1
    precision: Literal["float32", "bfloat16"] = "float32"

    def epoch_steps(self, pairs: int, batch: int) -> float:
        """Steps of an epoch, with fractions.

        Args:
            pairs: of the first source.
            batch: of those in a step.
        """
        return (self.epoch_pairs or pairs) / batch

    def steps(self, pairs: int, batch: int) -> int:
        """Steps in all; patience may end training before. Takes what `epoch_steps` does."""
        return max(1, math.ceil(self.epochs * self.epoch_steps(pairs, batch)))


class TransferSource(Part):
    """Class folders whose zero-shot macro-F1 is watched.

    Attributes:
        name: what the log calls it.
        path: a folder or a zip file, relative to the data folder.
        under: the folder inside it.
        held_out: take only this many images, those with the smallest SHA-256 of their path; 0
            takes all.
    """

    name: str
    path: str
    under: str = ""
    held_out: Count = 0


class StandInSource(Part):
    """A folder or zip file of images; a fifth of those taken stands in in validation only.

    Attributes:
        path: relative to the data folder.
        under: the folder inside.
        take: only so many, those with the largest SHA-256 of their path; 0 takes all.
    """

    path: str
    under: str = ""
    take: Count = 0

    @model_validator(mode="after")
    def _check_take(self) -> StandInSource:
        if 0 < self.take < 5:
            raise RecipeError(f"stand_ins: take is {self.take}; it must be 0 or at least 5")
        return self


class Anchors(Part):
    """Texts of a kind that is no description or caption, which images should rank as before.

    The relevance term holds the drift of some of them at every step; not in the paper.

    Attributes:
        path: a table of labels, relative to the data folder.
        column: of the labels.
        template: what is made of a label.
        batch: anchors in a step.
    """

    path: str
    column: str = "label"
    template: str = PROMPT
    batch: Annotated[int, Field(ge=2)] = 32

    @model_validator(mode="after")
    def _check_template(self) -> Anchors:
        if "{label}" not in self.template:
            raise RecipeError(
                f"anchors.template is {self.template!r}; it must hold {{label}}, as {PROMPT!r} does"
            )
        return self


class Reader(Part):
    """The probe that reads descriptions from the subspace, trained along; not in the paper.

    Attributes:
        weight: of its cross-entropy.
        teacher: learn the probabilities that a sentence encoder gives, which was fine-tuned on the
            same pairs (distillation, Hinton et al. 2015); else which text is the description.
        epochs: of the teacher's fine-tuning.
        lr: of the teacher's fine-tuning.
    """

    weight: AtLeast0 = 1.0
    teacher: bool = True
    epochs: AtLeast0 = 1
    lr: AtLeast0 = 1e-4


class Measurement(Part):
    """Data that the finished checkpoint is measured on, once, for its card.

    Attributes:
        name: what the card calls it.
        path: relative to the data folder: Concadia's folder, Flickr8k's, or class folders or a zip
            file of them.
        split: of Concadia, such as "test"; empty takes all.
        under: of class folders: the folder inside.
    """

    name: str
    path: str
    split: str = ""
    under: str = ""


class FinetuneRecipe(Part):
    """A fine-tuning run.

    Attributes:
        about: what it is for and what must be known of it, for the model card.
        seed: of LoRA's start, the basis, the order of the data and dropout.
        base: a plain CLIP: a Hub id, a folder, or "mini/base".
        base_revision: its commit on the Hub.
        trade_off: weight of preference against transfer in the choice of the step.
        relevance_drop: steps whose relevance on validation data is lower than the base's by more
            than this are not chosen; by default relevance has no say, as in the paper.
        objective: what training makes true.
        tuning: which parameters are trained.
        optimiser: how they move.
        duration: how long.
        sources: pairs of a description and a caption of one image.
        stand_ins: images without texts that stand in for missing ones too, beside those of other
            rows.
        anchors: texts that images should rank as before; idle without a relevance weight.
        reader: whether the probe is trained along, and from what.
        transfer: classification that the choice of the step looks at.
        watch: a part of Concadia whose preference is logged at every evaluation, as in the paper's
            figure 3; nothing is chosen by it.
        measure: what the finished checkpoint is measured on, before and after; nothing is chosen
            by it.
    """

    about: str = ""
    seed: Count = 0
    base: str
    base_revision: str | None = None
    trade_off: Share = 0.9
    relevance_drop: AtLeast0 | None = None
    objective: Objective
    tuning: Tuning
    optimiser: Optimiser
    duration: Duration = Field(default_factory=Duration)
    sources: tuple[PairSource, ...]
    stand_ins: tuple[StandInSource, ...] = ()
    anchors: Anchors | None = None
    reader: Reader | None = None
    transfer: tuple[TransferSource, ...] = ()
    watch: Measurement | None = None
    measure: tuple[Measurement, ...] = ()

    @model_validator(mode="after")
    def _check_fit(self) -> FinetuneRecipe:
        _named_once("transfer", [task.name for task in self.transfer])
        # The choice of the step is measured under that name.
        _named_once("measure", [*(part.name for part in self.measure), "validation"])
        if not self.sources:
            raise RecipeError("sources is empty; give at least one table of pairs")
        if self.reader is not None and not self.objective.intervenes:
            raise RecipeError(
                f"reader is set, but the objective {self.objective.kind!r} has no subspace to read "
                "from; remove it or choose another objective"
            )
        if self.objective.sources == "cross" and self.batch // self.duration.accumulate < 2:
            raise RecipeError(
                "objective.sources is 'cross', which takes another pair of the batch, but a part "
                f"of it has {self.batch // self.duration.accumulate}; raise a source's batch or "
                "lower duration.accumulate"
            )
        if self.stand_ins and not any(source.image_free for source in self.sources):
            raise RecipeError(
                "stand_ins names folders of images, but no source takes rows without an image; "
                "set a source's image_free, or leave stand_ins out"
            )
        if self.images_keep != "embeddings" and any(
            source.image_free == "mean" for source in self.sources
        ):
            raise RecipeError(
                "image_free is 'mean', but embeddings of images are trained, so that the mean "
                "changes at every step; set tuning.towers = 'text', or image_free = 'random'"
            )
        return self

    @property
    def batch(self) -> int:
        """Pairs of a step."""
        return sum(source.batch for source in self.sources)

    @property
    def images_keep(self) -> Kept:
        """What stays the same of an image while this trains, and is computed once."""
        kept: dict[str, Kept] = {"text": "embeddings", "text-and-projections": "features"}
        return kept.get(self.tuning.towers, "pixels")


def _named_once(what: str, names: list[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise RecipeError(f"two parts of {what} are named {twice[0]!r}; rename one of them")
