"""A checkpoint's name -> its folder: shipped, on disk, or on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from descscore.checkpoints.files import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONFIG,
    IMAGE_PROCESSOR,
    MODEL_TYPES,
    OPEN_CLIP,
    OPEN_CLIP_CONFIG,
    PICKLED,
    PURPOSE,
    WEIGHTS,
    check_regular,
    folder_digest,
    read_json,
    unsafe,
)
from descscore.checkpoints.hub import download
from descscore.checkpoints.records import (
    HUB_ID,
    Change,
    any_of,
    change_of,
    check_commit,
    check_config,
    check_digests,
)
from descscore.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    DemonstrationWarning,
    OptionError,
)
from descscore.strings import quoted

SHIPPED = {
    "mini": Path(__file__).parent / "mini",
    "mini/base": Path(__file__).parent / "mini" / "base",
}

_OPENAI = tuple(
    f"openai/clip-vit-{model}"
    for model in ("base-patch32", "base-patch16", "large-patch14", "large-patch14-336")
)

_WORD = re.compile(r"[\w-]{1,32}")

OPEN_CLIP_PREFIX = "open_clip:"
"""Before the name of a folder or Hub repository to take open_clip's files of it."""

Fetch = Callable[..., tuple[Path, str]]
"""`download`, with what the caller said of the Hub."""


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
        open_clip: whether it is a model of open_clip's, in its format.
    """

    name: str
    folder: Path
    identity: str
    revision: str | None
    base: Checkpoint | None = None
    config: dict[str, Any] | None = None
    change: Change | None = None
    open_clip: bool = False

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
        name: a shipped name ("mini"), a folder, or a Hub id ("org/name"); with "open_clip:" before
            it, in open_clip's format.
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
    fetch = partial(download, local_files_only=local_files_only, token=token)
    if isinstance(name, str) and name.startswith(OPEN_CLIP_PREFIX):
        inner = name.removeprefix(OPEN_CLIP_PREFIX)
        fetch = partial(fetch, files=OPEN_CLIP, weights=False)
        return _open_clip(name, *_locate(inner, revision, fetch))
    folder, commit = _locate(name, revision, fetch)
    name = os.fspath(name)
    check_regular(folder)
    if (folder / OPEN_CLIP_CONFIG).is_file() and not (folder / "config.json").is_file():
        return _open_clip(name, folder, commit)
    if not (folder / CONFIG).is_file():
        if (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file():
            return _bare_adapter(name, folder, commit, fetch)
        return _plain_clip(name, folder, commit)
    config = read_json(folder / CONFIG)
    check_config(name, folder, config)
    change = change_of(name, folder)
    check_digests(name, folder, config.get("digests") or {})
    base = _find_base(name, folder, config["base"], change, fetch)
    return Checkpoint(
        name=name,
        folder=folder,
        identity=_identity(name, folder, commit, config),
        revision=commit,
        base=base,
        config=config,
        change=change,
    )


def _locate(
    name: str | os.PathLike[str], revision: str | None, fetch: Fetch
) -> tuple[Path, str | None]:
    """The folder of a checkpoint, and its commit if it is the Hub's."""
    # A path object that happens to have a shipped name is a folder all the same.
    shipped = SHIPPED.get(name) if isinstance(name, str) else None
    name = os.fspath(name)
    path = _folder(name)
    if shipped is not None or path is not None:
        if revision is not None:
            raise OptionError(
                f"revision {revision!r} was given for {name!r}, which is not on the Hub; omit it"
            )
        return shipped or path, None  # pyright: ignore[reportReturnType] - one of them is there
    meant = next((known for known in _OPENAI if _letters(known) == _letters(name)), None)
    if meant is not None and name != meant:
        raise CheckpointNotFoundError(
            f"there is no checkpoint {name!r}: on the Hub, OpenAI's model of that name is {meant!r}"
        )
    if not HUB_ID.fullmatch(name) or os.path.exists(name):
        raise CheckpointNotFoundError(
            f"there is no checkpoint {quoted(name)}: it is neither a folder, nor a Hub id such as "
            f"'openai/clip-vit-base-patch32', nor shipped ({', '.join(SHIPPED)})"
        )
    return fetch(name, revision)


def _letters(name: str) -> str:
    """A model's name as OpenAI writes it, in lowercase without marks: vitb32 for ViT-B/32."""
    short = name.casefold().replace("base", "b").replace("large", "l")
    return re.sub(r"openai|clip|patch|px|[^a-z0-9]", "", short)


def _find_base(
    name: str, folder: Path, record: dict[str, Any], change: Change | None, fetch: Fetch
) -> Checkpoint:
    """The very base that a checkpoint was made with."""
    base_name, revision, digest = record["name"], record.get("revision"), record.get("digest")
    weights = change != "weights"
    path, commit = folder / "base", None
    if not path.is_dir() and revision is not None:
        # Not `_locate`: a folder that happens to have the Hub's name is not what was recorded.
        check_commit(name, base_name, revision)
        path, commit = fetch(base_name, revision, weights=weights)
    elif not path.is_dir():
        found = SHIPPED.get(base_name) or _folder(base_name)
        if found is None and HUB_ID.fullmatch(base_name):
            raise CheckpointError(
                f"{name!r} does not record which revision of its base {base_name!r} it was made "
                f"with; export it again, or set the commit as 'revision' of 'base' in its {CONFIG}"
            )
        if found is None:
            raise CheckpointNotFoundError(
                f"the base of {name!r} is the folder {quoted(base_name)}, which is not here; put "
                f"it there, or copy it to {folder / 'base'}"
            )
        path = found
        check_regular(path)
        if change and digest is None:
            raise CheckpointError(
                f"{name!r} records no digest of its base {base_name!r}, so nothing shows that it "
                "is the one it was made with; export it again"
            )
    if commit is None and digest is not None and folder_digest(path) != digest:
        raise CheckpointError(
            f"{path} is not the base that {name!r} was made with: its digest is not the one in "
            f"{CONFIG}; use that base, or train again"
        )
    return _plain_clip(base_name, path, commit, weights=weights)


def _open_clip(name: str, folder: Path, commit: str | None) -> Checkpoint:
    """A folder of open_clip's, once it is seen to hold what it must."""
    check_regular(folder)
    for file in OPEN_CLIP:
        if not (folder / file).is_file():
            raise CheckpointError(f"{name!r} is not an open_clip model: {file} is missing")
    digest = folder_digest(folder, OPEN_CLIP)[:12]
    pinned = commit[:12] if commit is not None else f"sha256-{digest}"
    short = OPEN_CLIP_PREFIX + (name.removeprefix(OPEN_CLIP_PREFIX) if commit else folder.name)
    return Checkpoint(
        name=name, folder=folder, identity=f"{short}@{pinned}", revision=commit, open_clip=True
    )


def _folder(name: str) -> Path | None:
    """The folder of a name, or None: there is none, or no system can have one of that name."""
    try:
        path = Path(name).expanduser()
        return path.absolute() if name and path.is_dir() else None
    # An unknown user, a null character, a name that is too long.
    except (OSError, RuntimeError, ValueError):
        return None


def _bare_adapter(name: str, folder: Path, commit: str | None, fetch: Fetch) -> Checkpoint:
    """A folder of PEFT's own, without descscore's record, on the base that it names."""
    settings = read_json(folder / ADAPTER_CONFIG)
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(
            f"{name!r} is an adapter of PEFT that names no base ({ADAPTER_CONFIG} has "
            f"base_model_name_or_path {quoted(base)}); merge it with PEFT's merge_and_unload and "
            "save the whole model, or write the base's name there"
        )
    if (folder / PURPOSE).is_file():
        raise CheckpointError(
            f"{name!r} is an adapter with {PURPOSE} beside it, but without the {CONFIG} that says "
            "what to do with it; export the checkpoint again"
        )
    change = change_of(name, folder)
    revision = settings.get("revision")
    try:
        path, base_commit = _locate(base, revision if isinstance(revision, str) else None, fetch)
    except CheckpointNotFoundError as error:
        raise CheckpointNotFoundError(f"{name!r} is an adapter of PEFT, and {error}") from None
    check_regular(path)
    return Checkpoint(
        name=name,
        folder=folder,
        identity=_identity(name, folder, commit),
        revision=commit,
        base=_plain_clip(base, path, base_commit),
        change=change,
    )


def _plain_clip(
    name: str, folder: Path, revision: str | None, *, weights: bool = True
) -> Checkpoint:
    """A folder in transformers' format, once it is seen to hold what it must."""
    if not (folder / "config.json").is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"{name!r} is not a CLIP: it has no config.json (nor {CONFIG}); it contains {found}"
        )
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in MODEL_TYPES:
        raise CheckpointError(
            f"{name!r} is a model of type {quoted(kind)}; descscore scores with CLIP and SigLIP "
            f"models (of types {', '.join(MODEL_TYPES)})"
        )
    for file in (ADAPTER_CONFIG, ADAPTER, PURPOSE):
        if (folder / file).is_file():
            raise CheckpointError(
                f"{name!r} is a CLIP with {file} beside it, but without the {CONFIG} that says "
                "what to do with it; export the checkpoint again, or remove the file"
            )
    if weights and not any_of(folder, WEIGHTS):
        if any_of(folder, PICKLED):
            raise unsafe(name)
        raise CheckpointError(f"{name!r} has no weights: {folder / WEIGHTS[0]} is missing")
    if not any_of(folder, IMAGE_PROCESSOR):
        raise CheckpointError(f"{name!r} has no image processor: {IMAGE_PROCESSOR[0]} is missing")
    identity = _identity(name, folder, revision)
    return Checkpoint(name=name, folder=folder, identity=identity, revision=revision)


def _identity(
    name: str, folder: Path, commit: str | None, config: dict[str, Any] | None = None
) -> str:
    if commit is not None:
        return f"{name}@{commit[:12]}"
    short = Path(name).name if Path(name).is_dir() else name
    recipe = (config or {}).get("recipe")
    if name not in SHIPPED and isinstance(recipe, dict):
        # Every run calls its folder "best", so its recipe tells it apart.
        parts = [recipe.get(part) for part in ("objective", "tuning")]
        told = [str(part.get("kind")) for part in parts if isinstance(part, dict)]
        told.append(f"seed{recipe.get('seed')}")
        if len(told) == 3 and all(map(_WORD.fullmatch, told)):
            short = "-".join([short, *told])
    return f"{short}@sha256-{folder_digest(folder)[:12]}"


_warned_of_mini = False


def warn_of_mini(checkpoint: Checkpoint) -> None:
    """Warn whoever makes a metric from it, the first time in a process."""
    global _warned_of_mini
    if checkpoint.folder in SHIPPED.values() and not _warned_of_mini:
        _warned_of_mini = True
        warnings.warn(
            "the checkpoint 'mini' is a small demonstration and a weak judge of photos; for real "
            "use, name a full-size CLIP such as 'openai/clip-vit-base-patch32', for which 'mini' "
            "can read purpose",
            DemonstrationWarning,
            stacklevel=3,
        )
