"""What a checkpoint is, read from its files without loading a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from descscore.checkpoints.files import (
    ADAPTER,
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    PURPOSE,
    file_digest,
    read_json,
    visible_files,
)
from descscore.checkpoints.weights import (
    COUNTED,
    check_layers,
    read_header,
    stored_tensors,
    stored_weights,
)
from descscore.errors import CheckpointError
from descscore.strings import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from descscore.checkpoints.store import Checkpoint
    from descscore.checkpoints.weights import StoredTensor

# What transformers takes where a config.json says nothing.
_VISION = {"image_size": 224, "patch_size": 32, "num_hidden_layers": 12, "hidden_size": 768}
_TEXT = {
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "num_hidden_layers": 12,
    "hidden_size": 512,
}
_SIGLIP_VISION = _VISION | {"patch_size": 16}
_SIGLIP_TEXT = _TEXT | {"max_position_embeddings": 64, "vocab_size": 32000, "hidden_size": 768}


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Kind, sizes, training, results and files of a checkpoint, as plain values.

    Raises:
        CheckpointError: a file is missing or malformed.
    """
    if checkpoint.open_clip:
        return _describe_open_clip(checkpoint)
    path = checkpoint.base_folder / "config.json"
    model = read_json(path)
    weights = stored_weights(checkpoint.weights_folder)
    siglip = model.get("model_type") == "siglip"
    vision = _sizes(path, model, "vision", _SIGLIP_VISION if siglip else _VISION, weights)
    text = _sizes(path, model, "text", _SIGLIP_TEXT if siglip else _TEXT, weights)
    adapter = checkpoint.folder / ADAPTER
    config = checkpoint.config or {}
    base = checkpoint.base
    return {
        "name": checkpoint.name,
        "kind": "plain SigLIP" if siglip else _kind(checkpoint),
        "identity": checkpoint.identity,
        "folder": str(checkpoint.folder),
        "revision": checkpoint.revision,
        "base": None if base is None else {"name": base.name, "revision": base.revision},
        "parameters": _parameters(weights),
        "adapter_parameters": _parameters(stored_tensors(adapter)) if adapter.is_file() else None,
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "text_window": text["max_position_embeddings"],
        "vocabulary": text["vocab_size"],
        "image_tower": _tower(vision),
        "text_tower": _tower(text),
        "embedding": vision["hidden_size"] if siglip else model.get("projection_dim", 512),
        "subspace": _subspace(checkpoint.folder / PURPOSE),
        "made_by": config.get("made_by"),
        "seed": config.get("seed"),
        "trained_on": config.get("data"),
        "recipe": config.get("recipe"),
        "measured": config.get("measured"),
        "measured_base": config.get("measured_base"),
        "files": _files(checkpoint),
    }


def _describe_open_clip(checkpoint: Checkpoint) -> dict[str, Any]:
    """The same of a model in open_clip's format, as far as its files tell."""
    model = read_json(checkpoint.folder / OPEN_CLIP_CONFIG).get("model_cfg")
    weights = stored_tensors(checkpoint.folder / OPEN_CLIP_WEIGHTS)
    return {
        "name": checkpoint.name,
        "kind": "model of open_clip",
        "identity": checkpoint.identity,
        "folder": str(checkpoint.folder),
        "revision": checkpoint.revision,
        "parameters": _parameters(weights),
        "model": model,
        "files": _files(checkpoint),
    }


def _kind(checkpoint: Checkpoint) -> str:
    if checkpoint.change is None and checkpoint.config is None:
        return "plain CLIP"
    if (checkpoint.folder / ADAPTER).is_file():
        return "CLIP with an adapter"
    return "CLIP" if (checkpoint.folder / "base").is_dir() else "fine-tuned CLIP"


def _sizes(
    path: Path,
    model: dict[str, Any],
    tower: str,
    default: dict[str, int],
    weights: Mapping[str, StoredTensor],
) -> dict[str, int]:
    """A tower's sizes by config.json, once they are seen to be sizes, and those of the weights."""
    settings = model.get(f"{tower}_config") or {}
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} has {tower}_config {quoted(settings)}, not an object")
    sizes = {key: settings.get(key, value) for key, value in default.items()}
    for key, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise CheckpointError(
                f"{path} has {key} {quoted(value)} for its {tower} tower; correct it"
            )
    check_layers(path, tower, sizes["num_hidden_layers"], weights)
    return sizes


def _tower(config: dict[str, Any]) -> dict[str, Any]:
    return {"layers": config["num_hidden_layers"], "width": config["hidden_size"]}


def _parameters(tensors: Mapping[str, StoredTensor]) -> int:
    return sum(tensor.count for name, tensor in tensors.items() if not COUNTED.search(name))


def _subspace(path: Path) -> dict[str, int] | None:
    """After which block of the text tower the purpose subspace is, and its dimensions."""
    if not path.is_file():
        return None
    header = read_header(path)
    try:
        _, dimension = header["basis"]["shape"]
        return {"layer": int(header["__metadata__"]["layer"]), "dimension": dimension}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds no basis and its layer ({error})") from None


def _files(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The checkpoint's own files with their digests."""
    paths = {name: checkpoint.folder / name for name in visible_files(checkpoint.folder)}
    return [
        {"name": name, "bytes": path.stat().st_size, "sha256": file_digest(path)}
        for name, path in paths.items()
    ]
