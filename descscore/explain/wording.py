"""What all views of an explanation say: its numbers, its sentences and its text in pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.explain.shades import LEVELS
from descscore.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from descscore.explain.explanation import Explanation, Part

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

_BASELINES = {
    "padding": "every token's embedding replaced by the padding token's",
    "zero": "every token's embedding replaced by zero",
}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of the text: a word, or what lies between words.

    Attributes:
        text: as it is spelled, control characters escaped.
        word: position of the word among the words; None between them.
    """

    text: str
    word: int | None = None


class Wording:
    """What is said of one explanation.

    Attributes:
        text: of the explanation, control characters escaped.
        words: likewise.
        columns: what each word adds, by the parts that the explanation has.
        strongest: the largest absolute value of any word in any part: all parts share one scale.
        places: decimals of the numbers: two, or more if all are small.
        unit: the name of the value that is explained.
        adds: what a word that adds does.
        takes: what a word that takes away does.
        note: on what the explanation lacks; empty for nothing.
    """

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        self.text = printable(explanation.text)
        self.words = [printable(word.text) for word in explanation.words]
        self.columns: dict[Part, list[float]] = {
            part: values.tolist()
            for part in MEANS
            if (values := getattr(explanation.of_words, part)) is not None
        }
        self.strongest = max(
            (abs(v) for column in self.columns.values() for v in column), default=0.0
        )
        small = 1 - math.floor(math.log10(self.strongest)) if self.strongest else 2
        self.places = max(2, min(6, small))
        self.unit, self.adds, self.takes = (
            ("logit score", "raises the score", "lowers the score")
            if explanation.target == "score"
            else ("log-odds of a description", "suggests a description", "suggests a caption")
        )
        self.note = "" if "through" in self.columns else NO_SUBSPACE

    def signed(self, value: float) -> str:
        """A number with its sign; none if it rounds to zero."""
        text = f"{abs(value):.{self.places}f}"
        if not float(text):
            return text
        return f"+{text}" if value > 0 else f"{MINUS}{text}"

    def unsigned(self, value: float) -> str:
        """A number with a sign only where it is negative."""
        return self.signed(value).removeprefix("+")

    def sum(self, part: Part) -> str:
        """What all words add together, by way of a part."""
        return self.signed(sum(self.columns[part]))

    def level(self, value: float) -> int:
        """The shade of a value: its share of the strongest, in steps, with its sign.

        Zero, and what is less than half a step, has none.
        """
        return round(value / self.strongest * LEVELS) if self.strongest else 0

    def pieces(self) -> Iterator[Piece]:
        """The whole text in order, cut at its words."""
        text, end = self.explanation.text, 0
        for place, word in enumerate(self.explanation.words):
            if end < word.start:
                yield Piece(text=printable(text[end : word.start]))
            yield Piece(text=printable(text[max(word.start, end) : word.end]), word=place)
            end = max(end, word.end)
        if end < len(text):
            yield Piece(text=printable(text[end:]))

    def facts(self) -> dict[str, str]:
        """The numbers of the whole text, by their names."""
        explanation = self.explanation
        error, share = abs(explanation.completeness_error), explanation.relative_error
        return self._scores() | {
            f"{self.unit[0].upper()}{self.unit[1:]}": self.unsigned(explanation.value),
            "Baseline": self.unsigned(explanation.baseline_value),
            "Sum of words": self.sum("total"),
            "Completeness error": f"{error:.2g}"
            + ("" if math.isnan(share) else f" ({percent(share)})"),
        }

    def _scores(self) -> dict[str, str]:
        score, purpose = self.explanation.score, self.explanation.purpose
        found = {} if score is None else {"Score": f"{score:.4f}"}
        return found if purpose is None else found | {"P(description)": f"{purpose:.3f}"}

    def summary(self) -> dict[str, str]:
        """What a table of many explanations says of each."""
        raising, lowering = self._strongest_words(1)
        return self._scores() | {
            "Sum of words": self.sum("total"),
            ADDS_MOST: " ".join(raising[0]) if raising else "none",
            TAKES_MOST: " ".join(lowering[0]) if lowering else "none",
        }

    def sentences(self) -> list[str]:
        """What is shown, in plain words."""
        explanation = self.explanation
        change = explanation.value - explanation.baseline_value
        found = [
            f"The words of this text {'raise' if change >= 0 else 'lower'} its {self.unit} by "
            f"{self.unsigned(abs(change))}: from {self.unsigned(explanation.baseline_value)} for "
            f"the baseline ({_BASELINES[explanation.baseline]}) to "
            f"{self.unsigned(explanation.value)}."
        ]
        most = [
            " and ".join(f"“{word}” ({number})" for word, number in words)
            + f" {verb}{'s' if len(words) == 1 else ''} it most"
            for words, verb in zip(self._strongest_words(2), ("raise", "lower"), strict=True)
            if words
        ]
        if most:
            found.append(f"{'; '.join(most)}.")
        if not self.note:
            found.append(
                f"{self.sum('through')} goes through the purpose subspace, {self.sum('around')} "
                "around it."
            )
        return found

    def _strongest_words(self, count: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """The words that add most and those that take most, with their numbers."""
        order = sorted(
            zip(self.columns["total"], self.words, strict=True), key=lambda pair: pair[0]
        )
        numbers = [(word, self.signed(value)) for value, word in order]
        raising = [pair for pair in numbers[: -count - 1 : -1] if pair[1].startswith("+")]
        return raising, [pair for pair in numbers[:count] if pair[1].startswith(MINUS)]


def percent(share: float) -> str:
    """A share in percent, to two digits where it is small."""
    if share < 0.0001:
        return "under 0.01%"
    return f"{share:.2%}" if share < 0.1 else f"{share:.0%}"
