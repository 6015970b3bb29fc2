"""Winoground (Thrush et al. 2022): two images and two captions of the same words in another order.

`examples.jsonl` as in `facebook/winoground` on the Hub: per line `id`, `image_0`, `image_1`,
`caption_0` and `caption_1`; the images are those of `images.zip`, unpacked.
"""

from __future__ import annotations

import json
from pathlib import Path

from descscore.evaluate.benchmarks.annotation_files import IMAGE_SUFFIXES, Source
from descscore.evaluate.benchmarks.entries import Entries, matches

WINOGROUND = Source(
    name="Winoground",
    address="https://huggingface.co/datasets/facebook/winoground (data/examples.jsonl)",
    images="https://huggingface.co/datasets/facebook/winoground (data/images.zip)",
)
_EXPECTED = "per line an object with image_0, image_1, caption_0 and caption_1"


def winoground(folder: Path, images: Path) -> Entries:
    """Every example: each of its images with both captions.

    Args:
        folder: with `examples.jsonl`.
        images: the folder of images.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = WINOGROUND.find(folder, "examples.jsonl")
    names: list[str] = []
    texts: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        with WINOGROUND.laid_out(path, _EXPECTED, place=f"line {number} fails with "):
            entry = json.loads(line)
            captions = [" ".join(entry[f"caption_{k}"].split()) for k in (0, 1)]
            for k in (0, 1):
                name = str(entry[f"image_{k}"])
                known = Path(name).suffix.lower() in IMAGE_SUFFIXES
                names += [name if known else f"{name}.png"] * 2
                texts += captions
    if not names:
        WINOGROUND.refuse(path, "it holds no example", _EXPECTED)
    return Entries(
        benchmark="winoground",
        measure=matches,
        per_entry=4,
        images=WINOGROUND.find_images(images, names),
        texts=texts,
        notes=("chance is 25% for text and image, 16.7% for group; a tie is wrong",),
    )
