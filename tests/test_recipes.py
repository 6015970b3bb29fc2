"""Fine-tuning recipes: the shipped ones, overrides, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import descscore_training
from descscore.errors import RecipeError
from descscore_training.config import build_recipe, find_recipe, load_recipe, plain
from descscore_training.finetune_recipe import FinetuneRecipe
from tests.training_made import made_values

RECIPES = Path(descscore_training.__file__).parent / "recipes"
SHIPPED = sorted(path.stem for path in RECIPES.glob("*.toml"))
PAPERS = [name for name in SHIPPED if name.startswith("clip-b32-")]


def load(name: str, *overrides: str) -> FinetuneRecipe:
    return load_recipe(FinetuneRecipe, find_recipe(name), overrides)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_can_be_read_and_read_again(name: str):
    recipe = load(name)
    assert build_recipe(FinetuneRecipe, plain(recipe)) == recipe


def test_the_papers_recipes_are_shipped():
    expected = {f"clip-b32-{run}" for run in ("behavioral-full", "iit-das-lora")}
    expected |= {f"clip-b32-{run}" for run in ("behavioral-lora", "iit-das-full")}
    assert expected <= set(PAPERS)


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_recipes_share_its_setting(name: str):
    recipe = load(name)
    assert recipe.base == "openai/clip-vit-base-patch32"
    assert recipe.trade_off == 0.9
    assert recipe.relevance_drop is None
    assert recipe.objective.relevance_weight == 0
    optimiser, duration = recipe.optimiser, recipe.duration
    assert (optimiser.name, optimiser.options, optimiser.weight_decay) == ("adam", {}, 0)
    assert (optimiser.schedule, optimiser.warmup, optimiser.clip_norm) == ("constant", 0, 0)
    assert (duration.epochs, duration.patience) == (10, 0)
    [source] = recipe.sources
    assert (recipe.batch, source.held_out, source.image_free) == (12, 0, None)
    assert {task.name for task in recipe.transfer} == {"food101", "imagenet", "cifar100"}
    if recipe.tuning.kind == "lora":
        assert recipe.tuning.targets == "attention"
        assert (recipe.tuning.dropout, recipe.tuning.alpha) == (0, None)
        assert recipe.tuning.token_dropout == 0


@pytest.mark.parametrize(
    ("name", "kind", "lr", "rank"),
    [
        ("clip-b32-behavioral-full", "behavioral", 0.5e-6, None),
        ("clip-b32-behavioral-lora", "behavioral", 0.5e-6, 64),
        ("clip-b32-iit-das-full", "iit-das", 1e-5, None),
        ("clip-b32-iit-das-lora", "iit-das", 1e-5, 128),
    ],
)
def test_the_papers_runs_have_its_values(name: str, kind: str, lr: float, rank: int | None):
    recipe = load(name)
    assert recipe.objective.kind == kind
    assert recipe.optimiser.lr == lr
    assert recipe.optimiser.rotation_lr is None
    assert recipe.tuning.kind == name.rsplit("-", 1)[1]
    if rank is None:
        assert recipe.tuning.towers == "both"  # all parameters
    else:
        assert recipe.tuning.rank == rank
    if kind == "iit-das":
        assert (recipe.objective.layer, recipe.objective.dimension) == (10, 256)
        assert recipe.objective.sources == "cross"
        assert recipe.duration.steps(77_534, recipe.batch) == 83_334
    else:
        assert recipe.duration.steps(77_534, recipe.batch) == 64_612


@pytest.mark.parametrize(
    "path", sorted(RECIPES.rglob("clip-b32-*.toml")), ids=lambda path: path.stem
)
def test_each_value_of_the_papers_recipes_says_where_it_comes_from(path: Path):
    lines = path.read_text().partition("\n[[sources]]")[0].splitlines()
    for line in lines:
        if " = " in line and not line.startswith(("about", "transfer", "measure")):
            above = lines[lines.index("[space]") + 1] if "[space]" in lines else ""
            marks = ("paper", "our choice", "trains nothing", "clip-b32")
            assert any(mark in f"{line} {above}".lower() for mark in marks), line


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_keeps_evaluation_data_out_of_training(name: str):
    recipe = load(name)
    for source in recipe.sources:
        assert "val200" not in source.path
        assert "kreiss" not in source.path
    for task in recipe.transfer:
        assert task.under != "test"


def test_overrides_replace_nested_values():
    overrides = [
        "objective.dimension=8",
        "tuning.alpha=16",
        "optimiser.options={betas = [0.8, 0.9]}",
        "optimiser.rotation_lr=1e-2",
        "duration.epochs=0.5",
        "transfer=[]",
        "seed=3",
        "relevance_drop=0",
        "base=some/folder",
    ]
    changed, expected = plain(load("mini", *overrides)), plain(load("mini"))
    expected |= {"transfer": [], "seed": 3, "relevance_drop": 0, "base": "some/folder"}
    expected["objective"] |= {"dimension": 8}
    expected["tuning"] |= {"alpha": 16}
    expected["optimiser"] |= {"options": {"betas": [0.8, 0.9]}, "rotation_lr": 1e-2}
    expected["duration"] |= {"epochs": 0.5}
    assert changed == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objectiv.rank=8", "unknown key 'objectiv'; did you mean 'objective'"),
        (
            "objective.dimensions=8",
            r"unknown key 'objective\.dimensions'; did you mean 'dimension'",
        ),
        ("tuning.targts=qv", r"unknown key 'tuning\.targts'; did you mean 'targets'"),
        ("optimiser.learning=1", "known keys: clip_norm, lr, name, options, rotation_lr, sched"),
        ("sources=[{nam='x'}]", r"unknown key 'sources\[0\]\.nam'; did you mean 'name'"),
        ("objective=3", "objective is 3; it should be an object"),
        (
            "objective.dimension=many",
            r"objective\.dimension is 'many'; it should be a valid integer",
        ),
        ("objective.kind=das", r"'das'; it should be 'behavioral', 'iit-das', 'iit' or 'joint'"),
        ("tuning.kind=dora", r"tuning\.kind is 'dora'; it should be 'lora' or 'full'"),
        ("tuning.alpha=two", r"tuning\.alpha is 'two'; it should be a valid number"),
        ("transfer=3", "transfer is 3; it should be a valid array"),
        (
            "transfer=food101",
            "transfer is 'food101'; it should be a valid array",
        ),
        ("duration.precision=fp16", "it should be 'float32' or 'bfloat16'"),
        ("sources.batch=3", "sources is a list; set sources.NAME.batch"),
        ("sources.none.batch=3", "sources has no part named 'none', only concadia-test-texts"),
        ("base.name=3", "base.name: base is 'mini/base', not a table"),
        ("tuning.alpha=inf", r"tuning\.alpha is inf; it should be a finite number"),
        (f"tuning.alpha={10**30}", r"tuning\.alpha has more than 64 bits"),
        (f"tuning.alpha=1{'0' * 5000}", r"the override 'tuning\.alpha=1000.*cannot be read"),
        (f"about={'[' * 5000}", "the override 'about=.*nested too deeply"),
        (f"about={'[' * 150}{']' * 150}", r"about is \[\[.*; it should be a valid string"),
    ],
)
def test_what_a_recipe_does_not_know_is_named_with_what_it_knows(override: str, message: str):
    with pytest.raises(RecipeError, match=message):
        load("mini", override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "objective.dimension=0",
            r"objective\.dimension is 0; .* greater than or equal to 1",
        ),
        ("objective.layer=0", r"objective\.layer is 0; .* greater than or equal to 1"),
        ("objective.alpha=2", r"objective\.alpha is 2; .* less than or equal to 1"),
        ("objective.alpha=nan", r"objective\.alpha is nan; it should be a finite"),
        ("objective.relevance_weight=-1", r"objective\.relevance_weight is -1; .* or equal to 0"),
        ("tuning.rank=0", r"tuning\.rank is 0; .* greater than or equal to 1"),
        ("tuning.alpha=0", r"tuning\.alpha is 0; it should be greater than 0"),
        ("tuning.alpha=nan", r"tuning\.alpha is nan; it should be a finite"),
        ("tuning.dropout=1", r"tuning\.dropout is 1; it should be less than 1"),
        (
            "tuning.token_dropout=-1",
            r"tuning\.token_dropout is -1; .* greater than or equal to 0",
        ),
        (
            "optimiser.lr=-1e-3",
            r"optimiser\.lr is -0\.001; .* greater than or equal to 0",
        ),
        (
            "optimiser.rotation_lr=-1.0",
            r"optimiser\.rotation_lr is -1\.0; .* or equal to 0",
        ),
        (
            "optimiser.weight_decay=-1",
            r"optimiser\.weight_decay is -1; .* greater than or equal to 0",
        ),
        (
            "optimiser.warmup=-1",
            r"optimiser\.warmup is -1; .* greater than or equal to 0",
        ),
        (
            "optimiser.clip_norm=-1",
            r"optimiser\.clip_norm is -1; .* greater than or equal to 0",
        ),
        ("duration.epochs=-1", r"duration\.epochs is -1; .* greater than or equal to 0"),
        ("duration.epochs=inf", r"duration\.epochs is inf; it should be a finite"),
        (
            "duration.evaluate_every=0",
            r"duration\.evaluate_every is 0; .* or equal to 1",
        ),
        (
            "duration.patience=-1",
            r"duration\.patience is -1; .* greater than or equal to 0",
        ),
        (
            "duration.accumulate=0",
            r"duration\.accumulate is 0; .* greater than or equal to 1",
        ),
        ("trade_off=1.5", r"trade_off is 1\.5; .* less than or equal to 1"),
        (
            "relevance_drop=-0.1",
            r"relevance_drop is -0\.1; .* greater than or equal to 0",
        ),
        ("seed=-1", r"seed is -1; .* greater than or equal to 0"),
        ("sources=[]", "sources is empty; give at least one table of pairs"),
    ],
)
def test_values_out_of_range_are_refused_with_the_range(override: str, message: str):
    with pytest.raises(RecipeError, match=message):
        load("mini", override)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer": [{"name": "a", "path": "x"}, {"name": "a", "path": "y"}]}, "named 'a'"),
        ({"measure": [{"name": "a", "path": "x"}, {"name": "a", "path": "y"}]}, "named 'a'"),
        ({"measure": [{"name": "validation", "path": "x"}]}, "measure are named 'validation'"),
        ({"transfer": [{"name": "a", "path": "x", "held_out": -1}]}, "held_out is -1"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(RecipeError, match=message):
        build_recipe(FinetuneRecipe, made_values("base", **changes))


@pytest.mark.parametrize("key", ["base", "objective", "optimiser", "tuning", "sources"])
def test_a_missing_part_is_named(key: str):
    values = made_values("base")
    del values[key]
    with pytest.raises(RecipeError, match=f"'{key}' is missing; add it"):
        build_recipe(FinetuneRecipe, values)


@pytest.mark.parametrize("text", [f"about = {'[' * 5000}", f"seed = 1{'0' * 5000}", "seed = ["])
def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path, text: str):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"the recipe .*r\.toml (cannot be read|is nested)"):
        load_recipe(FinetuneRecipe, path)


def test_an_override_reaches_a_part_by_its_name():
    recipe = load("mini", "sources.contextref.batch=3", "transfer.cifar10.held_out=10")
    assert {source.name: source.batch for source in recipe.sources}["contextref"] == 3
    assert recipe.transfer[0].held_out == 10


def test_a_recipe_of_version_0_1_0_may_call_the_dimension_rank() -> None:
    values = made_values("base")
    dimension = values["objective"].pop("dimension")
    values["objective"]["rank"] = dimension
    assert build_recipe(FinetuneRecipe, values) == build_recipe(FinetuneRecipe, made_values("base"))
