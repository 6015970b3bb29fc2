"""A checkpoint's name -> its folder: shipped, on disk, or on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from descscore.checkpoints.files import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONFIG,
    FORMAT_VERSION,
    IMAGE_PROCESSOR,
    PICKLED,
    PICKLED_ADAPTER,
    PURPOSE,
    WEIGHTS,
    file_digest,
    folder_digest,
    read_json,
    unsafe,
)
from descscore.checkpoints.hub import download
from descscore.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    OptionError,
)

SHIPPED = {
    "mini": Path(__file__).parent / "mini",
    "mini/base": Path(__file__).parent / "mini" / "base",
}

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")

Change = Literal["adapter", "weights"]
"""How a checkpoint changes its base: by an adapter, or by replacing all its weights."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        name: as it was asked for.
        folder: where its files are, as an absolute path.
        identity: the name and what pins it: the commit on the Hub, or else a digest of the files as
            they were found.
        revision: the commit, if it came from the Hub.
        base: the CLIP that it builds on; None for a plain CLIP.
        config: the content of `descscore_config.json`; None for a plain CLIP.
        change: how it changes its base; None if it does not.
    """

    name: str
    folder: Path
    identity: str
    revision: str | None
    base: Checkpoint | None
    config: dict[str, Any] | None
    change: Change | None = None

    @property
    def base_folder(self) -> Path:
        """The folder with CLIP's configuration, tokeniser and image processor."""
        return self.folder if self.base is None else self.base.folder

    @property
    def weights_folder(self) -> Path:
        """The folder with CLIP's weights, without those of an adapter."""
        return self.folder if self.change == "weights" else self.base_folder


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
    change = _change(name, folder)
    _check_digests(name, folder, config.get("digests", {}))
    base = _find_base(name, folder, config["base"], change, **hub)
    return Checkpoint(
        name=name,
        folder=folder,
        identity=_identity(name, folder, commit),
        revision=commit,
        base=base,
        config=config,
        change=change,
    )


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
        return shipped or path.absolute(), None
    if not HUB_ID.fullmatch(name) or path.exists():
        raise CheckpointNotFoundError(
            f"there is no checkpoint {name!r}: it is neither a folder, nor a Hub id such as "
            f"'openai/clip-vit-base-patch32', nor shipped ({', '.join(SHIPPED)})"
        )
    return download(name, revision, local_files_only=local_files_only, token=token)


def _find_base(
    name: str,
    folder: Path,
    record: dict[str, Any],
    change: Change | None,
    *,
    local_files_only: bool,
    token: str | bool | None,
) -> Checkpoint:
    """The very base that a checkpoint was made with."""
    base_name, revision, digest = record["name"], record.get("revision"), record.get("digest")
    weights = change != "weights"
    path, commit = folder / "base", None
    if not path.is_dir() and revision is not None:
        # Not `_locate`: a folder that happens to have the Hub's name is not what was recorded.
        _check_commit(name, base_name, revision)
        path, commit = download(
            base_name,
            revision,
            local_files_only=local_files_only,
            token=token,
            weights=weights,
        )
    elif not path.is_dir():
        path = SHIPPED.get(base_name) or Path(base_name).expanduser().absolute()
        if not path.is_dir() and HUB_ID.fullmatch(base_name):
            raise CheckpointError(
                f"{name!r} does not record which revision of its base {base_name!r} it was made "
                f"with; export it again, or set the commit as 'revision' of 'base' in its {CONFIG}"
            )
        if not path.is_dir():
            raise CheckpointNotFoundError(
                f"the base of {name!r} is the folder {base_name!r}, which is not here; put it "
                f"there, or copy it to {folder / 'base'}"
            )
        if change and digest is None:
            raise CheckpointError(
                f"{name!r} records no digest of its base {base_name!r}, so nothing shows that it "
                "is the one it was made with; export it again"
            )
    if commit is None and digest is not None and folder_digest(path) != digest:
        raise CheckpointError(
            f"{path} is not the base that {name!r} was made with: its digest is not the one in "
            f"{CONFIG}; take that base, or train again"
        )
    return _plain_clip(base_name, path, commit, weights=weights)


def _check_commit(name: str, base: str, revision: object) -> None:
    if not isinstance(revision, str) or not COMMIT.fullmatch(revision):
        raise CheckpointError(
            f"{name!r} records revision {revision!r} of its base {base!r}, which may move; record "
            "the full commit, 40 hexadecimal digits"
        )
    if not HUB_ID.fullmatch(base):
        raise CheckpointError(
            f"{name!r} records a revision of its base {base!r}, which is no Hub id; export it again"
        )


def _plain_clip(
    name: str, folder: Path, revision: str | None, *, weights: bool = True
) -> Checkpoint:
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
    for file in (ADAPTER_CONFIG, ADAPTER, PURPOSE):
        if (folder / file).is_file():
            raise CheckpointError(
                f"{name!r} is a CLIP with {file} beside it, but without the {CONFIG} that says "
                "what to do with it; export the checkpoint again, or take the file away"
            )
    if weights and not _any_of(folder, WEIGHTS):
        if _any_of(folder, PICKLED):
            raise unsafe(name)
        raise CheckpointError(f"{name!r} has no weights: {folder / WEIGHTS[0]} is missing")
    if not _any_of(folder, IMAGE_PROCESSOR):
        raise CheckpointError(f"{name!r} has no image processor: {IMAGE_PROCESSOR[0]} is missing")
    return Checkpoint(
        name=name,
        folder=folder,
        identity=_identity(name, folder, revision),
        revision=revision,
        base=None,
        config=None,
    )


def _identity(name: str, folder: Path, commit: str | None) -> str:
    if commit is not None:
        return f"{name}@{commit[:12]}"
    short = Path(name).name if Path(name).is_dir() else name
    return f"{short}@sha256-{folder_digest(folder)[:12]}"


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
    digests = config.get("digests", {})
    if not isinstance(digests, dict):
        raise CheckpointError(f"{folder / CONFIG} records digests as {digests!r}, not by file")


def _change(name: str, folder: Path) -> Change | None:
    """How the files of a checkpoint change its base; they must leave no doubt."""
    lacking = [file for file in (ADAPTER_CONFIG, ADAPTER) if not (folder / file).is_file()]
    if ADAPTER in lacking and (folder / PICKLED_ADAPTER).is_file():
        raise unsafe(name, PICKLED_ADAPTER)
    replaces = _any_of(folder, WEIGHTS)
    if replaces and len(lacking) < 2:
        raise CheckpointError(
            f"{name!r} has both an adapter and {WEIGHTS[0]}, so it is unclear which of them "
            "changes its base; export it again"
        )
    if replaces:
        return "weights"
    if not lacking:
        return "adapter"
    if len(lacking) == 1:
        raise CheckpointError(f"{name!r} has half an adapter: {lacking[0]} is missing")
    if _any_of(folder, PICKLED):
        raise unsafe(name)
    if (folder / PURPOSE).is_file() or not (folder / "base").is_dir():
        raise CheckpointError(
            f"{name!r} changes its base by nothing: it has neither an adapter ({ADAPTER_CONFIG}, "
            f"{ADAPTER}) nor {WEIGHTS[0]}; fetch or export it again"
        )
    return None


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


def _any_of(folder: Path, files: tuple[str, ...]) -> bool:
    return any((folder / file).is_file() for file in files)
