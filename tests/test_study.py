"""Study recipes: what they may say, what the shipped ones say, and what their tables come to."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from descscore.errors import RecipeError
from descscore_training.config import find_recipe, load_recipe
from descscore_training.study.plan import needs
from descscore_training.study.report import gaps, layout
from descscore_training.study.results import Cell, cells, is_papers
from descscore_training.study.study import Study, trainings

OUT, DATA = Path("out"), Path("data")


def shipped(name: str, *overrides: str) -> Any:
    return load_recipe(Study, find_recipe(name, "reproduce"), overrides)


# The shipped studies.


def test_the_papers_study_is_of_its_four_runs_and_the_joint_one_with_five_seeds() -> None:
    study = shipped("paper")
    planned = trainings(study, find_recipe("paper", "reproduce"), OUT, DATA)
    assert len(planned) == 5 * 5
    for training in planned:
        assert training.recipe.base == "openai/clip-vit-base-patch32"
        assert training.recipe.seed == training.seed
        assert training.recipe.trade_off == 0.9
        kind, tuning = training.recipe.objective.kind, training.recipe.tuning.kind
        published = None if kind == "joint" else f"{kind}-{tuning}"
        assert training.run.published == published
    assert {task.published for task in study.transfer} == {"food101", "imagenet", "cifar100"}


@pytest.mark.parametrize("name", ["paper", "miniature"])
def test_a_shipped_study_says_where_all_of_its_data_come_from(name: str, tmp_path: Path) -> None:
    study = shipped(name)
    found = needs(study, trainings(study, find_recipe(name, "reproduce"), OUT, DATA), tmp_path)
    assert found
    for need in found:
        assert not need.present
        assert need.source is not None, need.path
        assert need.source.address.startswith("http")


def test_a_training_of_the_miniature_is_its_recipe_with_the_seed_and_what_is_watched() -> None:
    planned = trainings(shipped("miniature"), find_recipe("miniature", "reproduce"), OUT, DATA)
    assert {training.run.name for training in planned} >= {
        "behavioral-full",
        "behavioral-lora",
        "iit-das-full",
        "iit-das-lora",
        "joint-full",
        "joint-lora",
    }
    for training in planned:
        recipe, *rest = training.command[1:]
        folder = f"out/runs/{training.run.name}/seed-{training.seed}"
        watched = [f'watch.{key}="concadia-val200"' for key in ("name", "path")]
        sets = [
            part for change in (*watched, f"seed={training.seed}") for part in ("--set", change)
        ]
        assert rest == [*sets, "--data", "data", "-o", folder]
        assert recipe == training.run.recipe


def test_what_the_study_says_replaces_what_recipes_say() -> None:
    study = shipped("miniature", "base=elsewhere", "trade_off=0.5", "overrides.tuning.rank=3")
    first = trainings(study, find_recipe("miniature", "reproduce"), OUT, DATA)[0]
    assert (first.recipe.base, first.recipe.trade_off) == ("elsewhere", 0.5)
    assert first.recipe.tuning.rank == 3
    assert 'base="elsewhere"' in first.command
    assert "trade_off=0.5" in first.command


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sedes=[1]", "unknown key 'sedes'; did you mean 'seeds'"),
        ("seeds=[]", "has no seeds"),
        ("seeds=[1, 1]", "two seeds of the study are named '1'"),
        ("runs=[]", "has no runs"),
        ("runs=[{name='a/b', recipe='mini'}]", "runs.0..name is 'a/b'; it should match"),
        (
            "runs=[{name='a', recipe='mini', published='joint'}]",
            "published is 'joint'; it should be 'behavioral-full'",
        ),
        ("runs=[{name='a', recipe='mini'}, {name='a', recipe='mini'}]", "two runs"),
        ("norms.sample=0", "norms.sample is 0; it should be greater than or equal to 1"),
    ],
)
def test_what_a_study_may_not_say_is_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        shipped("miniature", override)


def test_an_unknown_study_is_answered_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'papr'.*miniature, paper"):
        find_recipe("papr", "reproduce")


# The tables.


def found(values: list[float], **paper: Any) -> dict[str, Any]:
    """Results of one run whose seeds prefer the description in so many of 100 pairs."""

    def evaluations(share: float) -> dict[str, Any]:
        shares = {"share": share / 100, "low": share / 100 - 0.1, "high": share / 100 + 0.1}
        names = ("preference", "relevance of descriptions", "relevance of captions")
        return {"concadia": dict.fromkeys(names, shares)}

    return {
        "study": {
            "concadia": {"name": "pairs", "published": True},
            "transfer": [],
            "human": None,
            "norms": None,
            "trade_off": 0.9,
            **paper,
        },
        "base": {"name": "base", "evaluations": evaluations(49.44)},
        "runs": [
            {
                "name": "run",
                "objective": "behavioral",
                "tuning": "LoRA",
                "published": "behavioral-lora",
                "comparable": True,
                "seeds": [
                    {
                        "seed": seed,
                        "error": None,
                        "choice": None,
                        "steps": [],
                        "evaluations": evaluations(value),
                    }
                    for seed, value in enumerate(values)
                ],
            }
        ],
    }


def of_run(results: dict[str, Any], column: str = "preference") -> Cell:
    return next(one for one in cells(results) if (one.run, one.column) == ("run", column))


def test_a_cell_is_the_mean_with_students_interval_over_seeds() -> None:
    cell = of_run(found([88.0, 90.0, 92.0]))
    # Student's t of two degrees of freedom at 0.975 is 4.3027; the standard deviation is 2.
    assert cell.mean == pytest.approx(90)
    assert cell.half_width == pytest.approx(4.3027 * 2 / math.sqrt(3), rel=1e-4)
    assert cell.paper == (90.3, 0.72)
    assert cell.verdict == "meet"


@pytest.mark.parametrize(
    ("values", "verdict"),
    # The paper's interval is 89.58 to 91.02; half of its last digit more is allowed for rounding.
    [
        ([80.0, 80.1], "apart"),
        ([91.0, 91.0], "meet"),
        ([91.06, 91.06], "meet"),
        ([91.2, 91.2], "apart"),
    ],
)
def test_intervals_meet_if_they_have_a_number_in_common(values: list[float], verdict: str) -> None:
    assert of_run(found(values)).verdict == verdict


def test_other_data_than_the_papers_are_not_compared() -> None:
    other = found([90.0, 90.0], concadia={"name": "pairs", "published": False})
    cell = of_run(other)
    assert (cell.paper, cell.verdict) == ((90.3, 0.72), None)


def test_another_recipe_or_base_than_the_papers_is_not_compared() -> None:
    other = found([90.0, 90.0])
    other["runs"][0]["comparable"] = False
    assert (of_run(other).paper, of_run(other).verdict) == ((90.3, 0.72), None)


def test_one_seed_has_no_interval_and_no_verdict() -> None:
    cell = of_run(found([90.0]))
    assert (cell.mean, cell.half_width, cell.verdict) == (90.0, None, None)


@pytest.mark.parametrize(
    ("override", "papers"),
    [
        ("seeds=[3, 4]", True),
        ("overrides.duration.evaluate_every=10", True),
        ("overrides.duration.epochs=1", False),
        ("overrides.optimiser.lr=1e-4", False),
        ("base=mini/base", False),
    ],
)
def test_a_run_is_the_papers_if_its_recipe_and_base_are(override: str, papers: bool) -> None:
    study = shipped("paper", override)
    for training in trainings(study, find_recipe("paper", "reproduce"), OUT, DATA):
        published = training.run.published
        assert is_papers(study, published, training.recipe) == (papers and published is not None)


def test_the_base_has_its_interval_over_images_and_the_papers_row_below() -> None:
    results = found([88.0, 92.0])
    results["cells"] = [asdict(cell) for cell in cells(results)]
    [table, _] = layout(results)
    assert [line.heads[0] for line in table.lines] == [
        "none",
        "paper, Table 1",
        "run",
        "paper, Table 1",
    ]
    assert table.lines[0].cells[0] == "49.4 [39.4, 59.4]"
    assert table.lines[1].cells == ("49.4", "-", "-")
    assert table.lines[2].cells[0] == "90.0 ± 25.41"
    assert table.lines[3].cells == ("90.3 ± 0.72 (meet)", "-", "-")
    assert any("no [human]" in line for line in gaps(results))
    json.dumps(results["cells"], allow_nan=False)


# The data.
