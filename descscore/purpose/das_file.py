"""`das.safetensors`: a purpose subspace and its probe on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from descscore.errors import CheckpointError
from descscore.purpose.probe import Purpose
from descscore.purpose.subspace import POSITION, TOWER, Site, orthonormality_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_TENSORS = {
    "basis": "basis",
    "weight": "probe.weight",
    "bias": "probe.bias",
    "caption_mean": "mean.caption",
    "description_mean": "mean.description",
}
"""Tensors of a `Purpose`, and what they are called in a file."""

_TOLERANCE = 1e-5


def save_purpose(path: Path, purpose: Purpose, raw: Mapping[str, Tensor] | None = None) -> None:
    """Write a subspace, its probe and its site.

    Args:
        path: `das.safetensors`.
        purpose: what to write.
        raw: the state of the `LearnedBasis`, so that training can continue; the basis alone would
            have to be orthonormalised again.
    """
    tensors = {name: getattr(purpose, field) for field, name in _TENSORS.items()}
    tensors |= {f"parametrization.{name}": tensor for name, tensor in (raw or {}).items()}
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"tower": TOWER, "layer": str(purpose.site.layer), "position": POSITION},
    )
    path.write_bytes(_ordered(content))


def load_purpose(path: Path) -> Purpose:
    """Read a subspace and its probe.

    Raises:
        CheckpointError: the file is damaged, its tensors do not fit each other, the basis is not
            orthonormal, or the site is of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if missing := sorted({*_TENSORS.values()} - {*tensors}):
        raise CheckpointError(f"{path} lacks {', '.join(missing)}; export it again")
    layer = metadata.get("layer", "")
    if (metadata.get("tower"), metadata.get("position")) != (TOWER, POSITION) or not (
        layer.isdecimal()
    ):
        raise CheckpointError(
            f"{path} is for the site {metadata}; this version of descscore reads subspaces of the "
            f"{TOWER} tower at position {POSITION!r} after a numbered layer"
        )
    found = {field: tensors[name].float() for field, name in _TENSORS.items()}
    basis = found.pop("basis")
    if basis.ndim != 2 or not basis.shape[0] >= basis.shape[1] >= 1:
        raise CheckpointError(
            f"{path} has a basis of shape {tuple(basis.shape)}, not [width, dimension]"
        )
    if found["bias"].numel() == 1:
        found["bias"] = found["bias"].reshape(())
    for field, tensor in found.items():
        if tensor.shape != (() if field == "bias" else basis.shape[1:]):
            raise CheckpointError(
                f"{path} has {_TENSORS[field]} of shape {tuple(tensor.shape)}, which does not fit "
                f"a basis of {basis.shape[1]} columns"
            )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path} has values in {name} that are not finite")
    error = orthonormality_error(basis)
    if error > _TOLERANCE:
        raise CheckpointError(
            f"{path} has no orthonormal basis: RᵀR differs from I by {error:.1e}; export it again"
        )
    return Purpose(site=Site(layer=int(layer)), basis=basis, **found)


def _ordered(content: bytes) -> bytes:
    """The same file with its header in order, which safetensors shuffles anew each time."""
    size = int.from_bytes(content[:8], "little")
    fields = json.loads(content[8 : 8 + size])
    header = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode().ljust(size)
    return content[:8] + header + content[8 + size :]
