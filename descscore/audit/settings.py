"""The settings of an audit, from the configuration file and the command line."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from descscore.errors import OptionError
from descscore.option_checks import check_choice, check_count

FailOn = Literal["violation", "review", "never"]
FILES = ("descscore.toml", "pyproject.toml")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How documents are audited.

    Attributes:
        enable: rules to turn on.
        disable: rules to turn off.
        vague_words: further names that say nothing on this site.
        ignore: glob patterns of paths to skip.
        root: the folder that addresses beginning with "/" are relative to.
        max_length: maximum number of characters of a name, for the rule alt-length.
        fail_on: the lowest severity that makes the audit fail.
        baseline: a file of known findings.
        base: the project's folder, which fingerprints are relative to.
    """

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    vague_words: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    root: Path | None = None
    max_length: int = 300
    fail_on: FailOn = "violation"
    baseline: Path | None = None
    base: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        from descscore.audit.rules import RULES

        for name in (*self.enable, *self.disable):
            check_choice("rule", name, [*RULES])
        check_choice("fail_on", self.fail_on, get_args(FailOn))
        check_count("max_length", self.max_length)
        if self.root is not None and not self.root.is_dir():
            raise OptionError(f"root is {str(self.root)!r}, which is not a folder")


def find_settings(folder: Path) -> Path | None:
    """The configuration file of a folder or the nearest one above it that has one."""
    for each in (folder, *folder.parents):
        for name in FILES:
            if _table(each / name) is not None:
                return each / name
    return None


def read_settings(path: Path) -> dict[str, object]:
    """The settings of a file: `[tool.descscore.audit]` of a pyproject.toml, or `[audit]`.

    Raises:
        OptionError: the file is not TOML, or has an unknown key or a value of the wrong type.
    """
    table = _table(path)
    if table is None:
        raise OptionError(
            f"{path} has no table [tool.descscore.audit], or [audit] in a descscore.toml"
        )
    known = {each.name for each in fields(Settings)} - {"base"}
    found: dict[str, object] = {"base": path.parent}
    for key, value in table.items():
        name = key.replace("-", "_")
        check_choice(f"a key in {path}", name, sorted(known))
        found[name] = _typed(path, key, name, value)
    return found


def _typed(path: Path, key: str, name: str, value: Any) -> object:
    lists = ("enable", "disable", "vague_words", "ignore")
    kind: type[Any] = list if name in lists else int if name == "max_length" else str
    if type(value) is not kind or (kind is list and {*map(type, value)} - {str}):
        wanted = {list: "a list of strings", int: "a whole number", str: "a string"}[kind]
        raise OptionError(f"{path}: {key} is {value!r}; use {wanted}")
    if kind is list:
        return tuple(value)
    return path.parent / value if name in ("root", "baseline") else value


def _table(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} is not TOML: {error}") from error
    keys = ("tool", "descscore", "audit") if path.name == "pyproject.toml" else ("audit",)
    for key in keys:
        inner = table.get(key)
        if not isinstance(inner, dict):
            return None
        table = inner
    return table
