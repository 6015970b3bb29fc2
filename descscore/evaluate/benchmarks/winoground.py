"""Winoground (Thrush et al. 2022): two images and two captions of the same words in another order.

`examples.jsonl` as in `facebook/winoground` on the Hub: per line `id`, `image_0`, `image_1`,
`caption_0` and `caption_1`; the images are those of `images.zip`, unpacked.
"""

from __future__ import annotations

import json
from pathlib import Path

from descscore.evaluate.benchmarks.annotation_files import (
    IMAGE_SUFFIXES,
    ImageFiles,
    Source,
    find_file,
    laid_out,
    refuse_layout,
)
from descscore.evaluate.benchmarks.entries import Crossed

WINOGROUND = Source(
    name="Winoground",
    address="https://huggingface.co/datasets/facebook/winoground (data/examples.jsonl)",
    images="https://huggingface.co/datasets/facebook/winoground (data/images.zip)",
)
_EXPECTED = "per line an object with image_0, image_1, caption_0 and caption_1"


def winoground(folder: Path, images: Path) -> Crossed:
    """Every example.

    Args:
        folder: with `examples.jsonl`.
        images: the folder of images.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = find_file(folder, ["examples.jsonl"], WINOGROUND)
    names: list[str] = []
    captions: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        with laid_out(path, WINOGROUND, _EXPECTED, place=f"line {number} fails with "):
            entry = json.loads(line)
            for k in (0, 1):
                name = str(entry[f"image_{k}"])
                names.append(name if Path(name).suffix.lower() in IMAGE_SUFFIXES else f"{name}.png")
                captions.append(" ".join(entry[f"caption_{k}"].split()))
    if not names:
        refuse_layout(path, WINOGROUND, "it holds no example", _EXPECTED)
    return Crossed(
        benchmark="winoground",
        images=tuple(ImageFiles(images, WINOGROUND).paths(names)),
        captions=tuple(captions),
        notes=("chance is 25% for text and image, 16.7% for group; a tie is wrong",),
    )
