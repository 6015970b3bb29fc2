"""Concadia in its official layout: `wiki_split.json` and the images in `resized/`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.errors import TableError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Example:
    """One Wikipedia image with the text that replaces it and the text that complements it."""

    image: Path
    description: str
    caption: str
    split: str


def read_concadia(folder: Path) -> list[Example]:
    """Read every example (Kreiss et al. 2022, "Concadia").

    Raises:
        TableError: the folder lacks `wiki_split.json`, or that is not Concadia's.
    """
    path = folder / "wiki_split.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["images"]
        return [
            Example(
                image=folder / "resized" / entry["filename"],
                description=entry["description"]["raw"],
                caption=entry["caption"]["raw"],
                split=entry["split"],
            )
            for entry in entries
        ]
    except (OSError, ValueError) as error:
        raise TableError(f"Concadia's {path} cannot be read: {error}") from error
    except (KeyError, TypeError) as error:
        raise TableError(f"{path} is not laid out as Concadia's: {error!r} is missing") from error
