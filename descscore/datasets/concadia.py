"""Concadia in its official layout: `wiki_split.json` and the images in `resized/`."""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from descscore.errors import TableError
from descscore.strings import is_blank

if TYPE_CHECKING:
    from pathlib import Path

Kind = TypeVar("Kind")

_NAMES = {dict: "an object", list: "a list", str: "a string"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """One Wikipedia image.

    Attributes:
        image: the file.
        description: the text that replaces it; empty if it has none.
        caption: the text that complements it; empty if it has none.
        split: "train", "val" or "test".
    """

    image: Path
    description: str
    caption: str
    split: str

    @property
    def lacking(self) -> str | None:
        """Which text it has not, "description" or "caption"."""
        texts = {"description": self.description, "caption": self.caption}
        return next((kind for kind, text in texts.items() if is_blank(text)), None)


def read_concadia(folder: Path) -> list[Example]:
    """Read every example, including those that lack a text (Kreiss et al. 2022, "Concadia").

    Raises:
        TableError: the folder lacks `wiki_split.json`, or the file is not Concadia's.
    """
    path = folder / "wiki_split.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"Concadia's {path} cannot be read: {error}") from error
    try:
        entries = _member(content, "images", list, "it")
        return [
            _example(entry, f"image {number}", folder) for number, entry in enumerate(entries, 1)
        ]
    except TableError as error:
        raise TableError(
            f"{path} is not laid out as Concadia's: {error}; repair it, or download it again"
        ) from None


def _example(entry: object, place: str, folder: Path) -> Example:
    name, split = (_member(entry, key, str, place) for key in ("filename", "split"))
    texts = {}
    for kind in ("description", "caption"):
        raw = _member(_member(entry, kind, dict, place), "raw", object, f"{place}'s {kind}")
        texts[kind] = raw if isinstance(raw, str) else ""
    return Example(image=folder / "resized" / name, split=split, **texts)


def _member(value: object, key: str, kind: type[Kind], place: str) -> Kind:
    """What an object of the file has by a name."""
    if not isinstance(value, dict):
        raise TableError(f"{place} is {reprlib.repr(value)}, not an object with {key!r}")
    if key not in value:
        raise TableError(f"{place} has no {key!r}")
    if not isinstance(value[key], kind):
        raise TableError(f"{place} has {reprlib.repr(value[key])} in {key!r}, not {_NAMES[kind]}")
    return value[key]
