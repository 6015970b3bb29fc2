"""The files of a checkpoint's folder: their names, how they are read and told apart."""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from descscore.errors import CheckpointError, UnsafeCheckpointError
from descscore.strings import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONFIG = "descscore_config.json"

MODEL_TYPES = ("clip", "siglip")
"""Types of models in config.json that descscore scores with."""

FORMAT_VERSION = 1
"""Of the content of `descscore_config.json`."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
IMAGE_PROCESSOR = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json")

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER = "adapter_model.safetensors"
PICKLED_ADAPTER = "adapter_model.bin"
PURPOSE = "das.safetensors"

SHARDS = "model-*-of-*.safetensors"

_CLIP = (
    "config.json",
    *IMAGE_PROCESSOR,
    *TOKENIZER,
    "merges.txt",
    "spiece.model",
    *WEIGHTS,
    SHARDS,
)
NEEDED = (*_CLIP, *(f"base/{file}" for file in _CLIP), CONFIG, ADAPTER_CONFIG, ADAPTER, PURPOSE)
"""All that is fetched, and all that a digest covers."""


OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
OPEN_CLIP = (OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS)
"""What is fetched of a model of open_clip's, and what its digest covers."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except RecursionError:
        raise CheckpointError(f"{path} is nested too deeply to be read") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return content


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    found = path.stat()
    times = found.st_mtime_ns, found.st_ctime_ns
    return _digest(path, found.st_size, times, (found.st_dev, found.st_ino))


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: tuple[int, int], _place: tuple[int, int]) -> str:
    """The same of a file that has not changed: a checkpoint's are asked for several times."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, patterns: Sequence[str] = NEEDED) -> str:
    """SHA-256 over the names and contents of a checkpoint's files, whatever lies beside them."""
    total = hashlib.sha256()
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    if patterns is NEEDED:
        for part in (folder, folder / "base"):
            paths.update(weight_files(part))
    for path in sorted(paths):
        total.update(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n".encode())
    return total.hexdigest()


def named_by_index(folder: Path) -> list[str]:
    """The files that the index takes weights from; empty without one, or beside whole weights.

    Raises:
        CheckpointError: the index names no files.
    """
    whole, index = (folder / file for file in WEIGHTS)
    if whole.is_file() or not index.is_file():
        return []
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(file, str) for file in names.values()):
        raise CheckpointError(f"{index} has no 'weight_map' from weights to files")
    return sorted(set(names.values()))


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers takes a model's weights from; empty without safetensors.

    Raises:
        CheckpointError: the index names a file that is missing or outside the folder.
    """
    whole, index = (folder / file for file in WEIGHTS)
    if whole.is_file():
        return [whole]
    paths = []
    for name in named_by_index(folder):
        # A plain name, as transformers writes them, cannot lead out of the folder.
        if name != os.path.basename(name) or name in {"", ".", ".."} or "\\" in name:
            raise CheckpointError(
                f"{index} takes weights from {quoted(name)}; they must be in the same folder"
            )
        # transformers would unpickle anything else.
        if not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{index} takes weights from {quoted(name)}, which is not a .safetensors file"
            )
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{index} names {quoted(name)}, which is missing; download it again"
            )
        paths.append(folder / name)
    return paths


def visible_files(folder: Path) -> list[str]:
    """The names of a folder's files, with "/" between folders, but for hidden ones."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if not any(part[0] == "." for part in path.parts)]


def check_regular(folder: Path) -> None:
    """Refuse pipes and devices among a checkpoint's files, whose reading may never end.

    Raises:
        CheckpointError: there is one, or a link to one.
    """
    for part in (folder, folder / "base"):
        if not part.is_dir():
            continue
        for path in part.iterdir():
            # A link that leads nowhere is a file that is missing.
            if path.exists() and not path.is_file() and not path.is_dir():
                raise CheckpointError(
                    f"{path} is a pipe or a device, not a regular file; remove it"
                )


def unsafe(name: str, file: str = PICKLED[0]) -> UnsafeCheckpointError:
    """The error for a checkpoint without safetensors."""
    if file == PICKLED_ADAPTER:
        remedy = f"save the adapter again, as {ADAPTER}: PeftModel.save_pretrained(...)"
    else:
        remedy = (
            "name a revision with model.safetensors, or convert it: "
            "CLIPModel.from_pretrained(...).save_pretrained(...)"
        )
    return UnsafeCheckpointError(
        f"{name!r} has only pickled weights ({file}), which could run code when loaded; {remedy}"
    )
