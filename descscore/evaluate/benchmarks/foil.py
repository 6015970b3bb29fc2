"""FOIL (Shekhar et al. 2017): a caption of COCO, and the same with one wrong noun.

`foilv1.0_test_2017.json`: `annotations` with `id` (shared by a caption and its foil), `image_id`,
`caption` and `foil` (true or false); `images` with `id` and `file_name`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import Source, coco_name
from descscore.evaluate.benchmarks.entries import Entries, draw, preference_by_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOIL = Source(
    name="FOIL",
    address="https://foilunitn.github.io/ (references: https://cocodataset.org/#download)",
    images="https://cocodataset.org/#download (val2014)",
)
REFERENCES = 4
"""References that a pair is scored with at most."""

_EXPECTED = "annotations with id, image_id, caption and foil"


def foil(folder: Path, images: Path, *, references: bool) -> Entries:
    """Every caption of the test set with its foil.

    Hessel et al. (2021) draw one pair an image, and do not say which; here every pair counts, and
    each image as much as any other: what such draws give on average.

    Args:
        folder: with `foilv1.0_test_2017.json`; for references also COCO's `captions_val2014.json`.
        images: the folder of images.
        references: draw up to four other captions of the image.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = FOIL.find(folder, "foilv1.0_test_2017.json", "foilv1.0_test.json")
    # The captions and the foils that share an image and an id.
    groups: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
    with FOIL.laid_out(path, _EXPECTED):
        content = FOIL.read_json(path)
        names = {int(image["id"]): str(image["file_name"]) for image in content.get("images", [])}
        for entry in content["annotations"]:
            number, is_foil = int(entry["image_id"]), str(entry["foil"]).lower()
            if is_foil not in {"true", "false"}:
                raise ValueError(f"foil is {entry['foil']!r}")
            key = names.get(number, coco_name(number)), int(entry["id"])
            texts = groups.setdefault(key, ([], []))[is_foil == "true"]
            caption = " ".join(entry["caption"].split())
            if caption not in texts:
                texts.append(caption)
    pairs = [
        (image, *both) for (image, _), texts in groups.items() for both in itertools.product(*texts)
    ]
    if not pairs:
        FOIL.refuse(path, "no caption shares its id with a foil", _EXPECTED)
    notes = ["every caption with its foil; each image counts once"]
    alone = sum(not (right and wrong) for right, wrong in groups.values())
    if alone:
        notes.append(f"{alone:,} captions skipped that have no foil, or foils without a caption")
    return Entries(
        benchmark="foil",
        measure=preference_by_image,
        per_entry=2,
        images=FOIL.find_images(images, [image for image, *both in pairs for _ in both]),
        texts=[text for _, *both in pairs for text in both],
        references=_references(folder, pairs) if references else None,
        notes=tuple(notes),
    )


def _references(folder: Path, pairs: Sequence[tuple[str, str, str]]) -> list[Sequence[str]]:
    """For both captions of each pair the same other captions of the image."""
    known = FOIL.coco_captions(folder)
    rng = np.random.default_rng(0)
    found: list[Sequence[str]] = []
    for image, right, _ in pairs:
        others = [text for text in known.get(image, []) if text != right]
        if not others:
            FOIL.refuse(folder, f"{image} has no other caption", "one as a reference")
        found += [draw(others, REFERENCES, rng)] * 2
    return found
