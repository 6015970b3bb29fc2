"""The fine-tuning recipe: base, objective, data and schedule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AliasChoices, Field, model_validator

from descscore.errors import RecipeError
from descscore.evaluate.transfer import PROMPT
from descscore_training.choice import Choice, Evaluation, Share, choose
from descscore_training.config import Part, check_once
from descscore_training.pairs.rows import PairSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AtLeast0 = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]

Kept = Literal["embeddings", "features", "pixels"]
"""What is cached of images: unit embeddings, the projection's inputs, or uint8 pixels."""

Schedule = Literal[
    "constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "inverse_sqrt"
]
"""Learning-rate schedules, by transformers' names."""


class Objective(Part):
    """The training objective (Zur et al. 2024, section 3).

    Attributes:
        kind: "behavioral", "iit-das", "iit" (iit-das with the identity basis), or "joint".
        alpha: with "joint", the weight of iit-das; behavioral has the rest.
        sources: where interchanged coordinates come from: "paired", the same image's other text;
            or "cross", another image's in the batch, drawn again at each step. The paper samples
            pairs of all captions with all descriptions once.
        layer: the block after which the site is, counted from 1.
        dimension: dimension of the purpose subspace.
        relevance_weight: weight of the relevance term, which keeps texts of different images
            apart: a contrastive loss for pairs with an image, and for others the drift in how
            images rank their texts. Not in the paper.
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
        towers: "text", "vision" or "both", each with its projection; or "text-and-projections",
            the text tower and the image projection, so that image features can be cached (not in
            the paper). Full fine-tuning of both also trains the logit scale.
        targets: layers that LoRA adapts: "attention" (all four projections), "qv" (two of them),
            "all-linear" (attention, both layers of the MLPs and the towers' projections), or
            "all-linear-and-tokens" (also the text tower's token embeddings; not in the paper).
        rank: rank of LoRA's updates.
        alpha: LoRA scales its updates by alpha / rank; by default alpha = rank.
        dropout: dropout before LoRA's updates.
        token_dropout: share of a text's tokens dropped at random at each step, except the start
            and end tokens; not in the paper.
    """

    kind: Literal["lora", "full"]
    towers: Literal["text", "vision", "both", "text-and-projections"] = "both"
    targets: Literal["attention", "qv", "all-linear", "all-linear-and-tokens"] = "attention"
    rank: Positive = 128
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    token_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Optimiser(Part):
    """The optimiser and its learning rate.

    Attributes:
        name: a class of `torch.optim` in lowercase, such as "adam", "adamw" or "sgd".
        lr: peak learning rate.
        rotation_lr: learning rate of the basis; by default `lr`.
        weight_decay: the optimiser's weight decay.
        options: other arguments of the class, such as betas.
        schedule: learning-rate schedule after the warmup: see `Schedule`.
        warmup: number of steps of linear warmup.
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
    """How long to train, and how often to evaluate and save.

    Attributes:
        epochs: passes over the first source.
        epoch_pairs: pairs of the first source in an epoch; 0 means each once.
        evaluate_every: steps between evaluations.
        save_minutes: an evaluation saves the state to resume from if its step is the best so far
            or the last, or if the last save is this many minutes ago. With full tuning, a state is
            three times as large as the weights.
        patience: stop after this many epochs without a better validation preference; 0 never stops.
        accumulate: number of parts that a batch is computed in, to save memory.
        precision: "float32", or "bfloat16" for autocast; rotations are always in float32.
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
            pairs: number of pairs of the first source.
            batch: number of them in a step.
        """
        return (self.epoch_pairs or pairs) / batch

    def steps(self, pairs: int, batch: int) -> int:
        """Steps of the whole run, unless patience ends it early. Arguments as of `epoch_steps`."""
        return max(1, math.ceil(self.epochs * self.epoch_steps(pairs, batch)))


class TransferSource(Part):
    """Class folders whose zero-shot macro-F1 is measured at every evaluation.

    Attributes:
        name: its name in the log.
        path: a folder or a zip file, relative to the data folder.
        under: the folder inside it.
        held_out: use only this many images, those with the smallest SHA-256 of their path; 0
            uses all.
    """

    name: str
    path: str
    under: str = ""
    held_out: Count = 0


class StandInSource(Part):
    """A folder or zip file of stand-in images, a fifth of them for validation only.

    Attributes:
        path: a folder or a zip file, relative to the data folder.
        under: the folder inside it.
        take: use only this many images, those with the largest SHA-256 of their path; 0 uses all.
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
    """Texts that images should keep ranking as the base does: labels, or captions of photos.

    The relevance term penalises the drift of some of them at every step; not in the paper.

    Attributes:
        path: a table of labels, or with `images` a file of captions, lines
            `image.jpg#0<TAB>caption` as in Flickr8k; relative to the data folder, as all paths.
        column: column of the labels.
        template: the text made from a label.
        images: the folder of the captions' photos, which then rank the captions of a step; labels
            are ranked by images of the training pairs.
        split: a file with the names of the photos to take.
        batch: number of anchors in a step.
    """

    path: str
    column: str = "label"
    template: str = PROMPT
    images: str = ""
    split: str = ""
    batch: Annotated[int, Field(ge=2)] = 32

    @model_validator(mode="after")
    def _check_parts(self) -> Anchors:
        if bool(self.images) != bool(self.split):
            raise RecipeError(
                f"anchors {self.path!r}: captions need both images and split; labels need neither"
            )
        if "{label}" not in self.template:
            raise RecipeError(
                f"anchors.template is {self.template!r}; it must contain {{label}}, like {PROMPT!r}"
            )
        return self


class Reader(Part):
    """The probe that reads purpose from the subspace, trained jointly; not in the paper.

    Attributes:
        weight: weight of its cross-entropy.
        teacher: learn from the probabilities of a sentence encoder fine-tuned on the same pairs
            (distillation, Hinton et al. 2015); otherwise from the labels.
        epochs: epochs of the teacher's fine-tuning.
        lr: learning rate of the teacher's fine-tuning.
    """

    weight: AtLeast0 = 1.0
    teacher: bool = True
    epochs: AtLeast0 = 1
    lr: AtLeast0 = 1e-4


class Measurement(Part):
    """Data that the finished checkpoint is measured on, once, for its model card.

    Attributes:
        name: its name in the model card.
        path: Concadia's folder, Flickr8k's, or class folders or a zip file of them, relative to
            the data folder.
        split: Concadia's split, such as "test"; empty uses all.
        under: for class folders, the folder inside.
    """

    name: str
    path: str
    split: str = ""
    under: str = ""


class FinetuneRecipe(Part):
    """A fine-tuning run.

    Attributes:
        about: purpose and limits of the checkpoint, for the model card.
        seed: seed of LoRA's initialisation, the basis, the data order and dropout.
        base: a plain CLIP: a Hub id, a folder, or "mini/base".
        base_revision: its commit on the Hub.
        trade_off: weight of preference against transfer when the best step is chosen.
        relevance_drop: steps whose validation relevance is more than this below the base's are
            not chosen; by default relevance is ignored, as in the paper.
        objective: the training objective.
        tuning: which parameters are trained.
        optimiser: the optimiser and its learning rate.
        duration: how long to train, and how often to evaluate and save.
        sources: pairs of a description and a caption of the same image.
        stand_ins: further images without texts that replace missing ones.
        anchors: texts that images should keep ranking as the base does; unused without a
            relevance weight.
        reader: the probe, if it is trained jointly.
        transfer: classification tasks that count when the best step is chosen.
        watch: a part of Concadia whose preference is logged at every evaluation, as in the paper's
            figure 3; not used to choose the step.
        measure: what the base and the finished checkpoint are measured on; not used to choose the
            step.
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
    anchors: tuple[Anchors, ...] = ()
    reader: Reader | None = None
    transfer: tuple[TransferSource, ...] = ()
    watch: Measurement | None = None
    measure: tuple[Measurement, ...] = ()

    @model_validator(mode="after")
    def _check_fit(self) -> FinetuneRecipe:
        check_once("transfer tasks", [task.name for task in self.transfer])
        # The choice of the step is measured under that name.
        check_once("parts of measure", [*(part.name for part in self.measure), "validation"])
        if not self.sources:
            raise RecipeError("sources is empty; give at least one table of pairs")
        if self.reader is not None and not self.objective.intervenes:
            raise RecipeError(
                f"reader is set, but the objective {self.objective.kind!r} has no subspace to read "
                "from; remove it or choose another objective"
            )
        if self.stand_ins and not any(source.image_free for source in self.sources):
            raise RecipeError(
                "stand_ins names folders of images, but no source takes rows without an image; "
                "set a source's image_free, or omit stand_ins"
            )
        return self

    def check_parts(self, pairs: int, processes: int) -> None:
        """Refuse a batch whose parts would not be equal, or leave no pair another as its source.

        Args:
            pairs: of a batch.
            processes: that share it.

        Raises:
            RecipeError: its parts are not equal or too small.
        """
        parts = processes * self.duration.accumulate
        among = f"among {processes} processes with {self.duration.accumulate} parts each"
        if pairs % parts:
            raise RecipeError(
                f"a batch has {pairs} pairs, which cannot be shared evenly {among}; change a "
                "source's batch or duration.accumulate"
            )
        objective = self.objective
        if objective.intervenes and objective.sources == "cross" and pairs // parts < 2:
            raise RecipeError(
                "objective.sources is 'cross', which takes another pair of the batch, but shared "
                f"{among} there is one; raise a source's batch, or lower duration.accumulate"
            )

    def choose(self, evaluations: Sequence[Evaluation]) -> Choice:
        """The step to keep of a run's evaluations. Raises what `choice.choose` does."""
        return choose(evaluations, alpha=self.trade_off, relevance_drop=self.relevance_drop)

    def data_paths(self) -> Iterator[tuple[str, str]]:
        """All that it reads: the part that names it, and its path relative to the data folder."""
        for source in self.sources:
            yield f"source {source.name!r}", source.path
            if source.images:
                yield f"source {source.name!r}", source.images
        yield from (("stand_ins", part.path) for part in self.stand_ins)
        for part in self.anchors:
            paths = filter(None, (part.path, part.images, part.split))
            yield from (("anchors", path) for path in paths)
        yield from ((f"transfer {part.name!r}", part.path) for part in self.transfer)
        if self.watch is not None:
            yield f"watch {self.watch.name!r}", self.watch.path
        yield from ((f"measure {part.name!r}", part.path) for part in self.measure)

    @property
    def batch(self) -> int:
        """Pairs of a step."""
        return sum(source.batch for source in self.sources)

    @property
    def images_keep(self) -> Kept:
        """What stays constant for an image during training, and is computed once."""
        kept: dict[str, Kept] = {"text": "embeddings", "text-and-projections": "features"}
        return kept.get(self.tuning.towers, "pixels")
