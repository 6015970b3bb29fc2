"""What classes are called in prompts: names from a file, templates from a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import OptionError, TableError
from descscore.strings import is_blank

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

SHIPPED_CLASS_NAMES = ("cifar100", "food101", "imagenet")
"""Class-name files that come with the package; each says where its names are from."""

_PLACEHOLDER = re.compile(r"\{(label|c)\}")
_BRACES = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The classes of a data set.

    Attributes:
        source: the file they are from.
        names: what each is called, in the file's order.
        keys: what else names a class: a folder's name, a WordNet id -> its place in `names`.
    """

    source: str
    names: Sequence[str]
    keys: Mapping[str, int]


def read_class_names(source: str | os.PathLike[str]) -> ClassNames:
    """Read a class-name file: a name a line, or what its folder is called, a tab and the name.

    Several keys are separated by `|`. Underscores in names become spaces; lines that begin with `#`
    are comments.

    Args:
        source: "cifar100", "food101", "imagenet" (shipped), or a file.

    Raises:
        TableError: there is no such file, it is not UTF-8, or names no class.
        OptionError: two classes have one name or one key.
    """
    names: list[str] = []
    keys: dict[str, int] = {}
    first_with: dict[str, int] = {}
    for number, line in _lines(source, SHIPPED_CLASS_NAMES):
        key, tab, name = line.partition("\t")
        name = (name if tab else key).replace("_", " ").strip()
        if is_blank(name) or "\t" in name:
            raise TableError(
                f"line {number} of {source} is {line!r}; write a name, or a folder's name, one tab "
                "and a name"
            )
        # CLIP's tokeniser reads no capitals.
        twin = first_with.setdefault(name.casefold(), number)
        if twin != number:
            raise OptionError(
                f"lines {twin} and {number} of {source} both name a class {name!r}, so one prompt "
                "would stand for two; give them different names"
            )
        for one in key.split("|") if tab else [key]:
            if keys.setdefault(one.strip(), len(names)) != len(names):
                raise OptionError(f"{source} has two classes with the key {one.strip()!r}")
        names.append(name)
    if not names:
        raise TableError(f"{source} names no class; write one a line")
    return ClassNames(source=str(source), names=names, keys=keys)


def places_of(
    classes: Sequence[str], named: ClassNames, *, by_position: bool = False
) -> dict[str, int]:
    """For each class of a data set its place in a class-name file.

    Args:
        classes: as the data set calls them: names or keys of the file.
        named: the file.
        by_position: the classes are in the file's order: whole numbers counted from 0, or, where
            they have names, as many as the file has.

    Raises:
        OptionError: a class is not in the file, or the numbers differ.
    """
    if by_position:
        return _by_position(classes, named)
    by_name = {name: place for place, name in enumerate(named.names)}
    by_folded = {name.casefold(): place for name, place in by_name.items()}
    places: dict[str, int] = {}
    missing = []
    for label in classes:
        name = label.replace("_", " ")
        found = named.keys.get(label, by_name.get(name, by_folded.get(name.casefold())))
        if found is None:
            missing.append(label)
        else:
            places[label] = found
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise OptionError(
            f"{len(missing)} of {len(classes)} classes are not in {named.source}, which names "
            f"{len(named.names)}: {shown}; add them (a folder's name, a tab, the class's name), or "
            "take classes by their position (--by-position)"
        )
    return places


def read_templates(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read prompts for an ensemble: a template a line, with `{label}` or `{c}` for the class.

    `{c}` is how clip_benchmark writes it. Empty lines are passed over.

    Raises:
        TableError: there is no such file, or it holds no template.
        OptionError: a template has no placeholder, or another one.
    """
    templates = tuple(
        check_template(line, f"line {number} of {path}") for number, line in _lines(path, ())
    )
    if not templates:
        raise TableError(f"{path} holds no template; write one a line: An image of {{label}}")
    return templates


def check_template(template: str, place: str = "the template") -> str:
    """The template, if it says where the class goes.

    Raises:
        OptionError: it does not, or has another placeholder.
    """
    others = [found for found in _BRACES.findall(template) if not _PLACEHOLDER.fullmatch(found)]
    if others or not _PLACEHOLDER.search(template):
        wrong = f"the unknown placeholder {others[0]}" if others else "no placeholder"
        raise OptionError(
            f"{place} ({template!r}) has {wrong}; write {{label}} (or {{c}}) where the class goes"
        )
    return template


def prompt(template: str, name: str) -> str:
    """The template with a class's name in it."""
    return _PLACEHOLDER.sub(lambda _: name, template)


def _by_position(classes: Sequence[str], named: ClassNames) -> dict[str, int]:
    if all(label.isdecimal() for label in classes):
        places = {label: int(label) for label in classes}
        highest = max(classes, key=int)
        if int(highest) >= len(named.names):
            raise OptionError(
                f"class {highest} is beyond {named.source}, which names {len(named.names)} "
                "classes, the first of them 0; use the class-name file of this data set"
            )
        return places
    if len(classes) != len(named.names):
        raise OptionError(
            f"there are {len(classes)} classes and {named.source} names {len(named.names)}; by "
            "position both must be as many: use the class-name file of this data set"
        )
    return {label: place for place, label in enumerate(classes)}


def _lines(source: str | os.PathLike[str], shipped: Sequence[str]) -> list[tuple[int, str]]:
    """The lines of a file that hold something, with their numbers."""
    path = Path(source)
    if str(source) in shipped and not path.is_file():
        text = (files("descscore.evaluate") / "classes" / f"{source}.txt").read_text("utf-8")
    else:
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TableError(f"{path} is not UTF-8 (byte {error.start + 1}); save it so") from None
        except OSError as error:
            known = f", or name one of {', '.join(shipped)}" if shipped else ""
            raise TableError(
                f"{path} cannot be read: {error.strerror or error}; check the path{known}"
            ) from None
    return [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not (shipped and line.startswith("#"))
    ]
