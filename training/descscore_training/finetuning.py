"""Which of a CLIP's parameters are trained: all of a tower, or LoRA's updates."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from descscore.errors import RecipeError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import Tensor
    from transformers import CLIPModel

    from descscore_training.finetune_recipe import Tuning

_TOWERS = {"text": ("text",), "vision": ("vision",), "both": ("text", "vision")}
_ATTENTION = {
    "attention": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "qv": ("q_proj", "v_proj"),
    "all-linear": ("q_proj", "k_proj", "v_proj", "out_proj"),
}


def tune_fully(model: CLIPModel, tuning: Tuning) -> None:
    """Let all parameters of the tuned towers be trained, and no others."""
    model.requires_grad_(False)
    for tower in _TOWERS[tuning.towers]:
        projection = "text_projection" if tower == "text" else "visual_projection"
        for part in (f"{tower}_model", projection):
            model.get_submodule(part).requires_grad_(True)
    model.logit_scale.requires_grad_(tuning.towers == "both")


def add_lora(model: CLIPModel, tuning: Tuning, *, seed: int) -> PeftModel:
    """Put LoRA's updates beside a frozen model's linear layers, in place.

    Args:
        model: whose layers are replaced by ones with updates.
        tuning: which layers and of what size.
        seed: of the updates' start, in which they change nothing.
    """
    from peft import get_peft_model

    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks for an attribute by the name that transformers is about to drop.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        torch.manual_seed(seed)
        return get_peft_model(model, lora_config(tuning))


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
        layers.append(rf"{block}\.self_attn\.({'|'.join(_ATTENTION[tuning.targets])})")
        if tuning.targets == "all-linear":
            layers.append(rf"{block}\.mlp\.(fc1|fc2)")
            layers.append("text_projection" if tower == "text" else "visual_projection")
    return "|".join(f"({layer})" for layer in layers)


def optimiser_for(
    name: str, groups: list[dict[str, Any]], options: dict[str, Any]
) -> torch.optim.Optimizer:
    """An optimiser of `torch.optim` by its name in lower case.

    Raises:
        RecipeError: there is none of that name, or it does not take an option.
    """
    known = {
        kind.__name__.lower(): kind
        for kind in vars(torch.optim).values()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    }
    known.pop("optimizer", None)
    if name not in known:
        raise RecipeError(
            f"there is no optimiser {name!r} in torch.optim; choose one of "
            f"{', '.join(sorted(known))}"
        )
    try:
        return known[name](groups, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"the optimiser {name!r} cannot be made: {error}") from error


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that are trained, by name."""
    return {name: p.data for name, p in module.named_parameters() if p.requires_grad}


def restore(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put trained parameters back.

    Raises:
        RecipeError: they are another recipe's.
    """
    own = trainable(module)
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())
        raise RecipeError(
            f"the saved parameters are of another run: {odd[0]} and {len(odd) - 1} others are not "
            "in both; choose another folder"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
