"""SugarCrepe (Hsieh et al. 2023): a caption of COCO, and the same with one fluent change.

Seven files, `add_att.json` to `swap_obj.json`: objects of entries with `filename`, `caption` and
`negative_caption`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import Source
from descscore.evaluate.benchmarks.entries import Entries, preferences

if TYPE_CHECKING:
    from pathlib import Path

SUGARCREPE = Source(
    name="SugarCrepe",
    address="https://github.com/RAIVNLab/sugar-crepe (data)",
    images="https://cocodataset.org/#download (val2017)",
)
CATEGORIES = (
    "add_att",
    "add_obj",
    "replace_att",
    "replace_obj",
    "replace_rel",
    "swap_att",
    "swap_obj",
)
_EXPECTED = "an object of entries with filename, caption and negative_caption"


def sugarcrepe(folder: Path, images: Path) -> Entries:
    """Every caption with its hard negative, by category; a category without a file is left out.

    Args:
        folder: with at least one of the seven files.
        images: the folder of images.

    Raises:
        OptionError: a folder does not exist.
        TableError: no file or an image is missing, or a file is laid out otherwise.
    """
    SUGARCREPE.find(folder, *(f"{name}.json" for name in CATEGORIES))
    names: list[str] = []
    texts: list[str] = []
    categories: list[str] = []
    missing: list[str] = []
    for category in CATEGORIES:
        path = SUGARCREPE.look_for(folder, f"{category}.json")
        if path is None:
            missing.append(category)
            continue
        with SUGARCREPE.laid_out(path, _EXPECTED):
            for entry in SUGARCREPE.read_json(path).values():
                names += [str(entry["filename"])] * 2
                texts += [" ".join(entry[key].split()) for key in ("caption", "negative_caption")]
                categories.append(category)
    if not categories:
        SUGARCREPE.refuse(folder, "its files hold no entry", _EXPECTED)
    return Entries(
        benchmark="sugarcrepe",
        measure=preferences,
        per_entry=2,
        images=SUGARCREPE.find_images(images, names),
        texts=texts,
        truth=np.array(categories),
        notes=(f"without {', '.join(missing)}, whose files are missing",) if missing else (),
    )
