"""Class names and prompt templates, read from files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import OptionError, TableError
from descscore.strings import closest, is_blank, normal_form

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

SHIPPED_CLASS_NAMES = ("cifar100", "food101", "imagenet")
"""Class-name files in the package; each names the source of its names."""

_PLACEHOLDER = re.compile(r"\{(label|c)\}")
_BRACES = re.compile(r"\{[^{}]*\}")
_SOURCE_CODE = re.compile(
    r"""^(?: [\[\](){}],?$ | [\[({]\s*["'\[] | \w+\s*=\s*[\[("'{]
    | def\s\w+\( | import\s[\w.]+$ | from\s[\w.]+\simport\b | lambda\b[^:]*:
    | [rfbu]{0,2}(["']).*\1\s*[,:\])}]*$ )""",
    re.VERBOSE,
)
"""A line that can only be Python or JSON, not a prompt."""


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The classes of a dataset.

    Attributes:
        source: the file they are from.
        names: the class names, in the file's order.
        keys: other keys of a class, such as its folder or WordNet id -> its position in `names`.
    """

    source: str
    names: Sequence[str]
    keys: Mapping[str, int]

    @classmethod
    def of(cls, source: str, classes: Iterable[tuple[str, Sequence[str], str]]) -> ClassNames:
        """Check the classes of a dataset or a file.

        Args:
            source: what they are from.
            classes: for each class where it is named, its keys and its name.

        Raises:
            OptionError: a name shows nothing, or two classes have the same name or key.
        """
        names: list[str] = []
        keys: dict[str, int] = {}
        first_with: dict[str, str] = {}
        for place, of_class, label in classes:
            name = spoken_name(label)
            if is_blank(name):
                raise OptionError(
                    f"{place} of {source} has the name {name!r}, without visible characters; give "
                    "the class another name"
                )
            # CLIP's tokeniser reads no capitals.
            twin = first_with.setdefault(plain_name(name), place)
            if twin != place:
                raise OptionError(
                    f"{twin} and {place} of {source} both name a class {name!r}, so one prompt "
                    "would stand for two; give them different names in a class-name file"
                )
            for key in of_class:
                if keys.setdefault(normal_form(key.strip()), len(names)) != len(names):
                    raise OptionError(f"{source} has two classes with the key {key.strip()!r}")
            names.append(name)
        return cls(source=source, names=names, keys=keys)


def read_class_names(source: str | os.PathLike[str]) -> ClassNames:
    """Read a class-name file: one name per line, or a folder's name, a tab and the name.

    Several keys are separated by `|`. Underscores in names become spaces; lines that begin with `#`
    are comments.

    Args:
        source: "cifar100", "food101", "imagenet" (shipped), or a file.

    Raises:
        TableError: there is no such file, it is not UTF-8, or names no class.
        OptionError: a name shows nothing, or two classes have the same name or key.
    """
    classes: list[tuple[str, Sequence[str], str]] = []
    for number, line in _lines(source, SHIPPED_CLASS_NAMES):
        key, tab, name = line.partition("\t")
        if "\t" in name:
            raise TableError(
                f"line {number} of {source} is {line!r}; write a name, or a folder's name, one tab "
                "and a name"
            )
        keys, name = (key.split("|"), name) if tab else ([key], key)
        classes.append((f"line {number}", keys, name))
    if not classes:
        raise TableError(f"{source} names no classes; write one per line")
    return ClassNames.of(str(source), classes)


def places_of(
    classes: Sequence[str], named: ClassNames, *, by_position: bool = False
) -> dict[str, int]:
    """The position of each class of a dataset in a class-name file.

    Args:
        classes: the dataset's classes: names or keys of the file.
        named: the file.
        by_position: whether the classes are in the file's order: whole numbers counted from 0, or
            as many names as the file has.

    Raises:
        OptionError: a class is not in the file, or the numbers differ.
    """
    if by_position:
        return _by_position(classes, named)
    by_name = {plain_name(name): place for place, name in enumerate(named.names)}
    places: dict[str, int] = {}
    missing = []
    for label in classes:
        found = named.keys.get(normal_form(label), by_name.get(plain_name(label)))
        if found is None:
            missing.append(label)
        else:
            places[label] = found
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        near = closest(missing[0], [*named.keys, *named.names])
        raise OptionError(
            f"{len(missing)} of {len(classes)} classes are not in {named.source}, which names "
            f"{len(named.names)}: {shown}{near and f' ({near})'}; add them (a folder's name, a "
            "tab, the class's name), or take classes by their position (`by_position`)"
        )
    return places


def spoken_name(label: str) -> str:
    """What prompts call a class: its label with spaces for underscores."""
    return label.replace("_", " ").strip()


def plain_name(name: str) -> str:
    """A class's name as names are compared: composed, without case, spaces for underscores."""
    return normal_form(spoken_name(name)).casefold()


def read_templates(path: str | os.PathLike[str], dataset: str | None = None) -> tuple[str, ...]:
    """Read the prompts of an ensemble, with `{label}` or `{c}` in place of the class.

    Args:
        path: text with one prompt per line, empty lines skipped; or clip_benchmark's JSON: a list
            of prompts, or an object with such a list per dataset.
        dataset: which list of an object to use; by default its only one, or "default".

    Raises:
        TableError: the file cannot be read, has no prompt, or has neither format.
        OptionError: a prompt has no placeholder or an unknown one, or an object has no list for
            `dataset`.
    """
    lines = _lines(path, ())
    listed = _from_json("\n".join(line for _, line in lines), path, dataset)
    if listed is not None:
        prompts = [(f"prompt {number}", prompt) for number, prompt in enumerate(listed, start=1)]
    else:
        prompts = [(f"line {number}", line) for number, line in lines]
        for place, line in prompts:
            if _SOURCE_CODE.search(line):
                raise TableError(
                    f"{place} of {path} is source code or JSON, not a prompt ({line!r:.60}); write "
                    "one prompt per line without quotes, or a JSON list of prompts"
                )
    templates = tuple(check_template(text, f"{place} of {path}") for place, text in prompts)
    if not templates:
        raise TableError(f"{path} has no template; write one per line: An image of {{label}}")
    return templates


def _from_json(text: str, path: str | os.PathLike[str], dataset: str | None) -> list[str] | None:
    """The prompts in a JSON list, or in an object's list for a dataset; None if it is not JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if Path(path).suffix.lower() != ".json":
            return None
        raise TableError(f"{path} is not valid JSON: {error}") from None
    if isinstance(value, dict):
        key = next((name for name in (dataset, "default") if name in value), None)
        if key is None and len(value) == 1:
            key = next(iter(value))
        if key is None:
            known = ", ".join(map(repr, list(value)[:8])) + (", ..." if len(value) > 8 else "")
            raise OptionError(
                f"{path} has prompts for {known}; keep the ones to use, or name the key of the "
                "others 'default'"
            )
        value = value[key]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TableError(
            f"{path} is JSON, but neither a list of prompts nor an object with a list per dataset; "
            "prompts that differ by class are not supported"
        )
    return value


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
    numbered = all(label.isdecimal() for label in classes)
    places = {label: int(label) if numbered else i for i, label in enumerate(classes)}
    last = max(places, key=places.__getitem__)
    names = len(named.names)
    if places[last] >= names or not (numbered or len(classes) == names):
        raise OptionError(
            f"{len(classes)} classes, the last of them {last!r}, do not fit by their position: "
            f"{named.source} names {names}, the first of them 0; use the class-name file of this "
            "dataset"
        )
    return places


def _lines(source: str | os.PathLike[str], shipped: Sequence[str]) -> list[tuple[int, str]]:
    """The lines of a file that hold something, with their numbers."""
    path = Path(source)
    if str(source) in shipped and not path.is_file():
        text = (files("descscore.evaluate") / "classes" / f"{source}.txt").read_text("utf-8")
    else:
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TableError(
                f"{path} is not UTF-8 (byte {error.start + 1}); save it as UTF-8"
            ) from None
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
