"""A checkpoint's folder -> a model ready for inference."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from descscore.checkpoints.adapter import merge_adapter
from descscore.checkpoints.files import PURPOSE, read_json
from descscore.checkpoints.preprocessing import load_image_transform, load_text_transform
from descscore.checkpoints.weights import COUNTED, check_layers, mismatch, stored_weights
from descscore.errors import CheckpointError, OptionError
from descscore.purpose.das_file import load_purpose
from descscore.towers.clip_towers import ClipTowers
from descscore.towers.int8 import to_int8
from descscore.towers.protocol import Towers
from descscore.towers.siglip_towers import SiglipTowers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import CLIPModel

    from descscore.checkpoints.store import Checkpoint
    from descscore.inputs.transform import ImageTransform, TextTransform
    from descscore.purpose.probe import Purpose

FAMILIES: dict[str, type[Towers]] = {"clip": ClipTowers, "siglip": SiglipTowers}
"""By their types in config.json."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A CLIP or SigLIP with what prepares its inputs and reads the purpose of texts from it.

    Attributes:
        towers: with all that the checkpoint changes already in their weights.
        images: prepares images.
        texts: prepares texts.
        purpose: the purpose subspace; None if the checkpoint has none.
    """

    towers: Towers
    images: ImageTransform
    texts: TextTransform
    purpose: Purpose | None = None

    @property
    def model(self) -> CLIPModel:
        """The model of the towers."""
        return self.towers.model


def load_clip(checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> Clip:
    """Load a checkpoint's model, in evaluation mode, without gradients.

    An adapter is merged in float32, whatever the dtype to compute in. With int8 the linear layers
    of the blocks compute in integers, all else in float32.

    Raises:
        CheckpointError: files are damaged, or do not fit each other.
    """
    if checkpoint.open_clip:
        return _load_open_clip(checkpoint, dtype=dtype, device=device)
    folder = checkpoint.base_folder
    family = FAMILIES[read_json(folder / "config.json")["model_type"]]
    whole = dtype == torch.int8
    model = _load_model(checkpoint, family, torch.float32 if whole else dtype)
    if whole:
        to_int8(model, device)
    towers = family(model)
    purpose = _load_purpose(checkpoint, towers)
    config: Any = model.config
    text = config.text_config
    texts = load_text_transform(folder, window=text.max_position_embeddings, padded=family.padded)
    highest = max(texts.tokenizer.get_vocab().values())
    # 2 is the legacy value, with which transformers pools at the largest id instead.
    pooled = highest if text.eos_token_id == 2 else text.eos_token_id
    if towers.family == "clip" and pooled != texts.end:
        raise CheckpointError(
            f"{checkpoint.name!r} pools texts at token {pooled}, but its tokenizer ends them with "
            f"{texts.end}; correct eos_token_id in config.json"
        )
    if highest >= text.vocab_size:
        raise CheckpointError(
            f"{checkpoint.name!r} has a vocabulary of {text.vocab_size} tokens, but its tokenizer "
            f"gives ids up to {highest}; use the tokenizer that it was trained with"
        )
    images = load_image_transform(folder, processor=f"{family.prefix}ImageProcessor")
    side = config.vision_config.image_size
    if images.crop != (side, side):
        raise CheckpointError(
            f"{checkpoint.name!r} takes images of {side} x {side} pixels, but its image processor "
            f"crops them to {images.crop}; correct preprocessor_config.json"
        )
    model.to(device)  # pyright: ignore[reportArgumentType] - transformers decorates it oddly
    purpose = None if purpose is None else purpose.to(device)
    return Clip(towers=towers, images=images, texts=texts, purpose=purpose)


def _load_open_clip(checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> Clip:
    from descscore.towers.open_clip_towers import load_open_clip

    if dtype == torch.int8:
        raise OptionError(
            f"dtype is 'int8', which open_clip models such as {checkpoint.name!r} lack; "
            "choose 'bfloat16' or 'float32'"
        )
    towers, images, texts = load_open_clip(checkpoint.folder, dtype)
    if (key := _not_finite(towers.model)) is not None:
        raise CheckpointError(
            f"the weights of {checkpoint.name!r} contain NaN or infinite values in {dtype}, the "
            f"first in {key}; try dtype='float32', or use another checkpoint"
        )
    towers.model.to(device)
    return Clip(towers=towers, images=images, texts=texts)


def _load_model(checkpoint: Checkpoint, family: type[Towers], dtype: torch.dtype) -> CLIPModel:
    model = _load_changed(checkpoint, family, dtype)
    if (key := _not_finite(model)) is not None:
        remedy = "train again, or use another checkpoint"
        if dtype != torch.float32:
            whole = _load_changed(checkpoint, family, torch.float32)
            if _not_finite(whole) is None:
                remedy = f"they are too large for {dtype}: choose dtype='float32'"
        raise CheckpointError(
            f"the weights of {checkpoint.name!r} contain NaN or infinite values, the first in "
            f"{key}; {remedy}"
        )
    return model.eval().requires_grad_(False)


def _load_changed(checkpoint: Checkpoint, family: type[Towers], dtype: torch.dtype) -> Any:
    """The weights with those of an adapter."""
    if checkpoint.change != "adapter":
        return _load_weights(checkpoint, family, dtype)
    # In float16 the sum of base and update would be rounded twice.
    model = _load_weights(checkpoint, family, torch.float32)
    return merge_adapter(model, checkpoint).to(dtype)  # pyright: ignore[reportArgumentType]


def _not_finite(model: torch.nn.Module) -> str | None:
    """The first weight with a value that is no number."""
    for key, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            return key
    return None


def _load_weights(checkpoint: Checkpoint, family: type[Towers], dtype: torch.dtype) -> Any:
    """The weights in safetensors, in the architecture of the base, without an adapter."""
    config = _check_weights(checkpoint, family)
    try:
        with quiet_transformers():
            model = _class_of(family, "Model").from_pretrained(
                checkpoint.weights_folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
            )
    # Broken files make transformers raise errors of any class.
    except Exception as error:
        raise CheckpointError(
            f"the weights of {checkpoint.name!r} cannot be loaded: {error}"
        ) from error
    return model


def _check_weights(checkpoint: Checkpoint, family: type[Towers]) -> Any:
    """The configuration, once the weights' headers are seen to fit it.

    transformers would build any number of layers, and fill what is missing with random numbers.
    """
    path = checkpoint.base_folder / "config.json"
    stored = stored_weights(checkpoint.weights_folder)
    try:
        config = _class_of(family, "Config").from_pretrained(path.parent, local_files_only=True)
        layers = {
            "text": config.text_config.num_hidden_layers,
            "vision": config.vision_config.num_hidden_layers,
        }
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read by transformers: {error}") from error
    for tower, claimed in layers.items():
        check_layers(path, tower, claimed, stored)
    try:
        # Shapes alone, without memory.
        with torch.device("meta"), quiet_transformers():
            skeleton = _class_of(family, "Model")(config)
    except Exception as error:
        raise CheckpointError(f"{path} describes no model that can be built: {error}") from error
    problem = mismatch(
        skeleton.state_dict(),
        {key: tensor for key, tensor in stored.items() if not COUNTED.search(key)},
    )
    if problem is not None:
        whose = "its base" if checkpoint.change == "weights" else "its config.json"
        raise CheckpointError(f"the weights of {checkpoint.name!r} do not fit {whose}: {problem}")
    return config


def _class_of(family: type[Towers], part: str) -> Any:
    import transformers

    return getattr(transformers, f"{family.prefix}{part}")


def _load_purpose(checkpoint: Checkpoint, towers: Towers) -> Purpose | None:
    """The purpose subspace, once it is seen to fit the text tower."""
    path = checkpoint.folder / PURPOSE
    if checkpoint.config is None or not path.is_file():
        return None
    purpose = load_purpose(path)
    found, width = purpose.basis.shape[0], towers.text_width
    if found != width:
        raise CheckpointError(
            f"{path} has a basis of width {found}, but the text tower of {checkpoint.name!r} has "
            f"width {width}; it belongs to another base"
        )
    try:
        purpose.site.check(towers)
    except OptionError as error:
        raise CheckpointError(f"{path} does not fit {checkpoint.name!r}: {error}") from error
    return purpose


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' loading bar and its report of mismatches off the terminal."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
