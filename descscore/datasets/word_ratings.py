"""Ratings of single words: csv with the columns `word` and `rating`."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from descscore.errors import TableError
from descscore.tables.delimited import open_delimited
from descscore.tables.numbers import read_number

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class WordRatings:
    """Ratings by word, and the numbers of entries that were skipped or merged.

    Attributes:
        of_word: rating of each word, in lowercase.
        rows: number of rows in the file.
        expressions: rows of several words, such as "ice cream"; attributions are for single words.
        senses: rows of one sense, such as "aim (target)": a text does not say which is meant, and
            the ratings have a row for the word without a sense ("aim").
        repeated: rows with a repeated word; the word gets the mean.
    """

    of_word: Mapping[str, float]
    rows: int
    expressions: int
    senses: int
    repeated: int

    def form(self, word: str) -> str | None:
        """The rated form of a word as a text spells it, or None.

        Case and surrounding apostrophes do not matter; "dog's" counts as "dog" unless it is rated
        itself. Words are not lemmatised: "dogs" has a rating only if it is rated itself.
        """
        plain = _plain(word).strip("'")
        for form in (plain, plain.removesuffix("'s")):
            if form in self.of_word:
                return form
        return None


def read_word_ratings(path: Path) -> WordRatings:
    """Read a table of ratings; words such as "null" and "nan" are words.

    Raises:
        TableError: the file cannot be read, lacks a column, has no single word, or a rating is not
            a finite number.
    """
    table = open_delimited(path, ",")
    advice = "ratings are csv with the columns 'word' and 'rating'"
    table.check_columns(["word", "rating"], advice)
    found: dict[str, list[float]] = defaultdict(list)
    expressions = senses = 0
    for number, row in enumerate(table.rows(), 1):
        word, rating = (str(row.values[column]) for column in ("word", "rating"))
        value = read_number(rating)
        if value is None:
            raise TableError(
                f"row {number} of {path}: the rating of {word!r} is {rating!r}; give a number"
            )
        plain = _plain(word)
        if plain.endswith(")") and " (" in plain:
            senses += 1
        elif not plain or len(plain.split()) > 1:
            expressions += 1
        else:
            found[plain].append(value)
    if not found:
        raise TableError(f"{path} rates no single word; is it the right file?")
    means = {word: math.fsum(values) / len(values) for word, values in found.items()}
    return WordRatings(
        of_word=MappingProxyType(means),
        rows=table.n_rows,
        expressions=expressions,
        senses=senses,
        repeated=sum(map(len, found.values())) - len(found),
    )


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word).strip().lower().replace("\u2019", "'")
