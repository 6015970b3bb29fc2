"""A checkpoint's folder -> a model ready for inference."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from descscore.errors import CheckpointError
from descscore.preprocess import ImageTransform, TextTransform

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from transformers import CLIPModel

    from descscore.checkpoints.store import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A CLIP with what prepares its inputs."""

    model: CLIPModel
    images: ImageTransform
    texts: TextTransform


def load_clip(checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> Clip:
    """Load a checkpoint's CLIP, in evaluation mode, without gradients.

    Raises:
        CheckpointError: files are damaged, or do not fit each other.
    """
    model = _load_model(checkpoint, dtype)
    config: Any = model.config
    folder, text = checkpoint.base_folder, config.text_config
    texts = TextTransform.from_folder(folder, window=text.max_position_embeddings)
    # 2 is the legacy value, with which transformers pools at the largest id instead.
    highest = max(texts.tokenizer.get_vocab().values())
    pooled = highest if text.eos_token_id == 2 else text.eos_token_id
    if pooled != texts.end:
        raise CheckpointError(
            f"{checkpoint.name!r} pools texts at token {pooled}, but its tokeniser ends them with "
            f"{texts.end}; correct eos_token_id in config.json"
        )
    if highest >= text.vocab_size:
        raise CheckpointError(
            f"{checkpoint.name!r} has a vocabulary of {text.vocab_size} tokens, but its tokeniser "
            f"gives ids up to {highest}; take the tokeniser that it was trained with"
        )
    images = ImageTransform.from_folder(folder)
    side = config.vision_config.image_size
    if images.crop != (side, side):
        raise CheckpointError(
            f"{checkpoint.name!r} takes images of {side} x {side} pixels, but its image processor "
            f"crops them to {images.crop}; correct preprocessor_config.json"
        )
    model.to(device)  # pyright: ignore[reportArgumentType] - transformers decorates it oddly
    return Clip(model=model, images=images, texts=texts)


def _load_model(checkpoint: Checkpoint, dtype: torch.dtype) -> CLIPModel:
    from transformers import CLIPModel

    folder = checkpoint.base_folder
    try:
        with quiet_transformers():
            loaded: Any = CLIPModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    # Broken files make transformers raise errors of any class.
    except Exception as error:
        raise CheckpointError(
            f"the weights of {checkpoint.name!r} cannot be loaded: {error}"
        ) from error
    model, report = loaded
    # Older checkpoints keep these constants among their weights.
    report["unexpected_keys"] = {
        key for key in report["unexpected_keys"] if not key.endswith(".position_ids")
    }
    # transformers fills the first two with random numbers, leaves out the last, and only warns.
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if report[problem]:
            keys = sorted(str(key[0] if isinstance(key, tuple) else key) for key in report[problem])
            what = problem.removesuffix("_keys")
            raise CheckpointError(
                f"the weights of {checkpoint.name!r} do not fit its config.json: {len(keys)} "
                f"{what}, the first is {keys[0]}"
            )
    return model.eval().requires_grad_(False)


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
