"""An explanation as a picture: the image, and a bar per word for each part.

The picture carries its own alternative text as PNG's description.
"""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import OptionError
from descscore.explain.shades import LIGHT
from descscore.explain.wording import MEANS, Wording
from descscore.extras import imports_of
from descscore.inputs.decode import decode
from descscore.printable import printable
from descscore.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from descscore.explain.explanation import Explanation, Part

WIDTH, DOTS = 10, 150
"""Inches, and pixels per inch."""

_PER_WORD = 0.22  # inches
_LONGEST = 24  # characters
_STYLE = {
    "text.parse_math": False,  # a text's dollar signs are no formulas
    "font.size": 9,
    "text.color": LIGHT.ink,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "ytick.labelcolor": LIGHT.ink,
    "figure.facecolor": LIGHT.page,
    "figure.titlesize": 12,
    "figure.labelsize": 9,
}


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

    about = PngInfo()
    about.add_itxt("Description", alternative_text(explanation), lang="en")
    about.add_itxt("Source", printable(explanation.signature))
    file = io.BytesIO()
    # Not the user's own style.
    with matplotlib.style.context(["default", _STYLE]):
        _figure(explanation).savefig(file, dpi=DOTS, pil_kwargs={"pnginfo": about})
    write_whole(Path(path), file.getvalue())


def alternative_text(explanation: Explanation) -> str:
    """What the picture shows, for those who cannot see it."""
    said = Wording(explanation)
    numbers = map(said.signed, said.columns["total"])
    words = ", ".join(map(" ".join, zip(said.words, numbers, strict=True)))
    facts = ", ".join(f"{name} {value}" for name, value in said.facts().items())
    return (
        f"Explanation of the text “{said.text}”. {facts}. {' '.join(said.sentences())} What each "
        f"word adds: {words}."
    )


def _figure(explanation: Explanation) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    said = Wording(explanation)
    text = textwrap.fill(said.text, 80)
    facts = " · ".join(f"{name} {value}" for name, value in said.facts().items())
    notes = [textwrap.fill(facts, 120), f"right, plain: {said.adds} · left, hatched: {said.takes}"]
    if said.note:
        notes.append(said.note)
    lines = "\n".join([text, *notes]).count("\n") + 1
    height = max(3.0, 1.2 + 0.2 * lines + _PER_WORD * len(explanation.words))
    padded = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(WIDTH, height), layout=padded)
    figure.suptitle(text, x=0.01, ha="left")
    figure.supxlabel("\n".join(notes), x=0.01, ha="left")
    widths = [1.0] * len(said.columns)
    if explanation.image is not None:
        widths.insert(0, 1.1)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    if explanation.image is not None:
        panels[0].imshow(decode(explanation.image))
        panels[0].set_anchor("N")
        panels[0].set_axis_off()
    for panel, part in zip(panels[-len(said.columns) :], said.columns, strict=True):
        _bars(panel, said, part)
    return figure


def _bars(panel: Axes, said: Wording, part: Part) -> None:
    """A bar per word, in the order of the text; all parts share one scale."""
    numbers = said.columns[part]
    bars = panel.barh(range(len(numbers)), numbers, height=0.7)
    for bar, number in zip(bars, numbers, strict=True):
        adds = number >= 0
        bar.set_facecolor(LIGHT.adds if adds else LIGHT.takes)
        bar.set_edgecolor(LIGHT.adds_line if adds else LIGHT.takes_line)
        bar.set_hatch("" if adds else "////")
    panel.bar_label(bars, list(map(said.signed, numbers)), padding=3, fontsize=8)
    panel.set_title(textwrap.fill(f"{part.capitalize()} {said.sum(part)}: {MEANS[part]}", 30))
    words = said.words if part == "total" else []
    names = [word if len(word) <= _LONGEST else f"{word[: _LONGEST - 1]}…" for word in words]
    panel.set_yticks(range(len(names)), names)
    panel.set_xticks([])
    panel.axvline(0, color=LIGHT.faint, linewidth=0.8)
    # Room for the numbers on both sides.
    reach = 1.6 * (said.strongest or 1.0)
    panel.set_xlim(-reach, reach)
    panel.set_ylim(len(numbers) - 0.5, -0.5)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
