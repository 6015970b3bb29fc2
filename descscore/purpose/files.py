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

_TOLERANCE = 1e-5


def save_purpose(path: Path, purpose: Purpose, raw: Mapping[str, Tensor] | None = None) -> None:
    """Write a subspace, its probe and its site.

    Args:
        path: `das.safetensors`.
        purpose: what to write.
        raw: the state of the `LearnedBasis`, so that training can continue; the basis alone would
            have to be orthonormalised again.
    """
    tensors = {
        "basis": purpose.basis,
        "probe.weight": purpose.weight,
        "probe.bias": purpose.bias,
        "mean.caption": purpose.caption_mean,
        "mean.description": purpose.description_mean,
        **{f"parametrization.{name}": tensor for name, tensor in (raw or {}).items()},
    }
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
    tensors, metadata = _read(path)
    missing = {"basis", "probe.weight", "probe.bias", "mean.caption", "mean.description"} - {
        *tensors
    }
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(sorted(missing))}; export it again")
    layer = metadata.get("layer", "")
    if (metadata.get("tower"), metadata.get("position")) != (TOWER, POSITION) or not (
        layer.isdecimal()
    ):
        raise CheckpointError(
            f"{path} is for the site {metadata}; this version of descscore reads subspaces of the "
            f"{TOWER} tower at position {POSITION!r} after a numbered layer"
        )
    basis = tensors["basis"].float()
    if basis.ndim != 2 or not basis.shape[0] >= basis.shape[1] >= 1:
        raise CheckpointError(
            f"{path} has a basis of shape {tuple(basis.shape)}, not [width, dimension]"
        )
    dimension = basis.shape[1]
    for name in ("probe.weight", "mean.caption", "mean.description"):
        if tensors[name].shape != (dimension,):
            raise CheckpointError(
                f"{path} has {name} of shape {tuple(tensors[name].shape)}, but its basis has "
                f"{dimension} columns"
            )
    if tensors["probe.bias"].numel() != 1:
        raise CheckpointError(
            f"{path} has probe.bias of shape {tuple(tensors['probe.bias'].shape)}, not one value"
        )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path} has values in {name} that are not finite")
    error = orthonormality_error(basis)
    if error > _TOLERANCE:
        raise CheckpointError(
            f"{path} has no orthonormal basis: RᵀR differs from I by {error:.1e}; export it again"
        )
    return Purpose(
        site=Site(layer=int(layer)),
        basis=basis,
        weight=tensors["probe.weight"].float(),
        bias=tensors["probe.bias"].float().reshape(()),
        caption_mean=tensors["mean.caption"].float(),
        description_mean=tensors["mean.description"].float(),
    )


def _ordered(content: bytes) -> bytes:
    """The same file with its header in order, which safetensors shuffles anew each time."""
    size = int.from_bytes(content[:8], "little")
    fields = json.loads(content[8 : 8 + size])
    header = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode().ljust(size)
    return content[:8] + header + content[8 + size :]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
