"""An explanation as a picture: the image, and a bar per word for each part.

The picture carries its own alternative text: as PNG's description, and as the property that IPTC
defines for it, which some programs read.
"""

from __future__ import annotations

import io
import os
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from descscore.errors import OptionError
from descscore.explain import wording
from descscore.explain.shades import LIGHT
from descscore.extras import imports_of
from descscore.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from descscore.explain.explanation import Explanation, Part

WIDTH, DOTS = 10, 150
"""Inches, and pixels per inch."""

_PER_WORD = 0.22  # inches
_LONGEST = 24  # characters
_SIZE = 9  # points

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
        MissingExtraError: Matplotlib is not installed.
    """
    if explanation.error is not None:
        raise OptionError(f"there is nothing to draw: {explanation.error}")
    with imports_of("plots"):
        import matplotlib.style
    from PIL.PngImagePlugin import PngInfo

    alternative = alternative_text(explanation)
    about = PngInfo()
    about.add_itxt("Description", alternative, lang="en")
    about.add_itxt("Source", wording.printable(explanation.signature))
    about.add_itxt("XML:com.adobe.xmp", _XMP.format(alternative=escape(alternative)))
    _warn_of_missing_glyphs(wording.printable(explanation.text))
    file = io.BytesIO()
    # Not the user's own style, and no formulas between dollar signs of the text.
    style = ["default", {"text.parse_math": False}]
    with matplotlib.style.context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        _figure(explanation).savefig(file, dpi=DOTS, pil_kwargs={"pnginfo": about})
    write_whole(Path(path), file.getvalue())


def alternative_text(explanation: Explanation) -> str:
    """What the picture shows, for those who cannot see it."""
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


def check_matplotlib() -> None:
    """Check that pictures can be drawn.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    with imports_of("plots"):
        import matplotlib as _  # noqa: F401


def _figure(explanation: Explanation) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    text = textwrap.fill(wording.printable(explanation.text), 80)
    facts = " · ".join(f"{name} {value}" for name, value in wording.facts(explanation).items())
    adds, takes = wording.means_of_sign(explanation)
    notes = [textwrap.fill(facts, 120), f"right, plain: {adds} · left, hatched: {takes}"]
    parts = wording.parts(explanation)
    if "through" not in parts:
        notes.append(wording.NO_SUBSPACE)
    lines = "\n".join([text, *notes]).count("\n") + 1
    height = max(3.0, 1.2 + 0.2 * lines + _PER_WORD * len(explanation.words))
    padded = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(WIDTH, height), layout=padded, facecolor=LIGHT.page)
    figure.suptitle(text, x=0.01, ha="left", fontsize=_SIZE + 3, color=LIGHT.ink)
    figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=_SIZE, color=LIGHT.ink)
    widths = [1.0] * len(parts)
    if explanation.image is not None:
        widths.insert(0, 1.1)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    if explanation.image is not None:
        _photo(panels[0], explanation.image)
    for place, (panel, part) in enumerate(zip(panels[-len(parts) :], parts, strict=True)):
        _bars(panel, explanation, part, named=not place)
    return figure


def _photo(panel: Axes, image: bytes) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(image)) as photo:
        panel.imshow(photo.convert("RGB"))
    panel.set_anchor("N")
    panel.set_axis_off()


def _bars(panel: Axes, explanation: Explanation, part: Part, *, named: bool) -> None:
    """A bar per word, in the order of the text; all parts share one scale."""
    numbers = wording.values(explanation, part)
    places = wording.decimals(explanation)
    bars = panel.barh(range(len(numbers)), numbers, height=0.7)
    for bar, number in zip(bars, numbers, strict=True):
        adds = number >= 0
        bar.set_facecolor(LIGHT.adds if adds else LIGHT.takes)
        bar.set_edgecolor(LIGHT.adds_line if adds else LIGHT.takes_line)
        bar.set_hatch("" if adds else "////")
    panel.bar_label(
        bars,
        [wording.signed(number, places) for number in numbers],
        padding=3,
        fontsize=_SIZE - 1,
        color=LIGHT.ink,
    )
    total = wording.signed(sum(numbers), places)
    title = textwrap.fill(f"{part.capitalize()} {total}: {wording.MEANS[part]}", 30)
    panel.set_title(title, fontsize=_SIZE, color=LIGHT.ink, loc="left")
    words = [wording.printable(word.text) for word in explanation.words] if named else []
    labels = [word if len(word) <= _LONGEST else f"{word[: _LONGEST - 1]}…" for word in words]
    panel.set_yticks(range(len(labels)), labels, fontsize=_SIZE, color=LIGHT.ink)
    panel.set_xticks([])
    panel.axvline(0, color=LIGHT.faint, linewidth=0.8)
    # Room for the numbers on both sides.
    reach = 1.6 * (wording.strongest(explanation) or 1.0)
    panel.set_xlim(-reach, reach)
    panel.set_ylim(len(numbers) - 0.5, -0.5)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)


def _warn_of_missing_glyphs(text: str) -> None:
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    lacking = dict.fromkeys(c for c in text if not c.isspace() and ord(c) not in known)
    if lacking:
        warnings.warn(
            f"the picture's font, DejaVu Sans, lacks {' '.join(lacking)} and boxes stand for them; "
            "an HTML page shows them",
            stacklevel=4,
        )
