"""One step's forward pass: the terms of the objective from one run of each text and image.

And what a text tower gives for many texts, without gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize

from descscore.errors import RecipeError
from descscore.purpose.subspace import LearnedBasis, Site, identity_basis, interchange
from descscore.towers.clip import (
    batches_by_length,
    blocks,
    embed_images,
    embed_texts,
    pad,
    project_images,
    text_width,
    without_autocast,
)
from descscore.towers.clip_text import run_on, run_texts
from descscore.towers.protocol import TextRun
from descscore_training.objective import behavioral, drift, iit_das, joint, reader, relevance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, Int
    from torch import Tensor
    from transformers import CLIPModel

    from descscore_training.finetune_recipe import Objective

    OfPairs = tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]

_TOKENS_TOGETHER = 4096


@dataclass(frozen=True, kw_only=True)
class AnchorBatch:
    """Some texts of one kind that should not drift.

    Attributes:
        texts: token ids.
        images: those that rank them, as `Batch.images`; None for the batch's probes.
    """

    texts: Sequence[Sequence[int]]
    images: Float[Tensor, "probe ..."] | None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some pairs, ready for the model.

    Attributes:
        captions: token ids.
        descriptions: token ids.
        images: what is kept of them: unit embeddings, features, or normalised pixels.
        own_image: whether the pair's image is its own, and no stand-in.
        probes: images, as `images`, in whose eyes texts without one should not drift.
        anchors: other texts that should not drift either.
        read: probabilities of being a description, those of captions and those of descriptions,
            that the probe should give.
    """

    captions: Sequence[Sequence[int]]
    descriptions: Sequence[Sequence[int]]
    images: Float[Tensor, "pair ..."]
    own_image: Bool[Tensor, " pair"]
    probes: Float[Tensor, "probe ..."] | None = None
    anchors: Sequence[AnchorBatch] = ()
    read: OfPairs | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a step makes of a batch.

    Attributes:
        images: unit embeddings, as those of captions and descriptions.
        captions: of the pairs' captions.
        descriptions: of their descriptions.
        caption: logits of captions.
        description: logits of descriptions.
        interchanged: logits of captions with descriptions' coordinates, and of descriptions with
            captions'; None if nothing needs them.
        read: the probe's logits of captions and of descriptions; None unless it is trained.
    """

    images: Float[Tensor, "pair width"]
    captions: Float[Tensor, "pair width"]
    descriptions: Float[Tensor, "pair width"]
    caption: Float[Tensor, " pair"]
    description: Float[Tensor, " pair"]
    interchanged: OfPairs | None
    read: OfPairs | None


class Step(nn.Module):
    """A CLIP and its basis in training.

    Args:
        model: whose parameters may have LoRA's updates beside them.
        objective: what training makes true.
        seed: of the basis to start from.
        texts_together: texts that run through the tower in one rectangle, grouped by length.
        features: whether batches hold features of images where they hold no pixels.
        base: the model as it was, for the drift of texts without images.
        reader_weight: of the probe's loss; 0 leaves the probe to be fitted afterwards.

    Raises:
        RecipeError: the model's text tower has no such layer, or is not wider than the subspace.
    """

    def __init__(
        self,
        model: CLIPModel,
        objective: Objective,
        *,
        seed: int,
        texts_together: int,
        features: bool = False,
        base: CLIPModel | None = None,
        reader_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.reader_weight = reader_weight
        self.probe: nn.Linear | None = None
        self.model = model
        self.objective = objective
        self.texts_together = texts_together
        self.features = features
        # In a tuple, since it is no part of what is trained, moved or saved.
        self.base = (base,)
        layers = len(blocks(model))
        # Without interventions the loss takes no notice of the site, so the last block will do.
        self.site = Site(layer=min(objective.layer, layers))
        self.learned: LearnedBasis | None = None
        self.register_buffer("fixed", None)
        if objective.intervenes:
            check_site(objective, model)
            width = text_width(model)
            if objective.kind == "iit":
                self.register_buffer("fixed", identity_basis(width, objective.dimension), False)
            else:
                self.learned = LearnedBasis(width, objective.dimension, seed=seed)
            if reader_weight:
                self.probe = nn.Linear(objective.dimension, 1)
                nn.init.ones_(self.probe.weight)
                nn.init.zeros_(self.probe.bias)

    def basis(self) -> Float[Tensor, "width dimension"] | None:
        """The subspace's basis as it is now; None if the objective has none."""
        return self.get_buffer("fixed") if self.learned is None else self.learned()

    @parametrize.cached()
    def forward(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The terms in nats per pair, and their weighted sum as "loss"."""
        objective = self.objective
        found = self.outputs(batch)
        losses = {}
        if objective.kind in {"behavioral", "joint"}:
            losses["behavioral"] = behavioral(found.caption, found.description)
        if found.interchanged is not None:
            losses["iit"] = iit_das(found.caption, found.description, *found.interchanged)
        if objective.kind == "joint":
            total = joint(objective.alpha, losses["iit"], losses["behavioral"])
        else:
            total = next(iter(losses.values()))
        if batch.read is not None and found.read is not None:
            losses["reader"] = reader(found.read, batch.read)
            total = total + self.reader_weight * losses["reader"]
        if objective.relevance_weight:
            losses["relevance"] = self._relevance(batch, found)
            total = total + objective.relevance_weight * losses["relevance"]
        return {"loss": total, **losses}

    def _relevance(self, batch: Batch, found: Outputs) -> Float[Tensor, ""]:
        """The contrastive loss of pairs with images, plus the drift of other texts.

        Of those, captions and descriptions without an image count half each, and each kind of
        anchors once.
        """
        scale = self.model.logit_scale.exp()
        total = relevance(found.images, found.captions, found.descriptions, batch.own_image, scale)
        free = (~batch.own_image).nonzero()[:, 0].tolist()
        (base,) = self.base
        if base is None or batch.probes is None:
            return total
        probes = self._seen_by_both(batch.probes, base)
        parts = []
        if free:
            parts += [
                (found.captions[free], [batch.captions[row] for row in free], probes, 0.5),
                (found.descriptions[free], [batch.descriptions[row] for row in free], probes, 0.5),
            ]
        for anchors in batch.anchors:
            now = embed_texts(self.model, pad(anchors.texts, found.images.device))
            eyes = probes if anchors.images is None else self._seen_by_both(anchors.images, base)
            parts.append((now, anchors.texts, eyes, 1.0))
        for now, tokens, (eyes, base_eyes), weight in parts:
            before = embed_token_ids(base, tokens)
            total = total + weight * drift(eyes, now, base_eyes, before, scale)
        return total

    def _seen_by_both(
        self, images: Float[Tensor, "image ..."], base: CLIPModel
    ) -> tuple[Float[Tensor, "image width"], Float[Tensor, "image width"]]:
        """Unit embeddings of images by the model and by its base."""
        with torch.no_grad():
            before = self._embedded(images, base)
        return self._embedded(images), before

    def _embedded(
        self, images: Float[Tensor, "image ..."], model: CLIPModel | None = None
    ) -> Float[Tensor, "image width"]:
        """Unit embeddings of images, of which a batch holds what stays the same."""
        model = self.model if model is None else model
        if images.ndim > 2:
            return embed_images(model, images)
        return project_images(model, images) if self.features else images

    @parametrize.cached()
    def outputs(self, batch: Batch, *, interchanges: bool = True) -> Outputs:
        """The logits and unit embeddings of a batch.

        Args:
            batch: the pairs.
            interchanges: whether terms of the subspace are computed, if the objective has one.
        """
        pairs = len(batch.captions)
        images = self._embedded(batch.images)
        basis = self.basis() if interchanges else None
        runs, rows = self._run([*batch.captions, *batch.descriptions], keep=basis is not None)
        embeddings = _in_order([run.embeddings for run in runs], rows)
        scale = self.model.logit_scale.exp()

        def logits(texts: Float[Tensor, "text width"]) -> OfPairs:
            captions, descriptions = (
                scale * (images.float() * side).sum(1) for side in texts.split(pairs)
            )
            return captions, descriptions

        interchanged = read = None
        if basis is not None:
            states = _in_order([run.site for run in runs], rows)
            if self.probe is not None:
                with without_autocast(states.device):
                    read = self.probe(states.float() @ basis)[:, 0].split(pairs)
            sources = self._sources(states)
            states = interchange(states, sources, basis)
            parts = [
                run_on(self.model, run, states[of_run], self.site.layer)
                for run, of_run in zip(runs, rows, strict=True)
            ]
            interchanged = logits(_in_order(parts, rows))
        captions, descriptions = embeddings.split(pairs)
        caption, description = logits(embeddings)
        return Outputs(
            images=images,
            captions=captions,
            descriptions=descriptions,
            caption=caption,
            description=description,
            interchanged=interchanged,
            read=read,
        )

    def _sources(self, states: Float[Tensor, "text width"]) -> Float[Tensor, "text width"]:
        """The activations of each text's source, captions' first.

        A caption's source is a description and the other way round: the same pair's, or with
        "cross" the next pair's; pairs come in random order.
        """
        captions, descriptions = states.chunk(2)
        if self.objective.sources == "cross":
            captions, descriptions = captions.roll(-1, 0), descriptions.roll(-1, 0)
        return torch.cat([descriptions, captions])

    def _run(
        self, tokens: Sequence[Sequence[int]], *, keep: bool
    ) -> tuple[list[TextRun], list[Int[Tensor, " text"]]]:
        """Runs of texts of similar length, and the rows that each has."""
        device = self.model.logit_scale.device
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        runs, rows = [], []
        for first in range(0, len(order), self.texts_together):
            part = order[first : first + self.texts_together]
            ends = torch.tensor([len(tokens[row]) - 1 for row in part], device=device)
            ids = pad([tokens[row] for row in part], device)
            runs.append(run_texts(self.model, ids, ends, self.site.layer, keep=keep))
            rows.append(torch.tensor(part, device=device))
        return runs, rows


def check_site(objective: Objective, model: CLIPModel) -> None:
    """Refuse a site or a subspace that the text tower has no room for.

    Raises:
        RecipeError: there is no such layer, or the tower is not wider than the subspace.
    """
    if not objective.intervenes:
        return
    layers, width = len(blocks(model)), text_width(model)
    for name, value, most in (
        ("layer", objective.layer, layers),
        ("dimension", objective.dimension, width - 1),
    ):
        if value > most:
            raise RecipeError(
                f"objective.{name} is {value}; give one from 1 to {most}, for a text tower of "
                f"{layers} blocks and width {width}"
            )


def _in_order(
    parts: list[Float[Tensor, "_ width"]], rows: list[Int[Tensor, " _"]]
) -> Float[Tensor, "text width"]:
    """Join what was computed by parts, each row at its place."""
    return torch.cat(parts)[torch.cat(rows).argsort()]


def embed_token_ids(
    model: CLIPModel, tokens: Sequence[Sequence[int]]
) -> Float[Tensor, "text width"]:
    """Unit embeddings of texts of any lengths, in float32 on the model's device."""
    return run_by_length(model, tokens, lambda ids, _: embed_texts(model, ids))


@torch.no_grad()
def run_by_length(
    model: CLIPModel,
    tokens: Sequence[Sequence[int]],
    run: Callable[[Int[Tensor, "text token"], Int[Tensor, " text"]], Float[Tensor, "text width"]],
) -> Float[Tensor, "text width"]:
    """What a function gives for texts of any lengths, called with those of similar length.

    Args:
        model: on whose device they are.
        tokens: of the texts.
        run: takes padded token ids and the position of each text's end.
    """
    device = model.logit_scale.device
    parts, rows = [], []
    for batch in batches_by_length([len(ids) for ids in tokens], _TOKENS_TOGETHER):
        ends = torch.tensor([len(tokens[row]) - 1 for row in batch], device=device)
        parts.append(run(pad([tokens[row] for row in batch], device), ends))
        rows += batch
    return torch.cat(parts)[torch.tensor(rows, device=device).argsort()]
