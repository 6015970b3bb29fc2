"""A checkpoint's name -> its folder: shipped, on disk, or on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from descscore.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    OptionError,
    UnsafeCheckpointError,
)

SHIPPED = {"mini": Path(__file__).parent / "mini"}

CONFIG = "descscore_config.json"

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_CONVERTER = "SFconvertbot"
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_NEEDED = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    CONFIG,
)


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
    folder, commit = _download(name, revision, local_files_only=local_files_only, token=token)
    return _inspect(name, folder, commit, local_files_only=local_files_only, token=token)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return content


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    if not any((folder / file).is_file() for file in _WEIGHTS):
        if any((folder / file).is_file() for file in _PICKLED):
            raise _unsafe(name)
        raise CheckpointError(f"{name!r} has no weights: {folder / _WEIGHTS[0]} is missing")
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


def _download(
    name: str, revision: str | None, *, local_files_only: bool, token: str | bool | None
) -> tuple[Path, str]:
    """Fetch the needed files of a Hub repository into the cache; the folder and its commit."""
    from huggingface_hub import is_offline_mode, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(revision: str | None) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=[*_NEEDED, *(f"base/{file}" for file in _NEEDED)],
            )
        )

    at = f" at revision {revision!r}" if revision else ""
    try:
        folder = fetch(revision)
        if not _has_weights(folder):
            offline = local_files_only or is_offline_mode()
            folder = fetch(
                _cached_conversion(name, folder, revision)
                if offline
                else _conversion(name, revision, token)
            )
    except GatedRepoError as error:
        raise CheckpointNotFoundError(
            f"{name!r} is gated: ask for access on its page, then run `hf auth login` or give "
            "`token`"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointNotFoundError(
            f"there is no {name!r} on the Hub that this token can see, and no folder of that name; "
            "check the spelling, or run `hf auth login` or give `token` for a private one"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointNotFoundError(
            f"{name!r} has no revision {revision!r} on the Hub"
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointNotFoundError(
            f"{name!r}{at} is not in the Hub's cache, and the Hub cannot be reached (or may not "
            "be: local_files_only, HF_HUB_OFFLINE); go online once, give a folder, or use 'mini'"
        ) from error
    except (HFValidationError, HTTPError, OSError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code == 401:
            raise CheckpointError(
                f"the Hub refused the token for {name!r}{at}; run `hf auth login`, or give another "
                "`token`"
            ) from error
        raise CheckpointError(
            f"{name!r}{at} could not be fetched from the Hub ({error}); try again, what has "
            "arrived is kept"
        ) from error
    return folder, folder.name


def _has_weights(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (*_WEIGHTS, CONFIG))


def _conversion(name: str, revision: str | None, token: str | bool | None) -> str:
    """The Hub's own conversion to safetensors of a repository with pickled weights only.

    The Hub's bot offers it as a pull request, which older repositories often never merged.

    Raises:
        UnsafeCheckpointError: there is none, or a revision was asked for.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    if not any(file in api.list_repo_files(name, revision=revision) for file in _PICKLED):
        raise CheckpointError(f"{name!r} has no weights: {_WEIGHTS[0]} is missing on the Hub")
    if revision is None:
        for discussion in api.get_repo_discussions(
            name, author=_CONVERTER, discussion_type="pull_request"
        ):
            reference = discussion.git_reference
            # Anyone can open a pull request, so the filter alone is not trusted.
            if discussion.author != _CONVERTER or discussion.status != "open" or reference is None:
                continue
            if _WEIGHTS[0] in api.list_repo_files(name, revision=reference):
                return reference
    raise _unsafe(name)


def _cached_conversion(name: str, folder: Path, revision: str | None) -> str:
    """The conversion that was fetched when the Hub could be reached.

    Raises:
        CheckpointNotFoundError: there is none, or nothing tells which one it is.
    """
    repository = folder.parent.parent
    found = [
        path.relative_to(repository / "refs").as_posix()
        for path in (repository / "refs" / "refs" / "pr").glob("*")
        if _has_weights(repository / "snapshots" / path.read_text())
    ]
    if revision is not None or len(found) != 1:
        raise CheckpointNotFoundError(
            f"the Hub's cache holds no weights of {name!r} in safetensors; go online once, or name "
            "a revision that has them"
        )
    return found[0]


def _unsafe(name: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{name!r} has only pickled weights ({_PICKLED[0]}), which could run code when loaded; "
        "name a revision with model.safetensors, or convert it: "
        "CLIPModel.from_pretrained(...).save_pretrained(...)"
    )


def _digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".txt", ".safetensors"}:
            total.update(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n".encode())
    return total.hexdigest()
