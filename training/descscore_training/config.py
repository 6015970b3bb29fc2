"""Recipes: frozen dataclasses read from TOML."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import dacite

from descscore.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterable

Recipe = TypeVar("Recipe")


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or the name of a shipped one.

    Raises:
        RecipeError: there is neither.
    """
    shipped = {path.stem: path for path in (Path(__file__).parent / "recipes").glob("*.toml")}
    path = Path(name)
    if path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    raise RecipeError(
        f"there is no recipe {name!r}: it is neither a file nor shipped ({', '.join(shipped)})"
    )


def load_recipe(kind: type[Recipe], path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe from a TOML file.

    Args:
        kind: the dataclass that the recipe fills.
        path: the TOML file.
        overrides: "key=value" or "table.key=value"; the value is TOML, or else taken as a string.

    Raises:
        RecipeError: the file is missing or not TOML, a key is unknown, or a value has the wrong
            type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}; name a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"the recipe {path} cannot be read: {error}") from error
    for override in overrides:
        _override(values, override)
    return build_recipe(kind, values)


def build_recipe(kind: type[Recipe], values: dict[str, Any]) -> Recipe:
    """Fill a recipe dataclass from plain values.

    Raises:
        RecipeError: a key is unknown or missing, or a value has the wrong type.
    """
    _refuse_unknown_keys(kind, values, where="")
    try:
        return dacite.from_dict(kind, values, dacite.Config(cast=[tuple], strict=True))
    except dacite.MissingValueError as error:
        raise RecipeError(f"the recipe lacks {error.field_path!r}; add it") from error
    except dacite.WrongTypeError as error:
        raise RecipeError(
            f"the recipe's {error.field_path!r} is {error.value!r}; it should be "
            f"{_name(error.field_type)}"
        ) from error


def plain(recipe: object) -> dict[str, Any]:
    """A recipe as the values that JSON and TOML have."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))  # pyright: ignore[reportArgumentType]


def save_recipe(recipe: object, path: Path) -> None:
    """Write the resolved recipe as JSON."""
    text = json.dumps(dataclasses.asdict(recipe), indent=2)  # pyright: ignore[reportArgumentType]
    path.write_text(text + "\n", encoding="utf-8")


def _override(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise RecipeError(f"the override {override!r} is not of the form key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, key = name.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"the override {override!r} goes into {table!r}, which is no table")
    values[key] = value


def _refuse_unknown_keys(kind: type, values: dict[str, Any], where: str) -> None:
    hints = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            advice = (
                f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(hints))}"
            )
            raise RecipeError(f"the recipe has an unknown key {where + key!r}; {advice}")
        nested = _dataclass_in(hints[key])
        for part in value if isinstance(value, list) else [value]:
            if nested is not None and isinstance(part, dict):
                _refuse_unknown_keys(nested, part, where=f"{where}{key}.")


def _dataclass_in(hint: Any) -> type | None:
    """The dataclass that a type hint holds: itself, in a tuple, or beside None."""
    if dataclasses.is_dataclass(hint):
        return hint  # pyright: ignore[reportReturnType]
    found = (_dataclass_in(argument) for argument in typing.get_args(hint))
    return next((kind for kind in found if kind is not None), None)


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        *others, last = map(repr, typing.get_args(hint))
        return f"{', '.join(others)} or {last}"
    if isinstance(hint, types.UnionType | types.GenericAlias):
        return str(hint)
    return getattr(hint, "__name__", str(hint))
