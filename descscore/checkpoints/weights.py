"""Safetensors files by their headers: what they hold, and whether they are whole."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.files import weight_files
from descscore.errors import CheckpointError
from descscore.strings import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_LFS = b"version https://git-lfs"
_LONGEST_HEADER = 100_000_000
_FLOATS = ("F64", "F32", "F16", "BF16")

# Positions are counted, not learnt, though files of older models hold them.
COUNTED = re.compile(r"(^|\.)position_ids$")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a header describes it.

    Attributes:
        dtype: in safetensors' terms, such as "F32".
        shape: its sides.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def stored_weights(folder: Path) -> dict[str, StoredTensor]:
    """What a folder's weights hold, from the headers of all files that they come from.

    Raises:
        CheckpointError: a file is missing, damaged or cut off, or holds no floats.
    """
    tensors: dict[str, StoredTensor] = {}
    for path in weight_files(folder):
        tensors |= stored_tensors(path)
    return tensors


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """What a safetensors file holds, from its header: its length in 8 bytes, then JSON.

    Raises:
        CheckpointError: the file is damaged or cut off, or holds integers where weights are floats.
    """
    header = read_header(path)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        tensor = StoredTensor(entry["dtype"], tuple(entry["shape"]))
        if tensor.dtype not in _FLOATS and not COUNTED.search(name):
            raise CheckpointError(
                f"{path} holds {name} as {tensor.dtype}: quantised or rounded weights, which "
                f"descscore does not read; use weights in {', '.join(_FLOATS)}"
            )
        tensors[name] = tensor
    return tensors


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, whose size must be the one that the header promises.

    Raises:
        CheckpointError: it cannot be read, is a pointer of Git LFS, damaged or cut off.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if start and _LFS.startswith(start):
                raise CheckpointError(
                    f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull` "
                    "where it was cloned, or download it from the Hub"
                )
            length = int.from_bytes(start, "little")
            content = file.read(length) if length <= min(size, _LONGEST_HEADER) else b""
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if len(start) < 8 or len(content) < length:
        raise CheckpointError(
            f"{path} has {size:,} bytes and is not a complete safetensors file: its header is cut "
            "off; download it again"
        )
    try:
        header = json.loads(content)
        ends = [_end(entry) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file: {error}; download it again"
        ) from None
    promised = 8 + length + max(ends, default=0)
    if promised != size:
        raise CheckpointError(
            f"{path} has {size:,} bytes, but its header promises {promised:,}: it is "
            f"{'cut off' if size < promised else 'damaged'}; download it again"
        )
    return header


def _end(entry: dict[str, Any]) -> int:
    """Where a tensor ends, once its entry is seen to be one."""
    shape, (start, end) = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or not all(
        isinstance(number, int) and number >= 0 for number in (*shape, start, end)
    ):
        raise ValueError("an entry of its header is not a tensor")
    return end


def check_layers(path: Path, tower: str, claimed: int, weights: Mapping[str, StoredTensor]) -> None:
    """Refuse a number of layers in a config.json that is not that of the weights.

    Raises:
        CheckpointError: the tower has another number of them.
    """
    layer = re.compile(rf"{tower}_model\.encoder\.layers\.(\d+)\.")
    numbers = [int(found[1]) for name in weights if (found := layer.match(name))]
    count = max(numbers, default=-1) + 1
    if claimed != count:
        raise CheckpointError(
            f"{path} says that the {tower} tower has {quoted(claimed)} layers, but the weights "
            f"have {count}; use the config.json that belongs to them"
        )


def mismatch(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor] | Mapping[str, StoredTensor]
) -> str | None:
    """How the tensors that are there differ from those that a model has; None if they do not."""
    common = expected.keys() & found.keys()
    for what, keys in (
        ("missing", expected.keys() - found.keys()),
        ("unexpected", found.keys() - expected.keys()),
        ("of another shape", {key for key in common if expected[key].shape != found[key].shape}),
    ):
        if keys:
            return f"{len(keys)} {what}, the first is {min(keys)}"
    return None
