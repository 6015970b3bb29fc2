"""PEFT's LoRA adapter in a checkpoint's folder -> its updates in the weights of the base."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from descscore.checkpoints.files import ADAPTER, ADAPTER_CONFIG, CONFIG, read_json
from descscore.checkpoints.weights import mismatch, stored_tensors
from descscore.errors import CheckpointError
from descscore.strings import names, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor
    from transformers import CLIPModel

    from descscore.checkpoints.store import Checkpoint

# Low-rank updates of linear layers and nothing else: no other weights, no other code.
_READ = names(
    "r lora_alpha lora_dropout use_rslora rank_pattern alpha_pattern target_modules "
    "exclude_modules layers_to_transform layers_pattern fan_in_fan_out"
)
_ABOUT = names(
    "peft_type peft_version task_type auto_mapping base_model_name_or_path revision "
    "inference_mode init_lora_weights"
)
_DRAWN = ("gaussian", "orthogonal")
"""Ways to draw a fresh adapter that leave its base as it is."""


def merge_adapter(model: CLIPModel, checkpoint: Checkpoint) -> CLIPModel:
    """Add a LoRA adapter to the base's weights, which must be float32; the model is altered.

    PEFT itself only warns of what does not fit, and the scores would be those of the base.

    Raises:
        CheckpointError: the adapter is damaged, of another kind, for another base, does not fit the
            base, or changes nothing.
    """
    settings = read_json(checkpoint.folder / ADAPTER_CONFIG)
    _check_settings(checkpoint, settings)
    tensors = _read(checkpoint.folder / ADAPTER)
    before = model.state_dict()
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            # What PEFT uses of transformers is its own affair; what it says of the adapter is not.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", UserWarning)
            merged = _merged(model, checkpoint.name, settings, tensors)
    except CheckpointError:
        raise
    # PEFT raises errors of many classes, and warns.
    except Exception as error:
        raise CheckpointError(
            f"the adapter of {checkpoint.name!r} does not fit its base: {error}"
        ) from error
    after = merged.state_dict()
    if all(torch.equal(value, after[key]) for key, value in before.items()):
        raise CheckpointError(
            f"the adapter of {checkpoint.name!r} changes nothing: all its updates are zero; "
            "train again"
        )
    return merged


def _check_settings(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> None:
    """Refuse an adapter of another kind, or for another base than the checkpoint's."""
    name, path = checkpoint.name, checkpoint.folder / ADAPTER_CONFIG
    if settings.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{name!r} has an adapter of type {settings.get('peft_type')!r}; descscore reads LoRA "
            "adapters (type 'LORA')"
        )
    if checkpoint.config is None:
        # A folder of PEFT's alone: its base is the one that these settings name.
        return
    recorded = checkpoint.config["base"]
    for key, expected in (
        ("base_model_name_or_path", recorded["name"]),
        ("revision", recorded.get("revision")),
    ):
        # PEFT leaves them empty for a base that was not loaded by its name.
        if settings.get(key) and _path_form(settings[key]) != _path_form(expected):
            raise CheckpointError(
                f"the adapter of {name!r} is for another base: {path} has {key} {settings[key]!r}, "
                f"but {CONFIG} has {expected!r}; export it again"
            )


def _read(path: Path) -> dict[str, Tensor]:
    """The adapter's tensors, in float32 whatever they are stored in."""
    stored_tensors(path)
    try:
        tensors = {key: value.float() for key, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; download it again") from error
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path} has values in {key} that are not finite; train again")
    return tensors


def _merged(
    model: CLIPModel, name: str, settings: Mapping[str, Any], tensors: dict[str, Tensor]
) -> CLIPModel:
    from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    unread = [
        f"{key} to {quoted(value, 60)}"
        for key, value in settings.items()
        if key not in _READ | _ABOUT and value and value != getattr(LoraConfig(), key, None)
    ]
    # How a fresh adapter is drawn matters no more, unless the base was changed on the way.
    if (drawn := settings.get("init_lora_weights")) not in (None, True, False, *_DRAWN):
        unread.append(f"init_lora_weights to {quoted(drawn, 60)}")
    if unread:
        raise CheckpointError(
            f"the adapter of {name!r} sets {', '.join(unread)}, which descscore does not read; "
            "merge it into its base with PEFT and save the whole model, or export low-rank updates "
            "alone"
        )
    config = LoraConfig(**{key: settings[key] for key in _READ if key in settings})
    adapted: Any = PeftModel(model, config)
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    if problem := mismatch(expected, tensors):
        raise CheckpointError(f"the adapter of {name!r} does not fit its base: {problem}")
    set_peft_model_state_dict(adapted, tensors)
    return adapted.merge_and_unload(safe_merge=True)


def _path_form(name: object) -> object:
    """A base's name, without the slashes that folders may end with."""
    return name.rstrip("/") if isinstance(name, str) else name
