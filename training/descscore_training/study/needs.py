"""What a study needs before it can begin, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from descscore.errors import CheckpointError, RecipeError
from descscore_training.starting_model import find_base

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from descscore_training.study.study import DataSet, Study, Training


@dataclass(frozen=True, kw_only=True)
class Need:
    """One dataset of a study.

    Attributes:
        path: relative to the data folder.
        missing: those of its files and folders that are not there.
        source: where it comes from, if the study says.
    """

    path: str
    missing: tuple[str, ...]
    source: DataSet | None

    @property
    def present(self) -> bool:
        """Whether all is there."""
        return not self.missing


def needs(study: Study, trainings: Iterable[Training], data: Path) -> list[Need]:
    """Every dataset that the runs and the evaluations read, and what of it is missing."""
    of: dict[str, dict[str, None]] = {}
    sources = {source.path: source for source in study.data}
    for path in dict.fromkeys(_paths(study, trainings)):
        inside = PurePosixPath(path)
        covering = next((s for s in sources if inside.is_relative_to(PurePosixPath(s))), path)
        of.setdefault(covering, {})[path] = None
    return [
        Need(
            path=path,
            missing=tuple(part for part in parts if not (data / part).exists()),
            source=sources.get(path),
        )
        for path, parts in of.items()
    ]


def check_needs(study: Study, trainings: Sequence[Training], data: Path) -> None:
    """Miss all that is missing at once, before hours of training.

    Raises:
        RecipeError: data are missing, or the base is; the message says where all of it comes from.
    """
    lines = [line for need in needs(study, trainings, data) for line in _lines(need, data)]
    try:
        find_base(trainings[0].recipe)
    except CheckpointError as error:
        lines.append(f"the base {study.base!r}: {error}")
    if lines:
        listed = "; ".join(f"({number}) {line}" for number, line in enumerate(lines, 1))
        raise RecipeError(f"the study {study.name!r} lacks what it needs: {listed}")


def _lines(need: Need, data: Path) -> Iterator[str]:
    if need.present:
        return
    source = need.source
    if source is None:
        yield from (f"{data / path}; put the data there" for path in need.missing)
        return
    parts = [path for path in need.missing if path != need.path]
    what = f" ({', '.join(parts)})" if parts else ""
    about = f". {source.about}" if source.about else ""
    yield f"{data / need.path}{what}, from {source.address}{about}"


def _paths(study: Study, trainings: Iterable[Training]) -> Iterator[str]:
    """All paths in the order in which they are needed, relative to the data folder."""
    for training in trainings:
        yield from (path for _, path in training.recipe.data_paths())
    if study.concadia is not None:
        yield from (study.concadia.path, f"{study.concadia.path}/wiki_split.json")
        yield f"{study.concadia.path}/resized"
    yield from (task.path for task in study.transfer)
    if study.human is not None:
        files = ("descriptions.csv", "blv_ratings.csv", "sighted_ratings.csv", "images")
        yield from (f"{study.human.path}/{file}" for file in files)
    if study.norms is not None:
        yield from (study.norms.concreteness, study.norms.imageability)
