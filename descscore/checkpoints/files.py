"""The files of a checkpoint's folder: their names, how they are read and told apart."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from descscore.errors import CheckpointError, UnsafeCheckpointError

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "descscore_config.json"

FORMAT_VERSION = 1
"""Of the content of `descscore_config.json`."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
IMAGE_PROCESSOR = ("preprocessor_config.json", "processor_config.json")

ADAPTED = ("adapter_model.safetensors", "das.safetensors", "model.safetensors")
"""What changes a base, in a folder with `descscore_config.json`."""

_CLIP = (
    "config.json",
    *IMAGE_PROCESSOR,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    *WEIGHTS,
    "model-*-of-*.safetensors",
)
NEEDED = (*_CLIP, *(f"base/{file}" for file in _CLIP), CONFIG, *ADAPTED[:2])
"""All that is fetched, and all that a digest covers."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return content


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unsafe(name: str) -> UnsafeCheckpointError:
    """The error for a checkpoint without safetensors."""
    return UnsafeCheckpointError(
        f"{name!r} has only pickled weights ({PICKLED[0]}), which could run code when loaded; "
        "name a revision with model.safetensors, or convert it: "
        "CLIPModel.from_pretrained(...).save_pretrained(...)"
    )
