"""What all views of an explanation say: its numbers, its sentences and its text in pieces."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from descscore.explain.explanation import Explanation, Part, Span

MINUS = "\N{MINUS SIGN}"

MEANS: dict[Part, str] = {
    "total": "everything a word adds",
    "through": "the part through the purpose subspace",
    "around": "the part around the purpose subspace",
}

NO_SUBSPACE = (
    "This checkpoint has no purpose subspace, so there is only the total, not its parts through "
    "and around it."
)

ADDS_MOST, TAKES_MOST = NAMING = ("Raises most", "Lowers most")
"""Columns of a summary that name words."""

_TINY = 0.0001

_BASELINES = {
    "padding": "every token's embedding replaced by the padding token's",
    "zero": "every token's embedding replaced by zero",
}

# What neither HTML nor a terminal may be given: control characters and non-characters.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(
        chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)
    )
    + "]"
)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of the text: a word, or what lies between words.

    Attributes:
        text: as it is spelled, unprintable characters replaced.
        word: position of the word among the words; None between them.
    """

    text: str
    word: int | None = None


def printable(text: str) -> str:
    """A text without control characters; each becomes the replacement character."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def pieces(text: str, words: Sequence[Span]) -> Iterator[Piece]:
    """The whole text in order, cut at its words."""
    end = 0
    for place, word in enumerate(words):
        if end < word.start:
            yield Piece(text=printable(text[end : word.start]))
        yield Piece(text=printable(text[max(word.start, end) : word.end]), word=place)
        end = max(end, word.end)
    if end < len(text):
        yield Piece(text=printable(text[end:]))


def parts(explanation: Explanation) -> list[Part]:
    """Those that the explanation has."""
    return [part for part in MEANS if getattr(explanation.of_words, part) is not None]


def values(explanation: Explanation, part: Part) -> list[float]:
    """What each word adds, by way of the part."""
    return [float(value) for value in getattr(explanation.of_words, part)]


def strongest(explanation: Explanation) -> float:
    """The largest absolute value of any word in any part: all parts share one scale."""
    found = [abs(value) for part in parts(explanation) for value in values(explanation, part)]
    return max(found, default=0.0)


def decimals(explanation: Explanation) -> int:
    """Decimals of an explanation's numbers: two, three if a part is small, more if all are."""
    largest = [max(map(abs, values(explanation, part)), default=0) for part in parts(explanation)]
    needed = [1 - math.floor(math.log10(value)) for value in largest if value]
    if not needed:
        return 2
    return max(2, min(6, min(needed)), min(3, max(needed)))


def signed(value: float, places: int) -> str:
    """A number with its sign; none if it rounds to zero."""
    text = f"{abs(value):.{places}f}"
    if not float(text):
        return text
    return f"+{text}" if value > 0 else f"{MINUS}{text}"


def unsigned(value: float, places: int) -> str:
    """A number with a sign only where it is negative."""
    return signed(value, places).removeprefix("+")


def unit(explanation: Explanation) -> str:
    """The name of the value that is explained."""
    return "logit score" if explanation.target == "score" else "log-odds of a description"


def facts(explanation: Explanation) -> dict[str, str]:
    """The numbers of the whole text, by their names."""
    places = decimals(explanation)
    found = {}
    if explanation.score is not None:
        found["Score"] = f"{explanation.score:.4f}"
    if explanation.purpose is not None:
        found["P(description)"] = f"{explanation.purpose:.3f}"
    name = unit(explanation)
    found[f"{name[0].upper()}{name[1:]}"] = unsigned(explanation.value, places)
    found["Baseline"] = unsigned(explanation.baseline_value, places)
    found["Sum of words"] = signed(sum(values(explanation, "total")), places)
    found["Completeness error"] = _completeness(explanation)
    return found


def _completeness(explanation: Explanation) -> str:
    """The error and its share of the change; only the share if it is tiny."""
    error = f"{abs(explanation.completeness_error):.2g}"
    share = explanation.relative_error
    if math.isnan(share):
        return error
    return percent(share) if share < _TINY else f"{error} ({percent(share)})"


def percent(share: float) -> str:
    """A share in percent, to two digits where it is small."""
    if share < _TINY:
        return "under 0.01%"
    return f"{share:.2%}" if share < 0.1 else f"{share:.0%}"


def sentences(explanation: Explanation) -> list[str]:
    """What is shown, in plain words."""
    places = decimals(explanation)
    change = explanation.value - explanation.baseline_value
    subject = (
        f"The words of this text {'raise' if change >= 0 else 'lower'} its {unit(explanation)}"
    )
    found = [
        f"{subject} by {unsigned(abs(change), places)}: from "
        f"{unsigned(explanation.baseline_value, places)} for the baseline "
        f"({_BASELINES[explanation.baseline]}) to {unsigned(explanation.value, places)}."
    ]
    most = _most(explanation)
    if most:
        found.append(most)
    if explanation.of_words.through is not None:
        through, around = (
            signed(sum(values(explanation, part)), places) for part in ("through", "around")
        )
        found.append(f"{through} goes through the purpose subspace, {around} around it.")
    return found


def summary(explanation: Explanation) -> dict[str, str]:
    """What a table of many explanations says of each."""
    places = decimals(explanation)
    total = values(explanation, "total")
    order = sorted(range(len(total)), key=lambda place: total[place])

    def named(place: int) -> str:
        return f"{printable(explanation.words[place].text)} {signed(total[place], places)}"

    found = {
        name: value
        for name, value in facts(explanation).items()
        if name in {"Score", "P(description)"}
    }
    found["Sum of words"] = signed(sum(total), places)
    found[ADDS_MOST] = named(order[-1]) if order and total[order[-1]] > 0 else "none"
    found[TAKES_MOST] = named(order[0]) if order and total[order[0]] < 0 else "none"
    return found


def means_of_sign(explanation: Explanation) -> tuple[str, str]:
    """What a word that adds does, and what one that takes away does."""
    if explanation.target == "score":
        return "raises the score", "lowers the score"
    return "suggests a description", "suggests a caption"


def _most(explanation: Explanation) -> str:
    places = decimals(explanation)
    total = values(explanation, "total")
    order = sorted(range(len(total)), key=lambda place: -total[place])
    raising = [place for place in order[:2] if float(f"{total[place]:.{places}f}") > 0]
    lowering = [place for place in order[:-3:-1] if float(f"{total[place]:.{places}f}") < 0]
    said = []
    for found, verb in ((raising, "raise"), (lowering, "lower")):
        named = " and ".join(
            f"“{printable(explanation.words[place].text)}” ({signed(total[place], places)})"
            for place in found
        )
        if named:
            said.append(f"{named} {verb}{'s' if len(found) == 1 else ''} it most")
    return f"{'; '.join(said)}." if said else ""
