"""Recipes: frozen dataclasses read from TOML."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import dacite

from descscore.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterable

Recipe = TypeVar("Recipe")

_RECIPES = Path(__file__).parent / "recipes"
_SHIPPED = {
    "train": _RECIPES,
    "pretrain": _RECIPES / "pretraining",
    "sweep": _RECIPES / "sweeps",
    "reproduce": _RECIPES.parent / "studies",
}

_WORDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
}
"""What TOML's values are called."""


def find_recipe(name: str, command: Literal["train", "pretrain"] = "train") -> Path:
    """The file of a recipe: a path, or the name of a shipped one.

    Args:
        name: the path or the name.
        command: what the recipe is for.

    Raises:
        RecipeError: there is neither, or the shipped one is for another command.
    """
    path = Path(name)
    if path.is_file():
        return path
    for other, folder in _SHIPPED.items():
        shipped = folder / f"{name}.toml"
        if shipped in folder.glob("*.toml"):
            if other == command:
                return shipped
            raise RecipeError(
                f"{name!r} is a recipe for descscore {other}, not for descscore {command}"
            )
    known = ", ".join(sorted(path.stem for path in _SHIPPED[command].glob("*.toml")))
    raise RecipeError(f"there is no recipe {name!r}: it is neither a file nor shipped ({known})")


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
    _check_keys(kind, values, where="")
    try:
        return dacite.from_dict(kind, values, dacite.Config(cast=[tuple], strict=True))
    except dacite.MissingValueError as error:
        raise RecipeError(f"the recipe lacks {error.field_path!r}; add it") from error
    except dacite.WrongTypeError as error:
        raise _of_wrong_type(str(error.field_path), error.value, error.field_type) from error


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


def _of_wrong_type(key: str, value: object, hint: Any) -> RecipeError:
    return RecipeError(f"the recipe's {key!r} is {value!r}; it should be {_in_words(hint)}")


def _check_keys(kind: type, values: dict[str, Any], where: str) -> None:
    """Refuse keys that a recipe does not have, and lists that are none."""
    hints = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            advice = (
                f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(hints))}"
            )
            raise RecipeError(f"the recipe has an unknown key {where + key!r}; {advice}")
        if typing.get_origin(hints[key]) is tuple and not isinstance(value, list | tuple):
            # Of what is no list, dacite would make a tuple of its parts.
            raise _of_wrong_type(where + key, value, hints[key])
        nested = _dataclass_in(hints[key])
        for part in value if isinstance(value, list) else [value]:
            if nested is not None and isinstance(part, dict):
                _check_keys(nested, part, where=f"{where}{key}.")


def _dataclass_in(hint: Any) -> type | None:
    """The dataclass that a type hint holds: itself, in a tuple, or beside None."""
    if dataclasses.is_dataclass(hint):
        return hint  # pyright: ignore[reportReturnType]
    found = (_dataclass_in(argument) for argument in typing.get_args(hint))
    return next((kind for kind in found if kind is not None), None)


def _in_words(hint: Any) -> str:
    """What a value of the type is called in TOML."""
    origin, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Literal:
        *others, last = map(repr, parts)
        return f"{', '.join(others)} or {last}"
    if origin in {types.UnionType, typing.Union}:
        return " or ".join(_in_words(part) for part in parts if part is not types.NoneType)
    if origin is tuple:
        return f"a list, with each item {_in_words(parts[0])}"
    return "a table" if dataclasses.is_dataclass(origin) else _WORDS.get(origin, str(hint))
