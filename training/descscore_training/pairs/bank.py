"""Pairs ready for the model: token ids, and what is kept of each distinct image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from descscore.errors import RecipeError
from descscore.inputs.decode import default_workers
from descscore.pipeline import embed_images as embed_files
from descscore.towers.clip import image_features, without_autocast
from descscore.towers.encoder import Encoder
from descscore_training.pairs.pixels import image_inputs, open_pixels
from descscore_training.pairs.sampling import leave_out
from descscore_training.step import AnchorBatch, Batch, embed_token_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float, Int, UInt8
    from torch import Tensor

    from descscore.checkpoints.attach import Clip
    from descscore_training.finetune_recipe import Kept
    from descscore_training.pairs.sources import AnchorTexts, PairData, Pairs
    from descscore_training.step import OfPairs

_NONE = -1
_PROBES = 32


@dataclass(frozen=True, kw_only=True)
class Images:
    """What is kept of distinct images.

    Attributes:
        clip: whose vision tower takes them.
        content: unit embeddings or features on the model's device, or uint8 pixels mapped into
            memory.
        failed: position -> why it cannot be read.
    """

    clip: Clip
    content: Tensor | np.ndarray
    failed: dict[int, str]

    def take(self, rows: Int[np.ndarray, " row"]) -> Float[Tensor, "row ..."]:
        """Unit embeddings, features, or normalised pixels, on the model's device."""
        device = self.clip.model.logit_scale.device
        if isinstance(self.content, np.ndarray):
            return self.clip.images.normalise(torch.from_numpy(self.content[rows]).to(device))
        return self.content[torch.from_numpy(rows).to(device)]


def load_images(
    paths: Sequence[Path], clip: Clip, *, keep: Kept, cache: Path, progress: bool
) -> Images:
    """Embed images once, or decode them once for a vision tower that is trained.

    Args:
        paths: distinct images.
        clip: on the device to train on.
        keep: what stays the same of them in training.
        cache: the file for pixels.
        progress: whether to show a bar.
    """
    workers = default_workers()
    if keep != "pixels":
        encoder = Encoder if keep == "embeddings" else _FeatureEncoder
        embeddings, errors = embed_files(
            encoder(clip.towers, clip.images),
            list(image_inputs(paths)),
            batch_size=64,
            workers=workers,
            progress=progress,
        )
        # A copy, since training cannot use tensors made in inference mode.
        content = embeddings.clone()
    else:
        pixels = open_pixels(paths, clip.images, cache, workers=workers, progress=progress)
        content, errors = pixels.images, pixels.failed
    # Most errors begin with the path, which is said wherever they are.
    failed = {row: str(why).removeprefix(f"({str(paths[row])!r}) ") for row, why in errors.items()}
    return Images(clip=clip, content=content, failed=failed)


class _FeatureEncoder(Encoder):
    """Gives what the vision tower gives to its projection, in place of embeddings."""

    @property
    def width(self) -> int:
        """Dimensions of the features."""
        return self.towers.model.visual_projection.in_features

    @torch.inference_mode()
    def images(self, pixels: UInt8[Tensor, "image row column 3"]) -> Float[Tensor, "image feature"]:
        """Features of cropped images, in float32 on the model's device."""
        values = self.transform.normalise(pixels.to(self.device)).to(self.towers.model.dtype)
        with without_autocast(self.device):
            return image_features(self.towers.model, values)


class _Row(NamedTuple):
    """A pair: the position of its image or none, token ids, and what the probe should give."""

    image: int
    caption: list[int]
    description: list[int]
    read: tuple[Tensor, Tensor] | None


class _Anchors(NamedTuple):
    texts: list[list[int]]
    # Positions of their images; None for texts without.
    rows: Int[np.ndarray, " text"] | None
    batch: int


class Bank:
    """Some sources' pairs, from which batches are taken by source and row.

    Args:
        parts: the sources.
        images: all images of all sources.
        row_of: a path's position among them.
        others: positions of images that stand in for missing ones.
        embed_texts: also embed the texts of pairs without an image, with the model as it is now.
        anchors: texts that should not drift, some of which come with every batch that has probes.
        read: by source, the probabilities that the probe should give to captions and descriptions.
    """

    def __init__(
        self,
        parts: Sequence[Pairs],
        images: Images,
        row_of: dict[Path, int],
        *,
        others: Int[np.ndarray, " image"],
        embed_texts: bool,
        anchors: Sequence[AnchorTexts] = (),
        read: Sequence[OfPairs] = (),
    ) -> None:
        self.images = images
        self.others = others
        self.batch_sizes = [part.batch for part in parts]
        self.rows: list[list[_Row]] = []
        # Of captions and of descriptions, in the order of sources and rows.
        self.base_texts: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.truncated = 0
        self.anchors = [self._usable(part, row_of) for part in anchors]
        for number, part in enumerate(parts):
            places = [_NONE if path is None else row_of[path] for path in part.images]
            usable = [row for row, place in enumerate(places) if place not in images.failed]
            captions, descriptions = (
                self._tokens([side[row] for row in usable])
                for side in (part.captions, part.descriptions)
            )
            probed: Iterable[tuple[Tensor, Tensor] | None] = [None] * len(usable)
            if read:
                probed = zip(*(side[usable] for side in read[number]), strict=True)
            of_part = [places[row] for row in usable], captions, descriptions, probed
            self.rows.append([_Row(*row) for row in zip(*of_part, strict=True)])
            bare = torch.tensor([row.image == _NONE for row in self.rows[-1]])
            if embed_texts and bare.any():
                for side, texts in zip(self.base_texts, (captions, descriptions), strict=True):
                    embedded = embed_token_ids(images.clip.model, texts)
                    side.append(embedded[bare.to(embedded.device)])

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        tokens = self.images.clip.texts(texts)
        self.truncated += sum(text.truncated for text in tokens)
        return [list(text.ids) for text in tokens]

    @property
    def sizes(self) -> list[int]:
        """Pairs of each source."""
        return [len(rows) for rows in self.rows]

    def draw_stand_ins(self, pairs: int, random: np.random.Generator) -> Int[np.ndarray, " pair"]:
        """The position of a stand-in image for each of this many pairs."""
        return random.choice(self.others, pairs)

    def batch(
        self,
        picked: Sequence[tuple[int, int]],
        random: np.random.Generator,
        *,
        stand_ins: Int[np.ndarray, " pair"] | None = None,
        probes: bool = False,
        token_dropout: float = 0.0,
    ) -> Batch:
        """A batch of pairs.

        Args:
            picked: source and row of each pair.
            random: draws what else is random.
            stand_ins: as `draw_stand_ins` gives them; by default drawn first.
            probes: whether the relevance term will look at the batch.
            token_dropout: share of each text's tokens to leave out.
        """
        rows = [self.rows[source][row] for source, row in picked]
        places = np.array([row.image for row in rows])
        own = places != _NONE
        if stand_ins is None:
            stand_ins = self.draw_stand_ins(len(rows), random)
        images = self.images.take(np.where(own, places, stand_ins))
        read = [row.read for row in rows if row.read is not None]
        batch = Batch(
            captions=[row.caption for row in rows],
            descriptions=[row.description for row in rows],
            images=images,
            own_image=torch.from_numpy(own).to(images.device),
            probes=self._probes(own, random) if probes else None,
            anchors=self._some_anchors(random) if probes else (),
            read=_stacked(read, images.device) if read else None,
        )
        if not token_dropout:
            return batch
        captions, descriptions = (
            [leave_out(text, token_dropout, random) for text in texts]
            for texts in (batch.captions, batch.descriptions)
        )
        return replace(batch, captions=captions, descriptions=descriptions)

    def _usable(self, anchors: AnchorTexts, row_of: dict[Path, int]) -> _Anchors:
        """Anchors as token ids, without those whose image could not be read."""
        tokens = self._tokens(anchors.texts)
        if not anchors.images:
            return _Anchors(tokens, None, anchors.batch)
        rows = np.array([row_of[path] for path in anchors.images])
        usable = np.flatnonzero(~np.isin(rows, list(self.images.failed)))
        if len(usable) < anchors.batch:
            raise RecipeError(
                f"anchors: only {len(usable)} captions have a photo that can be read, and a step "
                f"takes {anchors.batch}; the first, {anchors.images[0]}, "
                f"{self.images.failed.get(int(rows[0]), 'can be')}"
            )
        return _Anchors([tokens[row] for row in usable], rows[usable], anchors.batch)

    def _some_anchors(self, random: np.random.Generator) -> list[AnchorBatch]:
        drawn = []
        for anchors in self.anchors:
            rows = random.choice(len(anchors.texts), anchors.batch, replace=False)
            drawn.append(
                AnchorBatch(
                    texts=[anchors.texts[row] for row in rows],
                    images=None if anchors.rows is None else self.images.take(anchors.rows[rows]),
                )
            )
        return drawn

    def _probes(
        self, own: Bool[np.ndarray, " pair"], random: np.random.Generator
    ) -> Float[Tensor, "probe ..."] | None:
        """Some training images, if there are anchors or pairs without an image."""
        if own.all() and not self.anchors:
            return None
        return self.images.take(random.choice(self.others, _PROBES))


def _stacked(read: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> OfPairs:
    captions, descriptions = (torch.stack(side).to(device) for side in zip(*read, strict=True))
    return captions, descriptions


def load_banks(
    data: PairData,
    clip: Clip,
    *,
    keep: Kept,
    cache: Path,
    progress: bool,
    read: Sequence[OfPairs] = (),
) -> tuple[Bank, Bank, Bank | None, dict[str, str]]:
    """The pairs to train on, to validate on and to watch, their images read once.

    Args:
        data: the pairs, with images that stand in and anchors.
        clip: the base, not yet tuned.
        keep: what stays the same of images in training.
        cache: the file for pixels, if that is what stays.
        progress: whether to show a bar.
        read: by training source, the probabilities that the probe should give.

    Returns:
        The banks, the last None if nothing is watched; and for each image that could not be read,
        why.

    Raises:
        RecipeError: no image can be read.
    """
    parts = [*data.training, *data.validation, *data.watched]
    more = data.stand_ins
    paths = list(
        dict.fromkeys(
            [path for part in parts for path in part.images if path is not None]
            + [*more.training, *more.validation]
            + [path for part in data.anchors for path in part.images]
        )
    )
    if not paths:
        raise RecipeError("no pair of any source has an image; give a source with images")
    images = load_images(paths, clip, keep=keep, cache=cache, progress=progress)
    row_of = {path: row for row, path in enumerate(paths)}
    seen = {row_of[path] for part in data.training for path in part.images if path is not None}
    seen |= {row_of[path] for path in more.training}
    others = np.array(sorted(seen - images.failed.keys()), dtype=int)
    unseen = {row_of[path] for path in more.validation} - images.failed.keys()
    others_of = {False: others, True: np.array(sorted(unseen), dtype=int) if unseen else others}
    if not len(others):
        raise RecipeError(
            f"no image of the training pairs can be read; the first, {paths[0]}, "
            f"{images.failed.get(0, 'is of the validation split')}"
        )
    banks = [
        Bank(
            part,
            images,
            row_of,
            others=others_of[embed],
            embed_texts=embed,
            anchors=() if embed else data.anchors,
            read=() if embed else read,
        )
        for part, embed in ((data.training, False), (data.validation, True), (data.watched, True))
    ]
    for part, size in zip(data.training, banks[0].sizes, strict=True):
        if not size:
            first = next(path for path in part.images if path is not None)
            raise RecipeError(
                f"source {part.name!r}: none of its images to train on can be read; the first, "
                f"{first}, {images.failed[row_of[first]]}"
            )
    if not sum(banks[1].sizes):
        raise RecipeError("no image of the validation pairs can be read; see the recipe's sources")
    seen = banks[2] if data.watched else None
    if seen is not None and not sum(seen.sizes):
        raise RecipeError(f"watch: no image of {data.watched[0].name!r} can be read")
    return banks[0], banks[1], seen, {str(paths[row]): why for row, why in images.failed.items()}
