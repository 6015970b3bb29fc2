"""What a sweep varies, around which recipe, and how it picks the settings that it tries."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from descscore.errors import RecipeError
from descscore_training.config import (
    Part,
    build_recipe,
    find_recipe,
    leaves,
    load_recipe,
    overrides_of,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from descscore_training.config import Recipe

Scalar = str | int | float | bool


class Axis(Part):
    """One value of the recipe that a sweep varies: choices, or a range.

    Attributes:
        key: where it stands in the recipe, as in "tuning.rank".
        choices: the values it takes.
        low: the range's least value; if both ends are whole numbers, so is what is drawn.
        high: the range's greatest value.
        log: whether the range is drawn from in equal ratios rather than equal steps.
        when: values that other keys must have for this one to matter. Where they have others, the
            key stays as the base recipe has it.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_range(self) -> Axis:
        ends = [end for end in (self.low, self.high) if end is not None]
        if len(ends) != (0 if self.choices else 2):
            raise RecipeError("give either a list of choices, or low and high")
        for choice in self.choices:
            finite = not isinstance(choice, float) or math.isfinite(choice)
            if not isinstance(choice, Scalar) or not finite:
                raise RecipeError(
                    f"{choice!r} is among its choices; give finite numbers, strings, true or false"
                )
        if len(set(map(repr, self.choices))) < len(self.choices):
            raise RecipeError("a choice occurs twice; drop one")
        if self.low is not None and self.high is not None:
            if not self.low < self.high:
                raise RecipeError(
                    f"it goes from {self.low} to {self.high}; low must be less than high"
                )
            if self.log and self.low <= 0:
                raise RecipeError(f"it starts at {self.low}; with log it must start above 0")
        return self

    def matters(self, settings: dict[str, Scalar]) -> bool:
        """Whether the settings of earlier keys make this one matter."""
        return all(key in settings and settings[key] == v for key, v in self.when.items())


class SweepRecipe(Part):
    """A sweep over settings of a recipe.

    Attributes:
        about: what it is for.
        base: the recipe it varies: a shipped one's name, or a path from the sweep's folder.
        overrides: changes to the base for all trials, a table of its keys.
        sampler: "grid" tries all combinations in order, "random" draws each trial by itself, "tpe"
            learns from the trials before (tree-structured Parzen estimator, Bergstra et al. 2011).
        seed: of the draws; the trainings' own is the base recipe's.
        trials: how many to run; for a grid all, if not said.
        space: what varies: keys of the recipe with a list of choices, or a table with the
            attributes of `Axis`.
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
        axes = self.axes()
        if not axes:
            raise RecipeError("the sweep's space is empty; name keys of the recipe to vary")
        for i, axis in enumerate(axes):
            _check_condition(axis, axes[:i])
            if self.sampler == "grid" and not axis.choices:
                raise RecipeError(
                    f"a grid needs choices for {axis.key}, not a range; list some, "
                    'or take the sampler "random" or "tpe"'
                )
        return self

    def axes(self) -> tuple[Axis, ...]:
        """The space's keys in the order of the file."""
        return tuple(_axes(self.space))

    def grid(self) -> Iterator[dict[str, Scalar]]:
        """All combinations of choices that matter; the last key varies fastest."""
        return _grid(self.axes(), {})


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
    beside = path.parent / plan.base
    base_path = beside if beside.is_file() else find_recipe(plan.base)
    fixed = [*overrides_of(plan.overrides), *overrides]
    base = load_recipe(kind, base_path, fixed)
    values = plain(base)
    for axis in plan.axes():
        _table_of(values, axis.key)
        for override in fixed:
            if override.partition("=")[0].strip() == axis.key:
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
        table, name = _table_of(values, key)
        table[name] = value
    return build_recipe(type(base), values)


def _axes(space: dict[str, Any], prefix: str = "") -> Iterator[Axis]:
    """Dotted keys that TOML reads as nested tables are put together again."""
    attributes = Axis.model_fields.keys() - {"key"}
    for name, value in space.items():
        key = prefix + name
        if isinstance(value, list):
            yield _axis({"key": key, "choices": value})
        elif not isinstance(value, dict):
            raise RecipeError(
                f"{key} in the sweep's space is {value!r}; list its choices, or fix it by an "
                "override"
            )
        elif value.keys() & attributes:
            when = _condition(key, value.get("when", {}))
            yield _axis(value | {"key": key, "when": when})
        else:
            yield from _axes(value, key + ".")


def _axis(values: dict[str, Any]) -> Axis:
    return build_recipe(Axis, values, name=f"{values['key']} in the sweep's space")


def _condition(key: str, when: object) -> dict[str, Any]:
    if not isinstance(when, dict):
        raise RecipeError(f"when of {key} is {when!r}; write when.KEY = VALUE")
    return dict(leaves(when))


def _check_condition(axis: Axis, earlier: Sequence[Axis]) -> None:
    known = {other.key: other for other in earlier}
    if axis.key in known:
        raise RecipeError(f"{axis.key} is in the sweep's space twice; drop one")
    for key, value in axis.when.items():
        if key not in known:
            raise RecipeError(
                f"{axis.key} depends on {key}, which does not come before it in the sweep's space"
            )
        if value not in known[key].choices:
            raise RecipeError(
                f"{axis.key} matters only when {key} is {value!r}, which is not among its choices"
            )


def _grid(axes: Sequence[Axis], settings: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
    if not axes:
        yield settings
    elif axes[0].matters(settings):
        for choice in axes[0].choices:
            yield from _grid(axes[1:], settings | {axes[0].key: choice})
    else:
        yield from _grid(axes[1:], settings)


def _table_of(values: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The table that holds a dotted key, and the key's last part."""
    *tables, name = key.split(".")
    found: Any = values
    for table in tables:
        found = found.get(table) if isinstance(found, dict) else None
    if not isinstance(found, dict) or name not in found:
        near = difflib.get_close_matches(key, [name for name, _ in leaves(values)], n=1)
        advice = f"did you mean {near[0]!r}?" if near else "set it in the base recipe first"
        raise RecipeError(f"the recipe has no {key!r} for the sweep to vary; {advice}")
    return found, name
