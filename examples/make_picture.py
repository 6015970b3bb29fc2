"""Draw the sample photos beside their texts and scores: the picture in the README.

python examples/make_picture.py [CHECKPOINT] [-o FILE]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from descscore import DescriptionScore

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = Path(__file__).parent
PICTURE = EXAMPLES.parent / "docs" / "images" / "scored.png"

SCALE = 2
"""Pixels drawn for each point of the layout, so that text is sharp on dense screens."""

WIDTH, PHOTO, GAP = 860, 132, 16
BAR_LEFT, BAR_LONGEST = PHOTO + 3 * GAP + 78, 420
INK, FAINT = "#1f2328", "#59636e"
BARS = {"description": "#0969da", "caption": "#54aeff", "wrong": "#afb8c1"}


def main() -> None:
    """Score `pairs.csv` and draw it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", nargs="?", help="as for DescriptionScore; mini by default")
    parser.add_argument("-o", "--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    with (EXAMPLES / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metric = DescriptionScore(arguments.checkpoint, device="cpu")
    result = metric([EXAMPLES / row["image"] for row in rows], [row["text"] for row in rows])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    draw_picture(rows, result.scores.tolist()).save(arguments.out, optimize=True)
    print(f"{arguments.out}\n{result}")


def draw_picture(rows: Sequence[dict[str, str]], scores: Sequence[float]) -> Image.Image:
    """Every photo once, its texts beside it, and a bar as long as each text's score."""
    photos = list(dict.fromkeys(row["image"] for row in rows))
    height = GAP + len(photos) * (PHOTO + GAP)
    picture = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
    draw = ImageDraw.Draw(picture)
    per_point = BAR_LONGEST / max(*scores, 1e-9)
    for block, name in enumerate(photos):
        top = GAP + block * (PHOTO + GAP)
        with Image.open(EXAMPLES / name) as photo:
            square = ImageOps.fit(photo.convert("RGB"), (PHOTO * SCALE, PHOTO * SCALE))
        picture.paste(square, (GAP * SCALE, top * SCALE))
        of_photo = [pair for pair in zip(rows, scores, strict=True) if pair[0]["image"] == name]
        for line, (row, score) in enumerate(of_photo):
            draw_text(draw, row, score, top + line * PHOTO // len(of_photo), score * per_point)
    return picture.quantize(256)


def draw_text(
    draw: ImageDraw.ImageDraw, row: dict[str, str], score: float, top: int, bar: float
) -> None:
    """One text: its kind, the text itself, and under it the bar with the score."""
    plain, small = font(12), font(11)
    left = PHOTO + 2 * GAP
    draw.text((left * SCALE, top * SCALE), row["kind"], fill=FAINT, font=small)
    draw.text((BAR_LEFT * SCALE, top * SCALE), row["text"], fill=INK, font=plain)
    bar_top, right = top + 19, BAR_LEFT + max(bar, 1)
    box = [edge * SCALE for edge in (BAR_LEFT, bar_top, right, bar_top + 12)]
    draw.rectangle(box, fill=BARS[row["kind"]])
    draw.text(((right + 6) * SCALE, (bar_top - 1) * SCALE), f"{score:.3f}", fill=INK, font=small)


def font(points: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font, the same on every machine."""
    return ImageFont.load_default(points * SCALE)


if __name__ == "__main__":
    main()
