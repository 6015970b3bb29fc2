"""SugarCrepe (Hsieh et al. 2023): a caption of COCO, and the same with one fluent change.

Seven files, `add_att.json` to `swap_obj.json`: objects of entries with `filename`, `caption` and
`negative_caption`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import (
    ImageFiles,
    Source,
    find_file,
    laid_out,
    look_for,
    read_json,
    refuse_layout,
)
from descscore.evaluate.benchmarks.entries import Paired

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


def sugarcrepe(folder: Path, images: Path) -> Paired:
    """Every caption with its hard negative, by category; a category without a file is left out.

    Args:
        folder: with at least one of the seven files.
        images: the folder of images.

    Raises:
        OptionError: a folder does not exist.
        TableError: no file or an image is missing, or a file is laid out otherwise.
    """
    paths = {name: look_for(folder, [f"{name}.json"]) for name in CATEGORIES}
    if not any(paths.values()):
        find_file(folder, [f"{name}.json" for name in CATEGORIES], SUGARCREPE)
    rows: list[tuple[str, str, str, str]] = []
    for category, path in paths.items():
        if path is None:
            continue
        with laid_out(path, SUGARCREPE, _EXPECTED):
            for entry in read_json(path, SUGARCREPE).values():
                right, wrong = (
                    " ".join(entry[key].split()) for key in ("caption", "negative_caption")
                )
                rows.append((category, str(entry["filename"]), right, wrong))
    if not rows:
        refuse_layout(folder, SUGARCREPE, "its files hold no entry", _EXPECTED)
    categories, names, captions, negatives = zip(*rows, strict=True)
    missing = [name for name, path in paths.items() if path is None]
    return Paired(
        benchmark="sugarcrepe",
        images=tuple(ImageFiles(images, SUGARCREPE).paths(names)),
        firsts=captions,
        seconds=negatives,
        second_wins=np.zeros(len(rows)),
        categories=categories,
        notes=(f"without {', '.join(missing)}, whose files are missing",) if missing else (),
    )
