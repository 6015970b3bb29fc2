"""How a run is doing, on the validation split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from descscore.datasets.labelled_images import class_folders
from descscore.errors import RecipeError
from descscore.evaluate.class_names import prompt, spoken_name
from descscore.evaluate.preference import own_over_others
from descscore.evaluate.transfer import PROMPT, classify
from descscore.towers.clip import embed_images, project_images
from descscore_training.pairs.bank import Bank, load_images
from descscore_training.pairs.rows import held_out_rows
from descscore_training.pairs.sources import digest_of
from descscore_training.step import embed_token_ids

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

    from descscore.checkpoints.attach import Clip
    from descscore_training.finetune_recipe import Kept, TransferSource
    from descscore_training.step import Step

_PAIRS_TOGETHER = 128
_IMAGES_TOGETHER = 64


class TransferTask:
    """Zero-shot classification of class folders with the paper's prompt.

    The folders are listed at once, and read by `load`.

    Args:
        source: the folders.
        data: the folder that paths are relative to.

    Raises:
        RecipeError: there is no such path, or more images are to be taken than there are.
        TableError: there are no class folders.
    """

    def __init__(self, source: TransferSource, data: Path) -> None:
        path = data / source.path
        if not path.exists():
            raise RecipeError(
                f"transfer {source.name!r}: there is no {path}; put the class folders there, or "
                "train without watching transfer: set transfer = []"
            )
        found = class_folders(path, source.under)
        if source.held_out > len(found.names):
            raise RecipeError(
                f"transfer {source.name!r}: held_out is {source.held_out}, but {path} has only "
                f"{len(found.names)} images; set transfer.{source.name}.held_out = 0 to take all"
            )
        rows = range(len(found.names))
        if 0 < source.held_out < len(rows):
            rows = sorted(held_out_rows(found.names, source.held_out))
        names, labels = [found.names[row] for row in rows], [found.labels[row] for row in rows]
        classes = list(found.classes)
        self.name = source.name
        self.digest = digest_of((self.name, names, labels, classes))
        self.paths = [path / name for name in names]
        self.truth = np.array([classes.index(label) for label in labels])
        self.prompts = [prompt(PROMPT, spoken_name(label)) for label in classes]

    def load(self, clip: Clip, *, keep: Kept, cache: Path) -> None:
        """Embed or decode the images.

        Args:
            clip: whose vision tower sees them.
            keep: what stays the same of them in training.
            cache: the file for pixels, if that is what stays.

        Raises:
            RecipeError: an image cannot be read.
        """
        self.clip, self.keep = clip, keep
        self.images = load_images(self.paths, clip, keep=keep, cache=cache, progress=False)
        for row, why in self.images.failed.items():
            raise RecipeError(f"transfer {self.name!r}: the image {self.paths[row]} {why}")

    @torch.no_grad()
    def f1(self) -> float:
        """Macro-F1 in [0, 1] of the model as it is now.

        Raises:
            FloatingPointError: a score is not finite.
        """
        tokens = [text.ids for text in self.clip.texts(self.prompts)]
        scores = self._embeddings() @ embed_token_ids(self.clip.model, tokens).T
        if not scores.isfinite().all():
            raise FloatingPointError(f"scores of transfer {self.name!r} are not finite")
        return float(classify(scores.cpu().numpy(), self.truth).macro_f1)

    def _embeddings(self) -> Float[Tensor, "image width"]:
        kept = self.images.content
        if isinstance(kept, np.ndarray):
            rows = np.arange(len(kept))
            parts = [rows[i : i + _IMAGES_TOGETHER] for i in rows[::_IMAGES_TOGETHER]]
            model = self.clip.model
            return torch.cat([embed_images(model, self.images.take(part)) for part in parts])
        return project_images(self.clip.model, kept) if self.keep == "features" else kept


@torch.no_grad()
def validate(step: Step, bank: Bank, tasks: Sequence[TransferTask], *, seed: int) -> dict[str, Any]:
    """Preference, relevance, interchanges and transfer of the model as it is now.

    Returns:
        - `preference`: share of pairs whose description scores higher.
        - `relevance`: how often an image's own text scores higher than another image's, mean over
          both kinds of text; over pairs with an image of their own, or if fewer than two have one,
          with the base model's embedding of the pair's other text in place of the image; None for a
          single pair.
        - `raised`, `lowered`: share of captions that score higher with the description's
          coordinates, and of descriptions that score lower with the caption's.
        - `read`: share of pairs whose description the probe finds likelier, if it is trained.
        - `f1`: macro-F1 by transfer task.

    Raises:
        FloatingPointError: a score is not finite.
    """
    whole = _measured(step, bank, seed=seed)
    shares = {
        name: whole[name].float().mean().item()
        for name in ("preference", "raised", "lowered", "read")
        if name in whole
    }
    own, relevance = whole["own"], None
    texts = (whole["captions"], whole["descriptions"])
    if own.sum() >= 2:
        found = [_relevance(whole["images"][own], side[own]) for side in texts]
        relevance = sum(found) / 2
    elif (~own).sum() >= 2:
        others = map(torch.cat, reversed(bank.base_texts))
        found = [_relevance(base, side[~own]) for base, side in zip(others, texts, strict=True)]
        relevance = sum(found) / 2
    return {**shares, "relevance": relevance, "f1": {task.name: task.f1() for task in tasks}}


def preference(step: Step, bank: Bank) -> float:
    """Share of pairs whose description scores higher, of the model as it is now.

    Raises:
        FloatingPointError: a score is not finite.
    """
    return _measured(step, bank, seed=0, interchanges=False)["preference"].float().mean().item()


@torch.no_grad()
def _measured(step: Step, bank: Bank, *, seed: int, interchanges: bool = True) -> dict[str, Tensor]:
    """What is measured of each pair of a bank."""
    step.eval()
    picked = [(source, row) for source, size in enumerate(bank.sizes) for row in range(size)]
    random = np.random.default_rng(seed)
    columns: dict[str, list[Tensor]] = {}
    for first in range(0, len(picked), _PAIRS_TOGETHER):
        batch = bank.batch(picked[first : first + _PAIRS_TOGETHER], random)
        found = step.outputs(batch, interchanges=interchanges)
        part = {
            "preference": found.description > found.caption,
            "images": found.images,
            "captions": found.captions,
            "descriptions": found.descriptions,
            "own": batch.own_image,
        }
        logits = [found.caption, found.description]
        if found.read is not None:
            part["read"] = found.read[1] > found.read[0]
            logits += found.read
        if found.interchanged is not None:
            part["raised"] = found.interchanged[0] > found.caption
            part["lowered"] = found.interchanged[1] < found.description
            logits += found.interchanged
        part["finite"] = torch.stack(logits).isfinite().all(0)
        for name, values in part.items():
            columns.setdefault(name, []).append(values)
    whole = {name: torch.cat(parts) for name, parts in columns.items()}
    if not whole["finite"].all():
        raise FloatingPointError("scores of validation pairs are not finite")
    return whole


def _relevance(anchors: Float[Tensor, "pair width"], texts: Float[Tensor, "pair width"]) -> float:
    """How often the own text is nearer than another pair's, mean over pairs; chance is 0.5."""
    return float(own_over_others((anchors.float() @ texts.float().T).cpu().numpy()).mean())
