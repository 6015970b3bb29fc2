"""A study recipe: which runs are trained with which seeds, and what each is measured on."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from descscore.errors import RecipeError
from descscore_training.config import find_recipe, load_recipe
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.study.published import NONE, TABLE_1, TRANSFER

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """One row of the tables: a recipe, trained once a seed.

    Attributes:
        name: of its folder and its rows.
        recipe: a shipped recipe's name, or a path from the study's folder.
        overrides: changes to it, "table.key=value".
        published: the paper's run that it corresponds to, such as "iit-das-lora".
    """

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    published: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise RecipeError(
                f"the run {self.name!r} cannot name a folder; use letters, digits, - and _"
            )
        known = [row for row in TABLE_1 if row != NONE]
        if self.published is not None and self.published not in known:
            raise RecipeError(
                f"run {self.name!r}: the paper has no run {self.published!r}, only "
                f"{', '.join(known)}"
            )


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Where a part of the data folder comes from, for whoever lacks it.

    Attributes:
        path: the folder or file, relative to the data folder.
        address: where its authors give it.
        about: what must be there, and how to make it from what is downloaded.
        gigabytes: what its files take, if known.
    """

    path: str
    address: str
    about: str = ""
    gigabytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class ConcadiaPart:
    """Images with both texts, in Concadia's layout, for preference and relevance.

    Attributes:
        name: what the tables call it.
        path: Concadia's folder, relative to the data folder.
        split: which part; empty takes all.
        published: whether the paper's numbers are of these images.
    """

    name: str
    path: str
    split: str = ""
    published: bool = False


@dataclass(frozen=True, kw_only=True)
class TransferPart:
    """Class folders that are classified without training.

    Attributes:
        name: what the tables call it.
        path: a folder or zip file with a folder of images a class, named by its label.
        under: the folder inside it.
        published: the paper's task that it is: "food101", "imagenet" or "cifar100".
    """

    name: str
    path: str
    under: str = ""
    published: Literal["food101", "imagenet", "cifar100"] | None = None


@dataclass(frozen=True, kw_only=True)
class HumanPart:
    """Ratings of Kreiss et al. (2022).

    Attributes:
        path: the folder with `descriptions.csv`, `images/`, `blv_ratings.csv` and
            `sighted_ratings.csv`.
    """

    path: str


@dataclass(frozen=True, kw_only=True)
class NormsPart:
    """Norms of words that attributions are compared with, over texts of the Concadia part.

    Attributes:
        concreteness: a csv file with the columns word and rating (Brysbaert et al. 2014).
        imageability: the same (Scott et al. 2019).
        sample: captions, and as many descriptions, that are drawn and explained.
        published: whether the paper's numbers are of these texts.
    """

    concreteness: str
    imageability: str
    sample: int = 100
    published: bool = False

    def __post_init__(self) -> None:
        if self.sample < 1:
            raise RecipeError(f"norms.sample is {self.sample}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Study:
    """All of a study.

    Attributes:
        name: the report's title.
        about: which data and bases, and what must be known of them, for the report.
        base: the plain CLIP that every run starts from, instead of its recipe's.
        base_revision: its commit on the Hub.
        trade_off: weight of preference against transfer in the choice of the step, for every run.
        seeds: each run is trained once with each.
        overrides: changes to every run's recipe, "table.key=value".
        runs: what is trained.
        data: where the data come from.
        concadia: what preference and relevance are measured on.
        transfer: what transfer is measured on.
        human: what correlations with people's ratings are measured on.
        norms: what attributions are compared with.
    """

    name: str
    about: str = ""
    base: str
    base_revision: str | None = None
    trade_off: float = 0.9
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    overrides: tuple[str, ...] = ()
    runs: tuple[StudyRun, ...]
    data: tuple[DataSet, ...] = ()
    concadia: ConcadiaPart | None = None
    transfer: tuple[TransferPart, ...] = ()
    human: HumanPart | None = None
    norms: NormsPart | None = field(default=None)

    def __post_init__(self) -> None:
        if not self.runs:
            raise RecipeError("the study has no runs; add one under [[runs]]")
        if not self.seeds:
            raise RecipeError("the study has no seeds; give at least one, seeds = [0]")
        for what, names in (
            ("runs", [run.name for run in self.runs]),
            ("seeds", [*map(str, self.seeds)]),
            ("transfer tasks", [task.name for task in self.transfer]),
        ):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise RecipeError(f"two {what} of the study are {twice[0]!r}; change one of them")
        if self.norms is not None and self.concadia is None:
            raise RecipeError("norms are compared on Concadia's texts; add [concadia]")

    @property
    def published_tasks(self) -> dict[str, str]:
        """The paper's column of each transfer task that the paper has too."""
        return {task.name: task.published for task in self.transfer if task.published in TRANSFER}


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run of a study with one seed.

    Attributes:
        run: what the study says of it.
        seed: its seed.
        recipe: all that it is trained with.
        folder: where, as `descscore train` leaves it.
        command: the arguments of `descscore` that train just this.
    """

    run: StudyRun
    seed: int
    recipe: FinetuneRecipe
    folder: Path
    command: tuple[str, ...]

    @property
    def checkpoint(self) -> Path:
        """Where the chosen step is."""
        return self.folder / "best"

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.run.name}, seed {self.seed}"


def find_study(name: str) -> Path:
    """The file of a study: a path, or the name of a shipped one.

    Raises:
        RecipeError: there is neither.
    """
    folder = Path(__file__).parents[1] / "studies"
    shipped = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    path = Path(name)
    if path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    raise RecipeError(
        f"there is no study {name!r}: it is neither a file nor shipped ({', '.join(shipped)})"
    )


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read a study.

    Args:
        path: its TOML file.
        overrides: "key=value", the value in TOML.

    Raises:
        RecipeError: the file is missing or malformed, or a key or value is none that a study has.
    """
    return load_recipe(Study, path, overrides)


def trainings(study: Study, path: Path, out: Path, data: Path) -> list[Training]:
    """All that a study trains, seed by seed, so that each run has one seed before any has two.

    Args:
        study: what `load_study` read.
        path: the study's file, from whose folder recipes' paths start.
        out: the study's folder.
        data: the data folder, for the commands.

    Raises:
        RecipeError: a run's recipe is missing or malformed.
    """
    return [
        _training(study, run, seed, path, out, data) for seed in study.seeds for run in study.runs
    ]


def _training(
    study: Study, run: StudyRun, seed: int, path: Path, out: Path, data: Path
) -> Training:
    beside = path.parent / run.recipe
    file = beside if beside.is_file() else find_recipe(run.recipe)
    changes = [*run.overrides, *study.overrides, f"seed={seed}"]
    plain = load_recipe(FinetuneRecipe, file, changes)
    # What the recipe says already need not be in the command that trains it by itself.
    if study.base != plain.base:
        changes.append(f"base={json.dumps(study.base)}")
    if study.base_revision != plain.base_revision and study.base_revision is not None:
        changes.append(f"base_revision={json.dumps(study.base_revision)}")
    if study.trade_off != plain.trade_off:
        changes.append(f"trade_off={study.trade_off}")
    folder = out / "runs" / run.name / f"seed-{seed}"
    recipe = str(beside) if beside.is_file() else run.recipe
    sets = [part for change in changes for part in ("--set", change)]
    return Training(
        run=run,
        seed=seed,
        recipe=load_recipe(FinetuneRecipe, file, changes),
        folder=folder,
        command=("train", recipe, *sets, "--data", str(data), "-o", str(folder)),
    )
