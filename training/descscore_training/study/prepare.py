"""Make a study's data folder out of what the authors of its data distribute."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from descscore.errors import DescscoreError, OptionError, TableError
from descscore.heartbeat import heartbeat
from descscore_training.config import find_recipe, load_recipe
from descscore_training.study.downloads.concadia import CONCADIA
from descscore_training.study.downloads.kreiss2022 import KREISS2022
from descscore_training.study.downloads.norms import CONCRETENESS, IMAGEABILITY
from descscore_training.study.downloads.transfer import CIFAR100, FOOD101, IMAGENET
from descscore_training.study.plan import needs
from descscore_training.study.study import Study, trainings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from descscore_training.study.downloads.kind import Kind

STUDY = "paper"
"""The shipped study whose data can be made."""

KINDS = (CONCADIA, FOOD101, IMAGENET, CIFAR100, KREISS2022, CONCRETENESS, IMAGEABILITY)
"""Its datasets, in the order of the study."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What came of one dataset.

    Attributes:
        path: relative to the data folder.
        state: "written" now; "there" before; "missing", as nothing was downloaded; or "failed".
        sources: the files or folders that it was made from.
        count: how many images, words or descriptions there are; None if it is missing or failed.
        unit: what is counted.
        problem: why it failed, or what to download.
        address: where its authors give it.
    """

    path: str
    state: Literal["written", "there", "missing", "failed"]
    sources: tuple[str, ...] = ()
    count: int | None = None
    unit: str
    problem: str | None = None
    address: str | None = None

    @property
    def done(self) -> bool:
        """Whether the study can read it."""
        return self.state in {"written", "there"}


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What came of all of them.

    Attributes:
        parts: of each dataset.
        lacking: what the study needs and is not in the data folder.
    """

    parts: tuple[Prepared, ...]
    lacking: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether all data of the study are there, and whole."""
        return not self.lacking and all(part.done for part in self.parts)


def prepare(
    downloads: Path,
    data: Path,
    *,
    say: Callable[[str], None] | None = None,
    kinds: Sequence[Kind] = KINDS,
    reduced: bool = False,
) -> Preparation:
    """Write what the study "paper" reads; resumes if interrupted.

    What is there and whole is left alone; a dataset that was interrupted is made again. Images are
    kept byte for byte. A dataset that fails does not keep the others from being made.

    Args:
        downloads: the folder with the files as they were downloaded, or with folders of them.
        data: the folder that the study's paths start from; made if it is not there.
        say: called with lines that tell how far it is.
        kinds: the datasets to make.
        reduced: whether to take downloads with fewer images, words or ratings than the authors'.

    Raises:
        OptionError: there is no folder of downloads.
    """
    if not downloads.is_dir():
        raise OptionError(f"there is no folder {downloads}; give the one with the downloads")
    say = say or (lambda _: None)
    path = find_recipe(STUDY, "reproduce")
    study = load_recipe(Study, path)
    addresses = {source.path: source.address for source in study.data}
    data.mkdir(parents=True, exist_ok=True)
    parts = tuple(
        _part(kind, downloads, data, addresses.get(kind.path), say, reduced) for kind in kinds
    )
    # A run reads the same data with every seed.
    study = study.model_copy(update={"seeds": study.seeds[:1]})
    needed = needs(study, trainings(study, path, data, data), data)
    return Preparation(
        parts=parts,
        lacking=tuple(missing for need in needed for missing in need.missing),
    )


def _part(
    kind: Kind,
    downloads: Path,
    data: Path,
    address: str | None,
    say: Callable[[str], None],
    reduced: bool,
) -> Prepared:
    target = data / kind.path
    unfinished = target.with_name(f".{target.name}.unfinished")
    part = partial(Prepared, path=kind.path, unit=kind.unit, address=address)
    sources: tuple[str, ...] = ()
    try:
        if target.exists():
            remedy = f"move {target} away, and repeat the command to make it again"
            return part(state="there", count=_counted(kind, target, target, remedy, reduced))
        found = kind.find(downloads)
        if not found:
            return part(state="missing", problem=f"download {kind.files}")
        sources = tuple(str(file.relative_to(downloads)) for file in found)
        say(f"{kind.path}: reading {' and '.join(sources)}")
        began = time.monotonic()
        _remove(unfinished)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        with heartbeat(
            lambda: f"{kind.path}: {sum(1 for _ in unfinished.rglob('*')):,} files so far", say
        ):
            kind.make(found, unfinished)
        count = _counted(kind, unfinished, found[-1], "download it again", reduced)
        unfinished.replace(target)
        say(f"{kind.path}: {count:,} {kind.unit} in {time.monotonic() - began:.0f} s")
        return part(state="written", sources=sources, count=count)
    except (DescscoreError, OSError) as error:
        _remove(unfinished)
        problem = str(error)
        if isinstance(error, OSError) and not isinstance(error, DescscoreError):
            problem = f"{error.filename or 'the disk'}: {error.strerror or error}"
        say(f"{kind.path}: {problem}")
        return part(state="failed", sources=sources, problem=problem)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()


def _counted(kind: Kind, made: Path, shown: Path, remedy: str, reduced: bool) -> int:
    """How many there are in what was made, if that is all of them."""
    try:
        count = kind.count(made)
    except TableError as error:
        raise TableError(f"{shown}: {error}; {remedy}") from error
    wanted = kind.amount
    if wanted not in {None, count} and not (reduced and 0 < count < (wanted or 0)):
        raise TableError(f"{shown} has {count:,} {kind.unit}, not {wanted:,}; {remedy}")
    return count
