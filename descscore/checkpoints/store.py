"""A checkpoint's name -> its folder: shipped, on disk, or on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from descscore.checkpoints.files import (
    ADAPTED,
    CONFIG,
    FORMAT_VERSION,
    IMAGE_PROCESSOR,
    NEEDED,
    PICKLED,
    WEIGHTS,
    file_digest,
    read_json,
    unsafe,
)
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
        base: the CLIP that it builds on; None for a plain CLIP.
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
        name = Path(self.name).name if Path(self.name).is_dir() else self.name
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
    hub = {"local_files_only": local_files_only, "token": token}
    folder, commit = _locate(name, revision, **hub)
    name = os.fspath(name)
    if not (folder / CONFIG).is_file():
        return _plain_clip(name, folder, commit)
    config = read_json(folder / CONFIG)
    _check_config(name, folder, config)
    base_name, base_revision = config["base"]["name"], config["base"].get("revision")
    if (folder / "base").is_dir():
        base = _plain_clip(base_name, folder / "base", None)
    else:
        base = _plain_clip(base_name, *_locate(base_name, base_revision, **hub))
    return Checkpoint(name=name, folder=folder, revision=commit, base=base, config=config)


def _locate(
    name: str | os.PathLike[str],
    revision: str | None,
    *,
    local_files_only: bool,
    token: str | bool | None,
) -> tuple[Path, str | None]:
    """The folder of a checkpoint, and its commit if it is the Hub's."""
    # A path object that happens to have a shipped name is a folder all the same.
    shipped = SHIPPED.get(name) if isinstance(name, str) else None
    name = os.fspath(name)
    path = Path(name).expanduser()
    if shipped is not None or (name and path.is_dir()):
        if revision is not None:
            raise OptionError(
                f"revision {revision!r} was given for {name!r}, which is not on the Hub; leave it "
                "out"
            )
        return shipped or path, None
    if not _HUB_ID.fullmatch(name) or path.exists():
        raise CheckpointNotFoundError(
            f"there is no checkpoint {name!r}: it is neither a folder, nor a Hub id such as "
            f"'openai/clip-vit-base-patch32', nor shipped ({', '.join(SHIPPED)})"
        )
    return download(name, revision, local_files_only=local_files_only, token=token)


def _plain_clip(name: str, folder: Path, revision: str | None) -> Checkpoint:
    """A folder in transformers' format, once it is seen to hold what it must."""
    if not (folder / "config.json").is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"{name!r} is no CLIP: it has no config.json (nor {CONFIG}); it holds {found}"
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
    if not any((folder / file).is_file() for file in IMAGE_PROCESSOR):
        raise CheckpointError(f"{name!r} has no image processor: {IMAGE_PROCESSOR[0]} is missing")
    return Checkpoint(name=name, folder=folder, revision=revision, base=None, config=None)


def _check_config(name: str, folder: Path, config: dict[str, Any]) -> None:
    """Refuse what this version would read wrongly."""
    if config.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{name!r} has format {config.get('format')!r} and this version of descscore reads "
            f"format {FORMAT_VERSION}; upgrade descscore, or export the checkpoint again"
        )
    base = config.get("base")
    if not isinstance(base, dict) or not isinstance(base.get("name"), str):
        raise CheckpointError(
            f"{folder / CONFIG} does not name its base model ('base': {{'name': ...}})"
        )
    for file in ADAPTED:
        if (folder / file).is_file():
            raise CheckpointError(
                f"{name!r} changes its base by {file}, which this version of descscore does not "
                "load; upgrade descscore"
            )
    digests = config.get("digests", {})
    if not isinstance(digests, dict):
        raise CheckpointError(f"{folder / CONFIG} records digests as {digests!r}, not by file")
    _check_digests(name, folder, digests)


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


def _digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a checkpoint's files, whatever lies beside them."""
    total = hashlib.sha256()
    paths = [path for pattern in NEEDED for path in folder.glob(pattern)]
    for path in sorted(paths):
        total.update(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n".encode())
    return total.hexdigest()
