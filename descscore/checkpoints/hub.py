"""A repository on the Hugging Face Hub -> its folder in the cache."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.checkpoints.files import (
    ADAPTER,
    CONFIG,
    NEEDED,
    PICKLED,
    SHARDS,
    WEIGHTS,
    named_by_index,
    unsafe,
)
from descscore.errors import CheckpointError, CheckpointNotFoundError, DescscoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONVERTER = "SFconvertbot"

PLAIN = re.compile(r"[\w-][\w.-]*")
"""Names of files that are no patterns and lead nowhere else."""


def download(
    name: str,
    revision: str | None,
    *,
    local_files_only: bool,
    token: str | bool | None,
    weights: bool = True,
    files: Sequence[str] = NEEDED,
) -> tuple[Path, str]:
    """Fetch the needed files of a Hub repository into the cache; the folder and its commit.

    Args:
        name: the repository.
        revision: branch, tag or commit.
        local_files_only: take from the cache only.
        token: for private repositories.
        weights: False for a CLIP of which all weights are replaced: its own are not fetched.
        files: which, as patterns.
    """
    from huggingface_hub import errors, is_offline_mode, snapshot_download

    def fetch(revision: str | None, more: Sequence[str] = ()) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=[*files, *more],
                ignore_patterns=None if weights else [*WEIGHTS, SHARDS],
            )
        )

    try:
        folder = fetch(revision)
        if weights and not _has_weights(folder):
            offline = local_files_only or is_offline_mode()
            folder = fetch(
                _cached_conversion(name, folder, revision)
                if offline
                else _conversion(name, revision, token)
            )
        # What is no plain name is refused later, and "[" would begin a pattern.
        named = [file for file in named_by_index(folder) if PLAIN.fullmatch(file)]
        if weights and not all((folder / file).is_file() for file in named):
            folder = fetch(folder.name, named)
    except DescscoreError:
        raise
    except (
        errors.HFValidationError,
        errors.HTTPError,  # pyright: ignore[reportPrivateImportUsage] - its client's, which changes
        OSError,
    ) as error:
        raise _explained(name, revision, error) from error
    return folder, folder.name


def _explained(name: str, revision: str | None, error: Exception) -> CheckpointError:
    """What to say of an error of the Hub's client."""
    from huggingface_hub import errors

    at = f" at revision {revision!r}" if revision else ""
    for kind, reason in (
        (
            errors.GatedRepoError,
            f"{name!r} is gated: ask for access on its page, then run `hf auth login` or give "
            "`token`",
        ),
        (
            errors.RepositoryNotFoundError,
            f"there is no {name!r} on the Hub that this token can see, and no folder of that name; "
            "check the spelling, or run `hf auth login` or give `token` for a private one",
        ),
        (errors.RevisionNotFoundError, f"{name!r} has no revision {revision!r} on the Hub"),
        (
            errors.LocalEntryNotFoundError,
            f"{name!r}{at} is not in the Hub's cache, and the Hub cannot be reached (or may not "
            "be: local_files_only, HF_HUB_OFFLINE); go online once, give a folder, or use 'mini'",
        ),
    ):
        if isinstance(error, kind):
            return CheckpointNotFoundError(reason)
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
        return CheckpointError(
            f"the Hub refused the token for {name!r}{at}; run `hf auth login`, or give another "
            "`token`"
        )
    return CheckpointError(
        f"{name!r}{at} could not be downloaded from the Hub ({error}); try again, and the download "
        "resumes"
    )


def _has_weights(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (*WEIGHTS, CONFIG, ADAPTER))


def _conversion(name: str, revision: str | None, token: str | bool | None) -> str:
    """The Hub's own conversion to safetensors of a repository with pickled weights only.

    The Hub's bot offers it as a pull request, which older repositories often never merged.

    Raises:
        UnsafeCheckpointError: there is none, or a revision was asked for.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    if not any(file in api.list_repo_files(name, revision=revision) for file in PICKLED):
        raise CheckpointError(f"{name!r} has no weights: {WEIGHTS[0]} is missing on the Hub")
    if revision in {None, "main"}:
        for discussion in api.get_repo_discussions(
            name, author=_CONVERTER, discussion_type="pull_request"
        ):
            reference = discussion.git_reference
            # Anyone can open a pull request, so the filter alone is not trusted.
            if discussion.author != _CONVERTER or discussion.status != "open" or reference is None:
                continue
            if WEIGHTS[0] in api.list_repo_files(name, revision=reference):
                return reference
    raise unsafe(name)


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
    if revision not in {None, "main"} or len(found) != 1:
        raise CheckpointNotFoundError(
            f"the Hub's cache has no weights of {name!r} in safetensors; go online once, or name "
            "a revision that has them"
        )
    return found[0]
