"""A study recipe: the runs, their seeds, and the data to measure them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from descscore.errors import RecipeError
from descscore_training.config import (
    Part,
    as_toml,
    check_once,
    find_recipe,
    load_recipe,
    overrides_of,
)
from descscore_training.export import exported_choice
from descscore_training.finetune_recipe import FinetuneRecipe

if TYPE_CHECKING:
    from pathlib import Path

    from descscore_training.choice import Choice


class StudyRun(Part):
    """One row of the tables: a recipe, trained once per seed.

    Attributes:
        name: of its folder and its rows.
        recipe: a shipped recipe's name, or a path from the study's folder.
        overrides: changes to it, a table of its keys.
        published: the paper's run that it corresponds to, such as "iit-das-lora".
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    recipe: str
    overrides: dict[str, Any] = Field(default_factory=dict)
    published: Literal["behavioral-full", "behavioral-lora", "iit-das-full", "iit-das-lora"] | (
        None
    ) = None


class DataSet(Part):
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


class ConcadiaPart(Part):
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


class TransferPart(Part):
    """Class folders that are classified without training.

    Attributes:
        name: what the tables call it.
        path: a folder or zip file with one folder of images per class, named by its label.
        under: the folder inside it.
        published: the paper's task that it is: "food101", "imagenet" or "cifar100".
    """

    name: str
    path: str
    under: str = ""
    published: Literal["food101", "imagenet", "cifar100"] | None = None


class HumanPart(Part):
    """Ratings of Kreiss et al. (2022).

    Attributes:
        path: the folder with `descriptions.csv`, `images/`, `blv_ratings.csv` and
            `sighted_ratings.csv`.
    """

    path: str


class NormsPart(Part):
    """Norms of words that attributions are compared with, over texts of the Concadia part.

    Attributes:
        concreteness: a csv file with the columns word and rating (Brysbaert et al. 2014).
        imageability: the same (Scott et al. 2019).
        sample: captions, and as many descriptions, that are drawn and explained.
        count: each of the "words" once, with the mean of its attributions, or all "tokens".
        published: whether the paper's numbers are of these texts.
    """

    concreteness: str
    imageability: str
    sample: Annotated[int, Field(ge=1)] = 100
    count: Literal["words", "tokens"] = "words"
    published: bool = False


class Study(Part):
    """A study.

    Attributes:
        name: the report's title.
        about: the report's introduction: data, bases and their limits.
        base: the plain CLIP that every run starts from, instead of its recipe's.
        base_revision: its commit on the Hub.
        trade_off: weight of preference against transfer when the best step is chosen, for every
            run.
        prefix: put before descriptions and captions when a checkpoint is measured.
        seeds: each run is trained once with each seed.
        overrides: changes to every run's recipe, a table of its keys.
        runs: the runs to train.
        data: where to download the data.
        rehearsal: whether to run on a few rows of each dataset, generated if missing.
        concadia: data for preference and relevance.
        transfer: data for transfer.
        human: data for correlations with human ratings.
        norms: word norms that attributions are compared with.
    """

    name: str
    about: str = ""
    base: str
    base_revision: str | None = None
    trade_off: Annotated[float, Field(ge=0, le=1)] = 0.9
    prefix: str = ""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3, 4)
    overrides: dict[str, Any] = Field(default_factory=dict)
    runs: tuple[StudyRun, ...]
    data: tuple[DataSet, ...] = ()
    rehearsal: bool = False
    concadia: ConcadiaPart | None = None
    transfer: tuple[TransferPart, ...] = ()
    human: HumanPart | None = None
    norms: NormsPart | None = None

    @model_validator(mode="after")
    def _check_parts(self) -> Study:
        if not self.runs:
            raise RecipeError("the study has no runs; add one under [[runs]]")
        if not self.seeds:
            raise RecipeError("the study has no seeds; give at least one, seeds = [0]")
        check_once("runs of the study", [run.name for run in self.runs])
        check_once("seeds of the study", self.seeds)
        check_once("transfer tasks of the study", [task.name for task in self.transfer])
        if self.norms is not None and self.concadia is None:
            raise RecipeError("norms are compared on Concadia's texts; add [concadia]")
        return self


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

    def choice(self) -> Choice | None:
        """The step that was kept, if all is trained and exported."""
        return exported_choice(self.recipe, self.folder, self.checkpoint)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.run.name}, seed {self.seed}"


def trainings(study: Study, path: Path, out: Path, data: Path) -> list[Training]:
    """All that a study trains, seed by seed, so that each run has one seed before any has two.

    Args:
        study: what is trained.
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
    file = find_recipe(run.recipe, beside=path)
    changes = [*overrides_of(run.overrides), *overrides_of(study.overrides), f"seed={seed}"]
    plain = load_recipe(FinetuneRecipe, file, changes)
    # What the recipe says already need not be in the command that trains it by itself.
    for key in ("base", "base_revision", "trade_off"):
        value = getattr(study, key)
        if value is not None and value != getattr(plain, key):
            changes.append(f"{key}={as_toml(value)}")
    folder = out / "runs" / run.name / f"seed-{seed}"
    recipe = str(file) if file == path.parent / run.recipe else run.recipe
    sets = [part for change in changes for part in ("--set", change)]
    return Training(
        run=run,
        seed=seed,
        recipe=load_recipe(FinetuneRecipe, file, changes),
        folder=folder,
        command=("train", recipe, *sets, "--data", str(data), "-o", str(folder)),
    )
