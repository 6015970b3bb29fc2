"""COCO's captions, which two benchmarks take their references from."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from descscore.evaluate.benchmarks.files import read_json, refuse_layout

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.evaluate.benchmarks.files import Source

CAPTIONS = "captions_val2014.json"

_NAME = re.compile(r"COCO_\w+_(\d+)\.jpg")


def coco_captions(path: Path, source: Source) -> dict[int, list[str]]:
    """Captions by the number of their image.

    Raises:
        TableError: the file is not laid out as COCO's captions are.
    """
    found: defaultdict[int, list[str]] = defaultdict(list)
    try:
        for entry in read_json(path, source)["annotations"]:
            found[int(entry["image_id"])].append(" ".join(entry["caption"].split()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        refuse_layout(path, source, repr(error), "annotations with image_id and caption")
    return dict(found)


def coco_number(name: str) -> int:
    """The number of a COCO image from its file's name; -1 for any other image."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else -1
