"""An explanation as a picture: image, shaded words with their numbers under them, and a legend.

The picture carries its own alternative text: as PNG's description, and as the property that IPTC
defines for it, which some programs read.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from descscore.errors import OptionError
from descscore.explain import wording
from descscore.explain.shades import LEVELS, LIGHT, level_of, line_width
from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    from descscore.explain.explanation import Explanation, Part

SCALE = 2
"""Pixels drawn for each point of the layout, so that text is sharp on dense screens."""

WIDTH, MARGIN, PHOTO = 900, 24, 240
TEXT_SIZE, NUMBER_SIZE, SMALL_SIZE = 16, 11, 12

_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/">'
    "<Iptc4xmpCore:AltTextAccessibility><rdf:Alt>"
    '<rdf:li xml:lang="x-default">{alternative}</rdf:li>'
    "</rdf:Alt></Iptc4xmpCore:AltTextAccessibility>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


def to_png(explanation: Explanation, path: str | os.PathLike[str]) -> None:
    """Draw an explanation into a file.

    Raises:
        OptionError: the explanation has failed, so that there is nothing to draw.
        MissingExtraError: Matplotlib, which brings the font, is not installed.
    """
    if explanation.error is not None:
        raise OptionError(f"there is nothing to draw: {explanation.error}")
    from PIL.PngImagePlugin import PngInfo

    picture = _draw(explanation)
    alternative = alternative_text(explanation)
    about = PngInfo()
    about.add_itxt("Description", alternative, lang="en")
    about.add_itxt("Source", wording.printable(explanation.signature))
    about.add_itxt("XML:com.adobe.xmp", _XMP.format(alternative=escape(alternative)))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, pnginfo=about)
    Path(path).write_bytes(file.getvalue())


def alternative_text(explanation: Explanation) -> str:
    """What the picture says, for those who cannot see it."""
    places = wording.decimals(explanation)
    total = wording.values(explanation, "total")
    words = ", ".join(
        f"{wording.printable(word.text)} {wording.signed(value, places)}"
        for word, value in zip(explanation.words, total, strict=True)
    )
    numbers = ", ".join(f"{name} {value}" for name, value in wording.facts(explanation).items())
    return (
        f"Explanation of the text “{wording.printable(explanation.text)}”. {numbers}. "
        f"{' '.join(wording.sentences(explanation))} What each word adds: {words}."
    )


def check_font() -> Path:
    """The folder of the fonts, which are Matplotlib's and so the same on every machine.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    with imports_of("plots"):
        import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=16)
def _font(path: Path, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(str(path), size)


@dataclass
class _Sheet:
    """Drawing steps, in points; how high the picture must be is known once all are there."""

    regular: Path
    bold: Path
    steps: list[tuple[str, tuple[float, ...], dict[str, object]]] = field(default_factory=list)

    def font(self, size: int, *, bold: bool = False) -> FreeTypeFont:
        return _font(self.bold if bold else self.regular, size * SCALE)

    def width(self, text: str, size: int, *, bold: bool = False) -> float:
        return self.font(size, bold=bold).getlength(text) / SCALE

    def text(
        self, left: float, top: float, text: str, size: int, fill: str, *, bold: bool = False
    ) -> None:
        options = {"text": text, "fill": fill, "font": self.font(size, bold=bold)}
        self.steps.append(("text", (left, top), options))

    def box(self, left: float, top: float, right: float, bottom: float, fill: str) -> None:
        self.steps.append(("rectangle", (left, top, right, bottom), {"fill": fill}))

    def dots(self, left: float, right: float, top: float, size: float, fill: str) -> None:
        for at in _steps(left, right - size, 2 * size):
            self.steps.append(("ellipse", (at, top, at + size, top + size), {"fill": fill}))

    def draw(self, drawing: ImageDraw) -> None:
        for kind, places, options in self.steps:
            getattr(drawing, kind)([place * SCALE for place in places], **options)


def _draw(explanation: Explanation) -> Image:
    from PIL import Image, ImageDraw

    sheet = _sheet(explanation)
    photo = _photo(explanation)
    left = MARGIN if photo is None else MARGIN + PHOTO + MARGIN
    bottom = _facts(sheet, explanation, left, MARGIN)
    for part in wording.parts(explanation):
        total = wording.signed(
            sum(wording.values(explanation, part)), wording.decimals(explanation)
        )
        name = part.capitalize()
        sheet.text(left, bottom, name, SMALL_SIZE, LIGHT.ink, bold=True)
        after = left + sheet.width(f"{name}  ", SMALL_SIZE, bold=True)
        sheet.text(after, bottom, f"{total}: {wording.MEANS[part]}", SMALL_SIZE, LIGHT.faint)
        bottom = _words(sheet, explanation, part, left, bottom + 22) + 14
    if photo is not None:
        bottom = max(bottom, MARGIN + photo.height / SCALE + MARGIN)
    bottom = _legend(sheet, explanation, bottom)
    picture = Image.new("RGB", (WIDTH * SCALE, round(bottom + MARGIN) * SCALE), LIGHT.page)
    if photo is not None:
        picture.paste(photo, (MARGIN * SCALE, MARGIN * SCALE))
    sheet.draw(ImageDraw.Draw(picture))
    return picture


def _facts(sheet: _Sheet, explanation: Explanation, left: float, top: float) -> float:
    """Names over their numbers, in as many lines as it takes; where they end."""
    at, line = left, top
    for name, value in wording.facts(explanation).items():
        wide = max(sheet.width(name, SMALL_SIZE), sheet.width(value, TEXT_SIZE, bold=True))
        if at > left and at + wide > WIDTH - MARGIN:
            at, line = left, line + 50
        sheet.text(at, line, name, SMALL_SIZE, LIGHT.faint)
        sheet.text(at, line + 16, value, TEXT_SIZE, LIGHT.ink, bold=True)
        at += wide + 22
    return line + 56


def _words(sheet: _Sheet, explanation: Explanation, part: Part, left: float, top: float) -> float:
    """The text in lines, with a number under each word; where it ends."""
    numbers = wording.values(explanation, part)
    strongest = wording.strongest(explanation)
    places = wording.decimals(explanation)
    right, at, line = WIDTH - MARGIN, left, top
    space = sheet.width(" ", TEXT_SIZE)
    for piece in wording.pieces(explanation.text, explanation.words):
        if piece.word is None:
            at += space
            continue
        value = numbers[piece.word]
        number = wording.signed(value, places)
        for text in _fitting(sheet, piece.text.split() or [piece.text], right - left):
            wide = max(sheet.width(text, TEXT_SIZE), sheet.width(number, NUMBER_SIZE)) + 2
            if at > left and at + wide > right:
                at, line = left, line + 48
            _mark(sheet, level_of(value, strongest), at, at + wide, line)
            sheet.text(at + 1, line + 1, text, TEXT_SIZE, LIGHT.ink)
            sheet.text(at + 1, line + 26, number, NUMBER_SIZE, LIGHT.faint)
            at += wide + 3
            number = ""  # of a word over several lines, it stands under the first
    return line + 44


def _mark(sheet: _Sheet, level: int, left: float, right: float, top: float) -> None:
    """The shade behind a word and the line under it."""
    if not level:
        return
    width = line_width(level)
    sheet.box(left, top, right, top + 21, LIGHT.shade(level))
    if level > 0:
        sheet.box(left, top + 21, right, top + 21 + width - 1 / SCALE, LIGHT.adds_line)
    else:
        sheet.dots(left, right, top + 21, width, LIGHT.takes_line)


def _legend(sheet: _Sheet, explanation: Explanation, top: float) -> float:
    adds, takes = wording.means_of_sign(explanation)
    at = float(MARGIN)
    for sign, text in ((1, f"solid line: {adds}"), (-1, f"dotted line: {takes}")):
        for level in (LEVELS // 4, LEVELS // 2, LEVELS):
            _mark(sheet, sign * level, at, at + 20, top)
            at += 20
        sheet.text(at + 8, top + 4, text, SMALL_SIZE, LIGHT.ink)
        at += sheet.width(text, SMALL_SIZE) + 40
    line = top + 34
    if "through" not in wording.parts(explanation):
        sheet.text(MARGIN, line, wording.NO_SUBSPACE, SMALL_SIZE, LIGHT.faint)
        line += 20
    return line


def _fitting(sheet: _Sheet, texts: list[str], room: float) -> Iterator[str]:
    """Texts, cut where one is wider than a line."""
    for text in texts:
        start = 0
        for end in range(1, len(text) + 1):
            if sheet.width(text[start : end + 1], TEXT_SIZE) > room - 2 or end == len(text):
                yield text[start:end]
                start = end


def _photo(explanation: Explanation) -> Image | None:
    if explanation.image is None:
        return None
    from PIL import Image

    with Image.open(io.BytesIO(explanation.image)) as image:
        photo = image.convert("RGB")
    share = PHOTO * SCALE / max(photo.size)
    size = (max(1, round(photo.width * share)), max(1, round(photo.height * share)))
    return photo.resize(size, Image.Resampling.LANCZOS)


def _sheet(explanation: Explanation) -> _Sheet:
    """An empty sheet; a warning if its font lacks some of the text's characters."""
    fonts = check_font()
    from matplotlib.ft2font import FT2Font

    regular = fonts / "DejaVuSans.ttf"
    known = FT2Font(str(regular)).get_charmap()
    text = wording.printable(explanation.text)
    lacking = dict.fromkeys(c for c in text if not c.isspace() and ord(c) not in known)
    if lacking:
        warnings.warn(
            f"the picture's font, DejaVu Sans, lacks {' '.join(lacking)} and boxes stand for them; "
            "an HTML page shows them",
            stacklevel=4,
        )
    return _Sheet(regular=regular, bold=fonts / "DejaVuSans-Bold.ttf")


def _steps(start: float, stop: float, step: float) -> Iterator[float]:
    at = start
    while at <= stop:
        yield at
        at += step
