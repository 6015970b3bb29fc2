"""The CLIP that a fine-tuning starts from, and which of its parameters are trained, and how."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointNotFoundError, RecipeError
from descscore_training.step import Step

if TYPE_CHECKING:
    from jaxtyping import Float
    from peft import LoraConfig, PeftModel
    from torch import Tensor
    from transformers import CLIPModel

    from descscore.checkpoints.attach import Clip
    from descscore.checkpoints.store import Checkpoint
    from descscore_training.finetune_recipe import FinetuneRecipe, Optimiser, Tuning

_MANY_TEXTS = 256
_TOWERS = {
    "text": ("text",),
    "vision": ("vision",),
    "both": ("text", "vision"),
    "text-and-projections": ("text",),
}
# They need what a step here does not give: a closure, sparse gradients, the whole dataset.
_UNSUITED = {"Optimizer", "LBFGS", "SparseAdam", "Rprop"}


def tune_fully(model: CLIPModel, tuning: Tuning) -> None:
    """Let all parameters of what is tuned be trained, and no others."""
    model.requires_grad_(False)
    for tower in _TOWERS[tuning.towers]:
        projection = "text_projection" if tower == "text" else "visual_projection"
        for part in (f"{tower}_model", projection):
            model.get_submodule(part).requires_grad_(True)
    if tuning.towers == "text-and-projections":
        model.visual_projection.requires_grad_(True)
    model.logit_scale.requires_grad_(tuning.towers == "both")


def add_lora(model: CLIPModel, tuning: Tuning, *, seed: int) -> PeftModel:
    """Put LoRA's updates beside a frozen model's linear layers, in place.

    Args:
        model: whose layers are replaced by ones with updates.
        tuning: which layers and of what size.
        seed: of the updates' start, in which they change nothing.
    """
    from peft import get_peft_model

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT asks for an attribute by the name that transformers is about to drop.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        torch.manual_seed(seed)
        return get_peft_model(model, lora_config(tuning))


class _Updated(nn.Module):
    """A frozen weight plus its low-rank update, W + scaling B A, in float32."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        # In a list, since these parameters are the layer's and must not be counted twice.
        if layer.lora_embedding_A:
            down, up = layer.lora_embedding_A["default"], layer.lora_embedding_B["default"]
        else:
            down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        self.factors = [down, up]
        # An embedding has one row per token where a linear layer has one per output.
        self.transposed = bool(layer.lora_embedding_A)
        self.scaling = layer.scaling["default"]

    def forward(self, weight: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
        down, up = self.factors
        left, right = (down.T, up.T) if self.transposed else (up, down)
        with torch.autocast(weight.device.type, enabled=False):
            return torch.addmm(weight, left, right, alpha=self.scaling)


def add_updates_to_weights(model: PeftModel) -> None:
    """Let each LoRA layer multiply by W + scaling B A once, not by W and then by A and B.

    The same function and gradients, with far fewer products and copies: a step's texts are many
    more than a weight's rows. Forward passes must run under `parametrize.cached()`, which adds an
    update up once a step. Not for updates with dropout, which acts on their inputs.
    """
    from peft.tuners.lora import LoraLayer

    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            parametrize.register_parametrization(
                layer.get_base_layer(), "weight", _Updated(layer), unsafe=True
            )
            # PEFT's own switch would also stop the updates from being trained.
            layer._disable_adapters = True


def lora_config(tuning: Tuning) -> LoraConfig:
    """PEFT's configuration of the updates."""
    from peft import LoraConfig

    return LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.rank if tuning.alpha is None else tuning.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=tuning.dropout,
        target_modules=_targets(tuning),
        bias="none",
    )


def _targets(tuning: Tuning) -> str:
    """A regular expression for the names of the layers that get updates."""
    layers = []
    for tower in _TOWERS[tuning.towers]:
        block = rf"{tower}_model\.encoder\.layers\.\d+"
        attention = "[qv]_proj" if tuning.targets == "qv" else "[qkv]_proj|out_proj"
        layers.append(rf"{block}\.self_attn\.({attention})")
        if tuning.targets.startswith("all-linear"):
            layers.append(rf"{block}\.mlp\.(fc1|fc2)")
            layers.append("text_projection" if tower == "text" else "visual_projection")
        if tuning.targets == "all-linear-and-tokens" and tower == "text":
            layers.append(r"text_model\.embeddings\.token_embedding")
    if tuning.towers == "text-and-projections":
        layers += [name for name in ("text_projection", "visual_projection") if name not in layers]
    return "|".join(f"({layer})" for layer in layers)


def optimiser_for(
    name: str, groups: list[dict[str, Any]], options: dict[str, Any]
) -> torch.optim.Optimizer:
    """An optimiser of `torch.optim` by its name in lowercase.

    Raises:
        RecipeError: there is no such name, or it does not take an option.
    """
    known = {
        kind.__name__.lower(): kind
        for kind in vars(torch.optim).values()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
        if kind.__name__ not in _UNSUITED
    }
    if name not in known:
        raise RecipeError(
            f"there is no optimiser {name!r} in torch.optim; choose one of "
            f"{', '.join(sorted(known))}"
        )
    try:
        return known[name](groups, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"the optimiser {name!r} cannot be made: {error}") from error


def optimiser_of(step: Step, settings: Optimiser) -> torch.optim.Optimizer:
    """The optimiser of all that a step trains; the basis has its own rate and no weight decay."""
    basis = [] if step.learned is None else list(step.learned.parameters())
    own = {id(parameter) for parameter in basis}
    rest = [p for p in step.parameters() if p.requires_grad and id(p) not in own]
    groups: list[dict[str, Any]] = [{"params": rest}]
    if basis:
        rate = settings.lr if settings.rotation_lr is None else settings.rotation_lr
        groups.append({"params": basis, "lr": rate, "weight_decay": 0.0})
    return optimiser_for(settings.name, groups, settings.arguments)


def schedule_for(
    settings: Optimiser, optimiser: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of the learning rate over a run of this many steps.

    Raises:
        RecipeError: the schedule does not suit the learning rate.
    """
    from transformers import get_scheduler

    name = settings.schedule
    if name == "constant" and settings.warmup:
        # transformers' constant has no warmup.
        name = "constant_with_warmup"
    try:
        return get_scheduler(
            name, optimiser, num_warmup_steps=settings.warmup, num_training_steps=steps
        )
    except ValueError as error:
        raise RecipeError(f"optimiser.schedule is {name!r}: {error}") from error


def check_optimiser(settings: Optimiser) -> None:
    """Refuse an optimiser or a schedule that cannot be made, before there is a model for it.

    Raises:
        RecipeError: as `optimiser_for` and `schedule_for` do.
    """
    groups = [{"params": [nn.Parameter(torch.zeros(1, 1))]}]
    schedule_for(settings, optimiser_for(settings.name, groups, settings.arguments), 1)


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that are trained, by name, and the fixed tensors that they are relative to."""
    found = {name: p.data for name, p in module.named_parameters() if p.requires_grad}
    # A learned basis starts from one that another version of PyTorch may draw otherwise.
    fixed = {name: b for name, b in module.named_buffers() if ".parametrizations." in f".{name}"}
    return found | fixed


def restore(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put trained parameters back.

    Raises:
        RecipeError: they are another recipe's.
    """
    own = trainable(module)
    odd = {name for name in own.keys() & tensors if own[name].shape != tensors[name].shape}
    odd |= own.keys() ^ tensors.keys()
    if odd:
        raise RecipeError(
            f"the saved parameters are of another run: {min(odd)} and {len(odd) - 1} others are "
            "not the same in both; choose another folder"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


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
    on_cpu = model.device.type == "cpu"
    if on_cpu:
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
