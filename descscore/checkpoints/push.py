"""A checkpoint's folder -> a repository on the Hugging Face Hub."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import torch

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.files import CONFIG, NEEDED, visible_files
from descscore.checkpoints.records import COMMIT, HUB_ID
from descscore.checkpoints.store import SHIPPED, resolve_checkpoint
from descscore.errors import CheckpointError, CheckpointNotFoundError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from descscore.checkpoints.store import Checkpoint

_CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Package:
    """What of a folder goes to the Hub.

    Attributes:
        folder: the checkpoint.
        files: its own files, with "/" between folders.
        left_out: what else lies in the folder, but for hidden files.
    """

    folder: Path
    files: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """Where a checkpoint is on the Hub."""

    url: str
    commit: str


def check_target(name: str, revision: str | None) -> None:
    """Refuse what cannot be a repository's or a branch's name.

    Raises:
        OptionError: the name is not a Hub id, or the revision is a commit.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    problem = "" if HUB_ID.fullmatch(name) else "it is not of the form ORG/NAME"
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        problem = str(error)
    if problem:
        raise OptionError(
            f"{name!r} is not a Hub id: {problem}; give one such as 'my-name/my-metric'"
        )
    if revision is not None and COMMIT.fullmatch(revision):
        raise OptionError(f"revision {revision!r} is a commit, which is made once; name a branch")


def prepare(folder: Path, *, token: str | None, local_files_only: bool) -> Package:
    """Choose the files of a checkpoint, once it is seen to be whole and to load.

    Args:
        folder: the checkpoint.
        token: for the base, if that is a private repository.
        local_files_only: take the base from the Hub's cache only; otherwise it is fetched if it is
            not there.

    Raises:
        CheckpointError: it is damaged, a plain CLIP, or nobody else could load it.
    """
    if not folder.is_dir():
        raise CheckpointNotFoundError(f"there is no folder {str(folder)!r}; name a checkpoint's")
    try:
        checkpoint = resolve_checkpoint(folder, local_files_only=True)
    except CheckpointNotFoundError:
        if local_files_only:
            raise
        checkpoint = resolve_checkpoint(folder, token=token)
    _check_base(checkpoint)
    load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))
    files = visible_files(folder)
    own = tuple(file for file in files if _is_own(file))
    return Package(folder=folder, files=own, left_out=tuple(sorted({*files} - {*own})))


def push(
    package: Package, name: str, *, private: bool, revision: str | None, token: str | None
) -> Pushed:
    """Put a checkpoint on the Hub in one commit, and take away what another one left there.

    Args:
        package: what to push.
        name: of the repository, made if there is none.
        private: make it private.
        revision: the branch, made if there is none; by default the main one.
        token: with the right to write; by default the stored one, or `HF_TOKEN`.

    Raises:
        CheckpointError: the Hub cannot be reached or refuses, or the repository is public and ought
            to be private. The branch is then as it was.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if token is None and get_token() is None:
        raise CheckpointError("pushing needs a token: run `hf auth login`, or give `token`")
    api = HfApi(token=token)
    with _explained(name):
        url = api.create_repo(name, private=private or None, exist_ok=True)
        if private and not api.repo_info(name).private:
            raise CheckpointError(
                f"{name!r} exists and is public, and nothing was pushed; make it private in its "
                "settings on the Hub, omit `private`, or choose another name"
            )
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        there = api.list_repo_files(name, revision=revision)
        # Left there, the weights of an earlier checkpoint would be read with this one's.
        stale = [file for file in there if _is_own(file) and file not in package.files]
        operations = [
            *(CommitOperationDelete(path_in_repo=file) for file in stale),
            *(
                CommitOperationAdd(
                    path_in_repo=file,
                    path_or_fileobj=_card_for(name, package.folder / file)
                    if file == _CARD
                    else package.folder / file,
                )
                for file in package.files
            ),
        ]
        commit = api.create_commit(
            name, operations, commit_message="Push a checkpoint of descscore", revision=revision
        ).oid
        # The Hub leaves out what a .gitignore in the repository names.
        lacking = {*package.files} - {*api.list_repo_files(name, revision=commit)}
    if lacking:
        raise CheckpointError(
            f"{name!r} at {commit} lacks {', '.join(sorted(lacking))}; see whether its .gitignore "
            "names them, and push again"
        )
    return Pushed(url=str(url), commit=commit)


def _check_base(checkpoint: Checkpoint) -> None:
    """Refuse what others have already, and what they could not load."""
    base = checkpoint.base
    if base is None:
        raise CheckpointError(
            f"{checkpoint.name!r} is a plain CLIP without {CONFIG}; push it with `hf upload`, or "
            "name a checkpoint that `descscore train` made"
        )
    within = base.folder == checkpoint.folder / "base"
    if not within and base.revision is None and base.name not in SHIPPED:
        raise CheckpointError(
            f"the base of {checkpoint.name!r} is the folder {base.name!r}, which nobody else has; "
            f"copy it to {checkpoint.folder / 'base'}, and it is pushed too"
        )


def _card_for(name: str, path: Path) -> bytes:
    """A model card whose example loads the repository, where it loaded the folder."""
    example = re.compile(rb'^metric = DescriptionScore\("[^"\n]*"\)$', re.MULTILINE)
    loads = f'metric = DescriptionScore("{name}")'.encode()
    return example.sub(lambda _: loads, path.read_bytes(), count=1)


def _is_own(file: str) -> bool:
    """Whether a file is part of a checkpoint, and not of a run or of anything else."""
    return file == _CARD or any(
        fnmatch(file, pattern) and file.count("/") == pattern.count("/") for pattern in NEEDED
    )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Around calls to the Hub: say in one line what went wrong and what to do."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] - its client's, which changes
    )

    try:
        yield
    except CheckpointError:
        raise
    # The client's threads wrap what happens in them into a RuntimeError; a card with wrong metadata
    # is a ValueError.
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        wrapped = error.__cause__ if isinstance(error, RuntimeError) else None
        message = (
            f"{name!r} could not be pushed ({wrapped or error}), and the Hub confirmed no commit; "
            "the checkpoint here is as it was, try again"
        )
        if status == 401:
            message = "the Hub refused the token; run `hf auth login`, or give another `token`"
        elif status in {403, 404}:
            message = (
                f"this token may not write to {name!r}; take a token with the right to write, or "
                f"ask {name.partition('/')[0]!r} for it"
            )
        raise CheckpointError(message) from error
