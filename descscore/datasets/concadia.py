"""Concadia in its official layout: `wiki_split.json` and the images in `resized/`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.strings import is_blank

if TYPE_CHECKING:
    from pathlib import Path


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
    examples = []
    place = "images"
    try:
        for number, entry in enumerate(content["images"], 1):
            place = f"image {number}"
            raw = {kind: entry[kind]["raw"] for kind in ("description", "caption")}
            texts = {kind: text if isinstance(text, str) else "" for kind, text in raw.items()}
            image, split = folder / "resized" / entry["filename"], entry["split"]
            if not isinstance(split, str):
                raise TypeError(f"split is {split!r:.60}")
            examples.append(Example(image=image, split=split, **texts))
    except (KeyError, TypeError) as error:
        raise TableError(
            f"{path} is not laid out as Concadia's: {place} cannot be read ({error!r}); each of "
            "its images needs filename, split, description and caption: repair it, or download it "
            "again"
        ) from None
    return examples
