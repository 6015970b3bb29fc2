"""A checkpoint's name -> its folder: shipped, on disk, or on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from descscore.checkpoints.files import CONFIG, PICKLED, WEIGHTS, file_digest, read_json, unsafe
from descscore.checkpoints.hub import download
from descscore.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    OptionError,
)

SHIPPED = {"mini": Path(__file__).parent / "mini"}

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        name: as it was asked for.
        folder: where its files are.
        revision: the commit, if it came from the Hub.
        base: the CLIP that it builds on; itself for a plain CLIP.
        config: the content of `descscore_config.json`; None for a plain CLIP.
    """

    name: str
    folder: Path
    revision: str | None
    base: Checkpoint | None
    config: dict[str, Any] | None

    @property
    def base_folder(self) -> Path:
        """The folder with CLIP's weights, tokeniser and image processor."""
        return self.folder if self.base is None else self.base.folder

    @cached_property
    def identity(self) -> str:
        """The name and what pins it: the commit on the Hub, or else a digest of the files."""
        if self.revision is not None:
            return f"{self.name}@{self.revision[:12]}"
        name = Path(self.name).name if os.sep in self.name else self.name
        return f"{name}@sha256-{_digest(self.folder)[:12]}"


def resolve_checkpoint(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Checkpoint:
    """Find a checkpoint, downloading it from the Hub only if it is neither shipped nor a folder.

    Args:
        name: a shipped name ("mini"), a folder, or a Hub id ("org/name").
        revision: branch, tag or commit on the Hub.
        local_files_only: take from the Hub's cache only.
        token: for private repositories; by default the one that `hf auth login` stored, or
            `HF_TOKEN`.

    Raises:
        CheckpointNotFoundError: there is no such checkpoint, or it cannot be reached.
        UnsafeCheckpointError: it has only pickled weights.
        CheckpointError: files are missing or malformed.
        OptionError: a revision for something that is not on the Hub.
    """
    name = os.fspath(name)
    shipped = SHIPPED.get(name)
    path = Path(name).expanduser()
    if shipped is not None or (name and path.is_dir()):
        if revision is not None:
            raise OptionError(
                f"revision {revision!r} was given for {name!r}, which is not on the Hub; leave it "
                "out"
            )
        return _inspect(name, shipped or path, None, local_files_only=local_files_only, token=token)
    if not _HUB_ID.fullmatch(name) or path.exists():
        raise CheckpointNotFoundError(
            f"there is no checkpoint {name!r}: it is neither a folder, nor a Hub id such as "
            f"'openai/clip-vit-base-patch32', nor shipped ({', '.join(SHIPPED)})"
        )
    folder, commit = download(name, revision, local_files_only=local_files_only, token=token)
    return _inspect(name, folder, commit, local_files_only=local_files_only, token=token)


def _inspect(
    name: str,
    folder: Path,
    revision: str | None,
    *,
    local_files_only: bool,
    token: str | bool | None,
) -> Checkpoint:
    """Check that a folder holds what it must, and find its base."""
    if (folder / CONFIG).is_file():
        config = read_json(folder / CONFIG)
        _check_digests(name, folder, config.get("digests", {}))
        base = _base(name, folder, config, local_files_only=local_files_only, token=token)
        return Checkpoint(name=name, folder=folder, revision=revision, base=base, config=config)
    if not (folder / "config.json").is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"{name!r} is no checkpoint: it has neither {CONFIG} nor config.json; it holds {found}"
        )
    kind = read_json(folder / "config.json").get("model_type")
    if kind != "clip":
        raise CheckpointError(
            f"{name!r} is a model of type {kind!r}; descscore scores with CLIP models (type 'clip')"
        )
    if not any((folder / file).is_file() for file in WEIGHTS):
        if any((folder / file).is_file() for file in PICKLED):
            raise unsafe(name)
        raise CheckpointError(f"{name!r} has no weights: {folder / WEIGHTS[0]} is missing")
    if not (folder / "preprocessor_config.json").is_file():
        raise CheckpointError(
            f"{name!r} has no image processor: preprocessor_config.json is missing"
        )
    return Checkpoint(name=name, folder=folder, revision=revision, base=None, config=None)


def _check_digests(name: str, folder: Path, digests: dict[str, str]) -> None:
    for file, recorded in digests.items():
        path = folder / file
        if not path.is_file():
            raise CheckpointError(f"{name!r} lacks {file}, which its {CONFIG} records")
        if file_digest(path) != recorded:
            raise CheckpointError(
                f"{name!r} is damaged: {file} is not the file that its {CONFIG} records; fetch or "
                "export it again"
            )


def _base(
    name: str,
    folder: Path,
    config: dict[str, Any],
    *,
    local_files_only: bool,
    token: str | bool | None,
) -> Checkpoint:
    recorded = config.get("base")
    if not isinstance(recorded, dict) or not isinstance(recorded.get("name"), str):
        raise CheckpointError(
            f"{folder / CONFIG} does not name its base model ('base': {{'name': ...}})"
        )
    if (folder / "base").is_dir():
        return _inspect(recorded["name"], folder / "base", None, local_files_only=True, token=None)
    base = resolve_checkpoint(
        recorded["name"],
        revision=recorded.get("revision"),
        local_files_only=local_files_only,
        token=token,
    )
    if base.config is not None:
        raise CheckpointError(
            f"the base of {name!r}, {base.name!r}, is itself an adapter; name a CLIP"
        )
    return base


def _digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".txt", ".safetensors"}:
            total.update(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n".encode())
    return total.hexdigest()
