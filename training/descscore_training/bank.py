"""Pairs ready for the model: token ids, and embeddings or pixels of each distinct image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from descscore.embed import Embedder, Encoder
from descscore.errors import RecipeError
from descscore.stream import default_workers
from descscore_training.pixels import open_pixels
from descscore_training.step import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, Int
    from torch import Tensor

    from descscore.checkpoints.attach import Clip
    from descscore_training.data import Pairs

_NONE = -1


@dataclass(frozen=True, kw_only=True)
class Images:
    """Distinct images: their embeddings if the vision tower is frozen, or else their pixels.

    Attributes:
        clip: whose vision tower takes them.
        content: unit embeddings on the model's device, or uint8 pixels mapped into memory.
        failed: position -> why it cannot be read.
    """

    clip: Clip
    content: Tensor | np.ndarray
    failed: dict[int, str]

    def take(self, rows: Int[np.ndarray, " row"]) -> Float[Tensor, "row ..."]:
        """Unit embeddings, or normalised pixels, on the model's device."""
        device = self.clip.model.logit_scale.device
        if isinstance(self.content, np.ndarray):
            return self.clip.images.normalise(torch.from_numpy(self.content[rows]).to(device))
        return self.content[torch.from_numpy(rows).to(device)]


def load_images(
    paths: Sequence[Path], clip: Clip, *, frozen: bool, cache: Path, progress: bool
) -> Images:
    """Embed images once, or decode them once for a vision tower that is trained.

    Args:
        paths: distinct images.
        clip: on the device to train on.
        frozen: whether embeddings stay what they are.
        cache: the file for pixels.
        progress: whether to show a bar.
    """
    workers = default_workers()
    if frozen:
        embedder = Embedder(
            Encoder(clip.model, clip.images),
            batch_size=64,
            workers=workers,
            window=clip.texts.window,
            progress=progress,
        )
        embeddings, errors = embedder.images(list(paths), stop_at_error=False)
        failed = {row: str(error) for row, error in errors.items()}
        # A copy, since training cannot use tensors made in inference mode.
        return Images(clip=clip, content=embeddings.clone(), failed=failed)
    pixels = open_pixels(paths, clip.images, cache, workers=workers, progress=progress)
    return Images(clip=clip, content=pixels.images, failed=pixels.failed)


class Bank:
    """Some sources' pairs, from which batches are taken by source and row.

    Args:
        parts: the sources.
        images: all images of all sources.
        row_of: a path's position among them.
        unusable: paths whose rows are left out.
        stand_in: unit embedding for pairs without an image, where the source says "mean".
        others: positions of images that stand in where the source says "random".
    """

    def __init__(
        self,
        parts: Sequence[Pairs],
        images: Images,
        row_of: dict[Path, int],
        *,
        stand_in: Float[Tensor, " width"] | None,
        others: Int[np.ndarray, " image"],
    ) -> None:
        self.images = images
        self.stand_in = stand_in
        self.others = others
        self.names = [part.name for part in parts]
        self.batch_sizes = [part.batch for part in parts]
        self.image_free = [part.image_free for part in parts]
        self.image_rows: list[Int[np.ndarray, " pair"]] = []
        self.captions: list[list[list[int]]] = []
        self.descriptions: list[list[list[int]]] = []
        self.truncated = 0
        for part in parts:
            usable = [
                row
                for row, path in enumerate(part.images)
                if path is None or row_of[path] not in images.failed
            ]
            found = [part.images[row] for row in usable]
            self.image_rows.append(
                np.array([_NONE if path is None else row_of[path] for path in found], dtype=int)
            )
            self.captions.append(self._tokens([part.captions[row] for row in usable]))
            self.descriptions.append(self._tokens([part.descriptions[row] for row in usable]))

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        tokens = self.images.clip.texts(texts)
        self.truncated += sum(text.truncated for text in tokens)
        return [list(text.ids) for text in tokens]

    @property
    def sizes(self) -> list[int]:
        """Pairs of each source."""
        return [len(rows) for rows in self.image_rows]

    def batch(self, picked: Sequence[tuple[int, int]], random: np.random.Generator) -> Batch:
        """A batch of pairs.

        Args:
            picked: source and row of each pair.
            random: draws images that stand in.
        """
        rows = np.array([self.image_rows[source][row] for source, row in picked])
        own = rows != _NONE
        drawn = np.where(own, rows, random.choice(self.others, len(rows)))
        images = self.images.take(drawn)
        own_image = torch.from_numpy(own).to(images.device)
        if self.stand_in is not None:
            mean = torch.tensor(
                [self.image_free[source] == "mean" for source, _ in picked], device=images.device
            )
            images = torch.where((mean & ~own_image)[:, None], self.stand_in, images)
        return Batch(
            captions=[self.captions[source][row] for source, row in picked],
            descriptions=[self.descriptions[source][row] for source, row in picked],
            images=images,
            own_image=own_image,
        )


def load_banks(
    training: Sequence[Pairs],
    validation: Sequence[Pairs],
    clip: Clip,
    *,
    frozen: bool,
    cache: Path,
    progress: bool,
) -> tuple[Bank, Bank, dict[str, str]]:
    """The training and the validation pairs, their images read once.

    Returns:
        Both banks, and for each image that could not be read, why.

    Raises:
        RecipeError: no image can be read.
    """
    parts = [*training, *validation]
    paths = list(dict.fromkeys(path for part in parts for path in part.images if path is not None))
    if not paths:
        raise RecipeError("no pair of any source has an image; give a source with images")
    images = load_images(paths, clip, frozen=frozen, cache=cache, progress=progress)
    row_of = {path: row for row, path in enumerate(paths)}
    seen = {row_of[path] for part in training for path in part.images if path is not None}
    others = np.array(sorted(seen - images.failed.keys()), dtype=int)
    if not len(others):
        raise RecipeError(
            f"no image of the training pairs can be read; the first, {paths[0]}, "
            f"{images.failed.get(0, 'is of the validation split')}"
        )
    stand_in = None
    if isinstance(images.content, torch.Tensor):
        stand_in = F.normalize(images.content[torch.from_numpy(others)].mean(0), dim=0)
    banks = [
        Bank(part, images, row_of, stand_in=stand_in, others=others)
        for part in (training, validation)
    ]
    return banks[0], banks[1], {str(paths[row]): why for row, why in images.failed.items()}
