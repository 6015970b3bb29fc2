"""The CLIP that a fine-tuning starts from, and what is put beside it to be trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointNotFoundError, RecipeError
from descscore_training.finetuning import add_lora, tune_fully
from descscore_training.step import Step

if TYPE_CHECKING:
    from peft import PeftModel

    from descscore.checkpoints.attach import Clip
    from descscore.checkpoints.store import Checkpoint
    from descscore_training.finetune_recipe import FinetuneRecipe

_MANY_TEXTS = 256


def load_base(recipe: FinetuneRecipe, device: torch.device) -> Clip:
    """The plain CLIP that a recipe starts from, in float32.

    Raises:
        RecipeError: the base is itself an adapter, or is no CLIP.
        CheckpointError: it cannot be loaded.
    """
    clip = load_clip(find_base(recipe), dtype=torch.float32, device=device)
    if clip.towers.family != "clip":
        raise RecipeError(
            f"the base {recipe.base!r} is of the family {clip.towers.family!r}; only a CLIP can be "
            "fine-tuned"
        )
    return clip


def find_base(recipe: FinetuneRecipe) -> Checkpoint:
    """Where the plain CLIP is that a recipe starts from. Raises what `load_base` does."""
    try:
        checkpoint = resolve_checkpoint(recipe.base, revision=recipe.base_revision)
    except CheckpointNotFoundError as error:
        raise CheckpointNotFoundError(
            f"base: {error} (or name another: a folder, or mini/base)"
        ) from error
    if checkpoint.base is not None:
        raise RecipeError(
            f"the base {recipe.base!r} is itself fine-tuned; name the CLIP it came from, "
            f"{checkpoint.base.name!r}"
        )
    return checkpoint


def build_step(clip: Clip, recipe: FinetuneRecipe) -> tuple[Step, PeftModel | None]:
    """Put LoRA's updates and the basis beside a base, or let its own parameters be trained.

    Returns:
        What is trained, and PEFT's view of it if it has LoRA's updates.
    """
    model = clip.model
    if clip.model.device.type == "cpu":
        # There, PyTorch's fused attention runs backwards far slower than plain products.
        model.set_attn_implementation("eager")
    adapted = base = None
    image_free = any(part.image_free for part in recipe.sources)
    if recipe.objective.relevance_weight and (image_free or recipe.anchors):
        base = copy.deepcopy(model).requires_grad_(False)
    if recipe.tuning.kind == "lora":
        adapted = add_lora(model, recipe.tuning, seed=recipe.seed)
    else:
        tune_fully(model, recipe.tuning)
    on_cpu = clip.model.device.type == "cpu"
    # On a CPU padding costs more than further calls: four parts of a batch's texts, by length.
    together = max(8, recipe.batch // 2) if on_cpu else _MANY_TEXTS
    step = Step(
        model,
        recipe.objective,
        seed=recipe.seed,
        texts_together=together,
        features=recipe.images_keep == "features",
        base=base,
        reader_weight=recipe.reader.weight if recipe.reader else 0.0,
    )
    if step.learned is not None and clip.model.device.type == "mps":
        # Apple's GPUs have no float64.
        step.learned.float()
    return step.to(clip.model.device), adapted
