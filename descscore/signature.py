"""What a score depends on, in one line."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING

import PIL

if TYPE_CHECKING:
    import torch

    from descscore.checkpoints.store import Checkpoint

_BETWEEN_PARTS = re.compile(r"\|(?=[a-z_]+:)")  # a prefix may hold a bar


def metric_signature(
    checkpoint: Checkpoint, *, scale: str, prefix: str, long_text: str, dtype: torch.dtype
) -> str:
    """Versions, the checkpoint with its base, and the options that change a score."""
    base = checkpoint.base
    parts = {
        "descscore": version("descscore"),
        "checkpoint": checkpoint.identity,
        "base": "itself" if base is None else base.identity,
        "scale": scale,
        "prefix": repr(prefix) if prefix else "none",
        "long_text": long_text,
        "dtype": str(dtype).removeprefix("torch."),
        "images": f"pillow-{PIL.__version__}",
    }
    return "|".join(f"{name}:{value}" for name, value in parts.items())


def signature_parts(signature: str) -> dict[str, str]:
    """What a signature names, by its names; what is no such line is one part."""
    parts = [part.partition(":") for part in _BETWEEN_PARTS.split(signature)]
    if not all(colon for _, colon, _ in parts):
        return {"signature": signature}
    return {name: value for name, _, value in parts}
