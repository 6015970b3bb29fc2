"""FOIL (Shekhar et al. 2017): a caption of COCO, and the same with one wrong noun.

`foilv1.0_test_2017.json`: `annotations` with `id` (shared by a caption and its foil), `image_id`,
`caption` and `foil` (true or false); `images` with `id` and `file_name`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import (
    CAPTIONS,
    ImageFiles,
    Source,
    coco_captions,
    find_file,
    laid_out,
    read_json,
    refuse_layout,
    refuse_missing,
)
from descscore.evaluate.benchmarks.entries import Paired

FOIL = Source(
    name="FOIL",
    address="https://foilunitn.github.io/",
    images="https://cocodataset.org/#download (val2014)",
)
_REFERENCES = Source(
    name="FOIL with references",
    address="https://cocodataset.org/#download (annotations_trainval2014)",
    images=FOIL.images,
)
REFERENCES = 4
"""References that a pair is scored with at most."""

_FILES = ("foilv1.0_test_2017.json", "foilv1.0_test.json")
_EXPECTED = "annotations with id, image_id, caption and foil"


@dataclass(kw_only=True)
class _Group:
    """The captions that share an id."""

    image: int
    right: list[str] = field(default_factory=list)
    foils: list[str] = field(default_factory=list)


def foil(folder: Path, images: Path, *, references: bool) -> Paired:
    """Every caption of the test set with its foil.

    Hessel et al. (2021) draw one pair an image, and do not say which; here every pair counts, and
    each image as much as any other: what such draws give on average.

    Args:
        folder: with `foilv1.0_test_2017.json`; for references also COCO's `captions_val2014.json`.
        images: the folder of images.
        references: give up to four other captions of the image.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = find_file(folder, _FILES, FOIL)
    content = read_json(path, FOIL)
    with laid_out(path, FOIL, _EXPECTED):
        groups = _groups(content["annotations"])
        names = {int(image["id"]): str(image["file_name"]) for image in content.get("images", [])}
    pairs = [
        (group.image, right, wrong)
        for group in groups.values()
        for right in group.right
        for wrong in group.foils
    ]
    alone = sum(not group.right or not group.foils for group in groups.values())
    if not pairs:
        refuse_layout(path, FOIL, "no caption shares its id with a foil", _EXPECTED)
    of_pairs: list[tuple[tuple[str, ...]]] = []
    if references:
        known = coco_captions(find_file(folder, [CAPTIONS], _REFERENCES), _REFERENCES)
        for image, right, _ in pairs:
            others = tuple(text for text in known.get(image, []) if text != right)
            if not others:
                refuse_missing(folder, [f"another caption of image {image}"], _REFERENCES)
            of_pairs.append((others[:REFERENCES],))
    files = [names.get(image, f"COCO_val2014_{image:012d}.jpg") for image, _, _ in pairs]
    notes = ["every caption with its foil; each image counts once"]
    if alone:
        notes.append(f"{alone:,} captions skipped that have no foil, or foils without a caption")
    return Paired(
        benchmark="foil",
        images=tuple(ImageFiles(images, FOIL).paths(files)),
        firsts=tuple(right for _, right, _ in pairs),
        seconds=tuple(wrong for _, _, wrong in pairs),
        second_wins=np.zeros(len(pairs)),
        references=tuple(of_pairs) or None,
        notes=tuple(notes),
    )


def _groups(annotations: list[dict[str, Any]]) -> dict[tuple[int, int], _Group]:
    groups: dict[tuple[int, int], _Group] = {}
    for entry in annotations:
        image, is_foil = int(entry["image_id"]), str(entry["foil"]).lower()
        if is_foil not in {"true", "false"}:
            raise ValueError(f"foil is {entry['foil']!r}")
        group = groups.setdefault((image, int(entry["id"])), _Group(image=image))
        texts = group.foils if is_foil == "true" else group.right
        caption = " ".join(entry["caption"].split())
        if caption not in texts:
            texts.append(caption)
    return groups
