"""What a sweep varies, around which recipe, and how it picks the settings that it tries."""

from __future__ import annotations

import difflib
from itertools import product
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from descscore.errors import RecipeError
from descscore_training.config import (
    Part,
    build_recipe,
    check_once,
    find_recipe,
    leaves,
    load_recipe,
    overrides_of,
    plain,
    set_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from descscore_training.config import Recipe

Scalar = str | int | float | bool


class Range(Part):
    """Values between two ends, whole numbers if both ends are.

    Attributes:
        low: the least value.
        high: the greatest value.
        log: whether it is drawn from in equal ratios rather than equal steps.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _check_ends(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise RecipeError(
                f"it goes from {self.low} to {self.high}; low must be less than high, and with log "
                "above 0"
            )
        return self


Axis = list[Scalar] | Range


class SweepRecipe(Part):
    """A sweep over settings of a recipe.

    Attributes:
        about: what it is for.
        base: the recipe it varies: a shipped one's name, or a path from the sweep's folder.
        overrides: changes to the base for all trials, a table of its keys.
        sampler: "grid" tries all combinations in order, "random" draws each trial by itself, "tpe"
            learns from the trials before (tree-structured Parzen estimator, Bergstra et al. 2011).
        seed: of the draws; the trainings' own is the base recipe's.
        trials: how many to run; for a grid by default all.
        space: what varies: keys of the recipe, each with a list of choices or a table with the
            attributes of `Range`.
    """

    about: str = ""
    base: str
    overrides: dict[str, Any] = Field(default_factory=dict)
    sampler: Literal["grid", "random", "tpe"] = "tpe"
    seed: Annotated[int, Field(ge=0)] = 0
    trials: Annotated[int, Field(ge=1)] | None = None
    space: dict[str, Any]

    @model_validator(mode="after")
    def _check_space(self) -> SweepRecipe:
        if not self.space:
            raise RecipeError("the sweep's space is empty; name keys of the recipe to vary")
        check_once("keys of the sweep's space", [key for key, _ in _axes(self.space)])
        for key, axis in self.axes().items():
            if isinstance(axis, Range):
                if self.sampler == "grid":
                    raise RecipeError(
                        f"a grid needs choices for {key}, not a range; list some, or take the "
                        'sampler "random" or "tpe"'
                    )
            elif len(set(map(repr, axis))) < len(axis):
                raise RecipeError(f"a choice of {key} occurs twice; drop one")
        return self

    def axes(self) -> dict[str, Axis]:
        """What each key varies over, in the order of the file."""
        return {key: _axis(key, value) for key, value in _axes(self.space)}

    def grid(self) -> Iterator[dict[str, Scalar]]:
        """All combinations of choices; the last key varies fastest."""
        axes = {key: axis for key, axis in self.axes().items() if not isinstance(axis, Range)}
        return (dict(zip(axes, point, strict=True)) for point in product(*axes.values()))


def _axes(space: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys that TOML reads as nested tables are put together again."""
    for name, value in space.items():
        if isinstance(value, dict) and value.keys().isdisjoint(Range.model_fields):
            yield from _axes(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _axis(key: str, value: object) -> Axis:
    if isinstance(value, dict):
        return build_recipe(Range, value, name=f"{key} in the sweep's space")
    if not isinstance(value, list) or not value:
        raise RecipeError(f"{key} in the sweep's space is {value!r}; list its choices")
    for choice in value:
        if not isinstance(choice, Scalar) or (isinstance(choice, float) and not isfinite(choice)):
            raise RecipeError(
                f"{key} in the sweep's space has the choice {choice!r}; give finite numbers, "
                "strings, true or false"
            )
    return value


def load_sweep(
    kind: type[Recipe], path: Path, overrides: Iterable[str] = ()
) -> tuple[SweepRecipe, Recipe]:
    """Read a sweep and the recipe that it varies.

    Args:
        kind: the model of that recipe.
        path: the sweep's TOML file.
        overrides: changes to the recipe for all trials, on top of the sweep's own.

    Raises:
        RecipeError: a file is missing or malformed, or the space names a key that the recipe does
            not have or that an override fixes.
    """
    plan = load_recipe(SweepRecipe, path)
    base_path = find_recipe(plan.base, beside=path)
    fixed = [*overrides_of(plan.overrides), *overrides]
    base = load_recipe(kind, base_path, fixed)
    known = dict(leaves(plain(base)))
    for key in plan.axes():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else "set it in the base recipe first"
            raise RecipeError(f"the recipe has no {key!r} for the sweep to vary; {advice}")
        for override in fixed:
            if override.partition("=")[0].strip() == key:
                raise RecipeError(
                    f"the override {override!r} fixes what the sweep varies; drop it, "
                    "or take the key out of the space"
                )
    return plan, base


def with_settings(base: Recipe, settings: dict[str, Scalar]) -> Recipe:
    """The base recipe with a trial's settings.

    Raises:
        RecipeError: a key does not exist, or the values are none that the recipe allows.
    """
    values = plain(base)
    for key, value in settings.items():
        set_value(values, key, value)
    return build_recipe(type(base), values)
