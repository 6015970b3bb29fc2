"""What a checkpoint's folder and its `descscore_config.json` say, checked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from descscore.checkpoints.files import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONFIG,
    FORMAT_VERSION,
    PICKLED,
    PICKLED_ADAPTER,
    PURPOSE,
    WEIGHTS,
    file_digest,
    unsafe,
)
from descscore.errors import CheckpointError
from descscore.strings import quoted

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")

Change = Literal["adapter", "weights"]
"""How a checkpoint changes its base: by an adapter, or by replacing all its weights."""


def check_config(name: str, folder: Path, config: dict[str, Any]) -> None:
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
    for key in ("digests", "data", "measured", "measured_base"):
        value = config.get(key) or {}
        nested = key.startswith("measured") and isinstance(value, dict)
        if not isinstance(value, dict) or not all(
            isinstance(part, dict) for part in (value.values() if nested else ())
        ):
            raise CheckpointError(
                f"{folder / CONFIG} has {key} {quoted(config[key])}, not values by name; export "
                "the checkpoint again"
            )


def check_commit(name: str, base: str, revision: object) -> None:
    """Refuse a record of a base that does not pin it."""
    if not isinstance(revision, str) or not COMMIT.fullmatch(revision):
        raise CheckpointError(
            f"{name!r} records revision {revision!r} of its base {base!r}, which may move; record "
            "the full commit, 40 hexadecimal digits"
        )
    if not HUB_ID.fullmatch(base):
        raise CheckpointError(
            f"{name!r} records a revision of its base {base!r}, which is not a Hub id; export it "
            "again"
        )


def check_digests(name: str, folder: Path, digests: dict[str, str]) -> None:
    """Refuse files that are not the recorded ones."""
    for file, recorded in digests.items():
        path = folder / file
        if os.path.isabs(file) or ".." in Path(file).parts:
            raise CheckpointError(
                f"{name!r} records {quoted(file)} in its {CONFIG}, which is not in its folder"
            )
        if not path.is_file():
            raise CheckpointError(f"{name!r} lacks {file}, which its {CONFIG} records")
        if file_digest(path) != recorded:
            raise CheckpointError(
                f"{name!r} is damaged: {file} is not the file that its {CONFIG} records; download "
                "or export it again"
            )


def change_of(name: str, folder: Path) -> Change | None:
    """How the files of a checkpoint change its base; they must leave no doubt."""
    lacking = [file for file in (ADAPTER_CONFIG, ADAPTER) if not (folder / file).is_file()]
    if ADAPTER in lacking and (folder / PICKLED_ADAPTER).is_file():
        raise unsafe(name, PICKLED_ADAPTER)
    replaces = any_of(folder, WEIGHTS)
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
    if any_of(folder, PICKLED):
        raise unsafe(name)
    if (folder / PURPOSE).is_file() or not (folder / "base").is_dir():
        raise CheckpointError(
            f"{name!r} changes its base by nothing: it has neither an adapter ({ADAPTER_CONFIG}, "
            f"{ADAPTER}) nor {WEIGHTS[0]}; download or export it again"
        )
    return None


def any_of(folder: Path, files: tuple[str, ...]) -> bool:
    """Whether a folder holds any of some files."""
    return any((folder / file).is_file() for file in files)
