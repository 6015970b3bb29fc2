"""Recipes: frozen pydantic models read from TOML."""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from descscore.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic_core import ErrorDetails


class Part(BaseModel):
    """A table of a recipe: unknown keys, other types and infinite numbers are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Recipe = TypeVar("Recipe", bound=Part)

_RECIPES = Path(__file__).parent / "recipes"
_SHIPPED = {
    "train": _RECIPES,
    "pretrain": _RECIPES / "pretraining",
    "sweep": _RECIPES / "sweeps",
    "reproduce": _RECIPES.parent / "studies",
}

# Longer integers overflow in the libraries that would get them.
_LARGEST = 2**63
_LONGEST_SHOWN = 80


def find_recipe(
    name: str,
    command: Literal["train", "pretrain", "sweep", "reproduce"] = "train",
    *,
    beside: Path | None = None,
) -> Path:
    """The file of a recipe: a path, or the name of a shipped one.

    Args:
        name: the path or the name.
        command: what the recipe is for.
        beside: a file from whose folder the path starts.

    Raises:
        RecipeError: there is neither.
    """
    path = Path(name) if beside is None else beside.parent / name
    if path.is_file():
        return path
    shipped = {path.stem: path for path in _SHIPPED[command].glob("*.toml")}
    if name not in shipped:
        known = ", ".join(sorted(shipped))
        raise RecipeError(
            f"there is no recipe {name!r} to {command}: it is neither a file nor shipped ({known})"
        )
    return shipped[name]


def load_recipe(kind: type[Recipe], path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe from a TOML file.

    A recipe with `extends = "NAME"` changes the values of NAME.toml, which lies beside it.

    Args:
        kind: the model that the recipe fills.
        path: the TOML file.
        overrides: "key=value" or "table.key=value"; the value is TOML, or else taken as a string.
            In a list of tables, `table.NAME.key` is the table of that name.

    Raises:
        RecipeError: the file is missing or not TOML, a key is unknown, or a value has the wrong
            type or is out of range.
    """
    values = _read(path)
    extended = values.pop("extends", None)
    if extended is not None:
        changes, values = values, _read(path.parent / f"{extended}.toml")
        for key, value in leaves(changes):
            set_value(values, key, value)
    for override in overrides:
        key, value = _parsed(override)
        set_value(values, key, value)
    return build_recipe(kind, values, name=str(path))


def build_recipe(kind: type[Recipe], values: dict[str, Any], *, name: str = "") -> Recipe:
    """Fill a recipe from plain values.

    Args:
        kind: the model to fill.
        values: as TOML or JSON have them.
        name: of the recipe, for errors.

    Raises:
        RecipeError: a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    try:
        _check_integers(values)
        # As JSON: only there does a strict model take a list for a tuple.
        return kind.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        # A misspelt key first: that another is missing follows from it.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        problem = _message(kind, first)
    except RecursionError:
        problem = "it is nested too deeply; flatten it"
    except RecipeError as error:
        problem = str(error)
    raise RecipeError(f"{name}: {problem}" if name else problem)


def check_once(what: str, names: Iterable[object]) -> None:
    """Refuse a list in which a name or number occurs twice.

    Raises:
        RecipeError: one does.
    """
    for name, count in Counter(map(str, names)).items():
        if count > 1:
            raise RecipeError(f"two {what} are named {name!r}; rename one of them")


def plain(recipe: Part) -> dict[str, Any]:
    """A recipe as the values that JSON and TOML have."""
    return recipe.model_dump(mode="json")


def set_value(values: dict[str, Any], key: str, value: object) -> None:
    """Set a value by its dotted key; in a list of tables, a part of the key is a table's name.

    Raises:
        RecipeError: the key leads into something that is no table.
    """
    *tables, last = key.split(".")
    found: Any = values
    for depth, table in enumerate(tables, 1):
        if isinstance(found, list):
            found = {one["name"]: one for one in found if isinstance(one, dict) and "name" in one}
            if table not in found:
                known = f", only {', '.join(found)}" if found else "; set all of it"
                above = ".".join(tables[: depth - 1])
                raise RecipeError(f"{key}: {above} has no part named {table!r}{known}")
        found = found.setdefault(table, {})
        if not isinstance(found, dict | list):
            raise RecipeError(f"{key}: {'.'.join(tables[:depth])} is {found!r}, not a table")
    if isinstance(found, list):
        above = ".".join(tables)
        raise RecipeError(f"{key}: {above} is a list; set {above}.NAME.{last}, or all of it")
    found[last] = value


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables with their dotted keys."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def overrides_of(changes: dict[str, Any]) -> list[str]:
    """The values of nested tables as overrides, "table.key=value"."""
    return [f"{key}={as_toml(value)}" for key, value in leaves(changes)]


def as_toml(value: object) -> str:
    """A plain value as it is written inline in TOML, which has no null."""
    if isinstance(value, dict):
        parts = (f"{name} = {as_toml(v)}" for name, v in value.items() if v is not None)
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}; name a TOML file") from None
    except RecursionError:
        raise RecipeError(f"the recipe {path} is nested too deeply; flatten it") from None
    except (OSError, ValueError) as error:  # not UTF-8, not TOML, or a number of 5,000 digits
        raise RecipeError(f"the recipe {path} cannot be read: {_reason(error)}") from error


def _parsed(override: str) -> tuple[str, Any]:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise RecipeError(f"the override {_shown(override)} does not have the form key=value")
    try:
        return name.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), text
    except (RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _reason(error)
        raise RecipeError(f"the override {_shown(override)} cannot be read: {reason}") from None


def _reason(error: Exception) -> str:
    # Python's advice about longer integers is for programs.
    return str(error).partition("; use sys.set_int_max_str_digits")[0]


def _check_integers(values: object, where: str = "") -> None:
    """Refuse integers beyond 64 bits."""
    if isinstance(values, int) and not -_LARGEST <= values < _LARGEST:
        raise RecipeError(f"{where.removeprefix('.')} has more than 64 bits; give a smaller number")
    if isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            _check_integers(value, f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}")


def _message(kind: type[Part], error: ErrorDetails) -> str:
    """What is wrong with which key, its value, and what to do."""
    where, own = error["loc"], error.get("ctx", {}).get("error")
    if error["type"] == "extra_forbidden":
        *tables, key = where
        known = _part_at(kind, tables).model_fields
        near = difflib.get_close_matches(str(key), known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key {_joined(where)!r}; {advice}"
    if error["type"] == "missing":
        return f"{_joined(where)!r} is missing; add it"
    if isinstance(own, RecipeError):
        return str(own)
    wanted = error["msg"].partition(" ")[2]
    return f"{_joined(where)} is {_shown(error['input'])}; it {wanted}"


def _part_at(kind: type[Part], where: Sequence[int | str]) -> type[Part]:
    """The model of the table at a location."""
    for name in where:
        if isinstance(name, str) and name in kind.model_fields:
            hint = kind.model_fields[name].annotation
            found = [part for part in (hint, *typing.get_args(hint)) if isinstance(part, type)]
            kind = next(part for part in found if issubclass(part, Part))
    return kind


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _joined(where: Sequence[int | str]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".")
