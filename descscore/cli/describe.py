"""What a checkpoint is, read from its files without loading a model."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.files import ADAPTER, PURPOSE, file_digest, read_json
from descscore.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from descscore.checkpoints.store import Checkpoint

COUNTS = {"n", "classes", "step"}
"""Names of results that are counts, and no measure of a model."""

# What transformers takes where a CLIP's config.json says nothing.
_VISION = {"image_size": 224, "patch_size": 32, "num_hidden_layers": 12, "hidden_size": 768}
_TEXT = {
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "num_hidden_layers": 12,
    "hidden_size": 512,
}


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Kind, sizes, training, results and files of a checkpoint, as plain values.

    Raises:
        CheckpointError: a file is missing or malformed.
    """
    model = read_json(checkpoint.base_folder / "config.json")
    vision = _VISION | (model.get("vision_config") or {})
    text = _TEXT | (model.get("text_config") or {})
    config = checkpoint.config or {}
    base = checkpoint.base
    return {
        "name": checkpoint.name,
        "kind": _kind(checkpoint),
        "identity": checkpoint.identity,
        "folder": str(checkpoint.folder),
        "revision": checkpoint.revision,
        "base": None if base is None else {"name": base.name, "revision": base.revision},
        "parameters": _parameters(checkpoint.weights_folder, "model"),
        "adapter_parameters": _parameters(checkpoint.folder, "adapter_model"),
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "text_window": text["max_position_embeddings"],
        "vocabulary": text["vocab_size"],
        "image_tower": _tower(vision),
        "text_tower": _tower(text),
        "embedding": model.get("projection_dim", 512),
        "subspace": _subspace(checkpoint.folder / PURPOSE),
        "made_by": config.get("made_by"),
        "seed": config.get("seed"),
        "trained_on": config.get("data"),
        "recipe": config.get("recipe"),
        "measured": config.get("measured"),
        "measured_base": config.get("measured_base"),
        "files": _files(checkpoint),
    }


def _kind(checkpoint: Checkpoint) -> str:
    if checkpoint.config is None:
        return "plain CLIP"
    if (checkpoint.folder / ADAPTER).is_file():
        return "CLIP with an adapter"
    return "CLIP" if (checkpoint.folder / "base").is_dir() else "fine-tuned CLIP"


def _tower(config: dict[str, Any]) -> dict[str, Any]:
    return {"layers": config["num_hidden_layers"], "width": config["hidden_size"]}


def _parameters(folder: Path, stem: str) -> int | None:
    """Parameters in the safetensors files of that name; None without any."""
    paths = [*folder.glob(f"{stem}.safetensors"), *folder.glob(f"{stem}-*-of-*.safetensors")]
    return sum(map(_parameters_in, paths)) if paths else None


def _subspace(path: Path) -> dict[str, int] | None:
    """After which block of the text tower the purpose subspace is, and its dimensions."""
    if not path.is_file():
        return None
    with _header(path) as header:
        _, rank = header["basis"]["shape"]
        return {"layer": int(header["__metadata__"]["layer"]), "rank": rank}


def _parameters_in(path: Path) -> int:
    with _header(path) as header:
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        # Positions are counted, not learnt, though files of older models hold them.
        return sum(
            math.prod(entry["shape"]) for entry in tensors if not entry["dtype"].startswith("I")
        )


@contextmanager
def _header(path: Path) -> Iterator[dict[str, Any]]:
    """What is in a safetensors file, from its header: its length in 8 bytes, then JSON."""
    try:
        with path.open("rb") as file:
            yield json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (ValueError, TypeError, KeyError, AttributeError, MemoryError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None


def _files(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The checkpoint's own files with their digests."""
    paths = sorted(path for path in checkpoint.folder.rglob("*") if path.is_file())
    return [
        {
            "name": path.relative_to(checkpoint.folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": file_digest(path),
        }
        for path in paths
        if not any(part.startswith(".") for part in path.relative_to(checkpoint.folder).parts)
    ]


def result_text(value: Any) -> str:
    """A measured number, or a share with its interval."""
    if isinstance(value, dict) and {"share", "low", "high"} <= value.keys():
        return f"{value['share']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
