"""Norms of words, from the tables that their authors distribute, as csv with word and rating."""

from __future__ import annotations

import csv
import io
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descscore.datasets.word_ratings import read_word_ratings
from descscore.errors import MissingExtraError, TableError
from descscore.tables.numbers import read_number
from descscore.writing import write_whole
from descscore_training.study.downloads.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = list[list[str]]

_TABLE = r"\.(csv|tsv|txt|xlsx)"


class _Norm(Kind):
    """Ratings of words in one table.

    Attributes:
        words: rows there are.
        highest: the highest rating; the lowest is 1.
    """

    unit = "words"
    words: int
    highest: float

    @abstractmethod
    def columns(self, rows: Rows, source: Path) -> tuple[int, int, int]:
        """The column with words, the one with ratings, and how many rows are no words.

        Raises:
            TableError: there are none.
        """

    def count(self, target: Path) -> int:
        """How many rows there are.

        Raises:
            TableError: more or fewer than there should be, or the file is no table of ratings.
        """
        rows = read_word_ratings(target).rows
        if not self.fits(rows, self.words):
            raise TableError(
                f"{target} rates {rows:,} words, not {self.words:,}; move it away, and repeat the "
                "command to make it again"
            )
        return rows

    def make(self, found: tuple[Path, ...], target: Path, say: Callable[[str], None]) -> int:
        """Write the words and their mean ratings, as they are spelt and in their order.

        Raises:
            TableError: the table lacks a column or words, has more, or a rating is not a number.
            MissingExtraError: it is an Excel file, and openpyxl is not installed.
        """
        (source,) = found
        rows = _read(source)
        of_word, of_rating, heads = self.columns(rows, source)
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["word", "rating"])
        words = 0
        for number, row in enumerate(rows[heads:], heads + 1):
            word, rating = (row[i].strip() if i < len(row) else "" for i in (of_word, of_rating))
            if not word and not rating:
                continue
            value = read_number(rating)
            if not word or value is None or not 1 <= value <= self.highest:
                raise TableError(
                    f"row {number} of {source} rates {word!r} with {rating!r}, where a number from "
                    f"1 to {self.highest:g} should be; download it again"
                )
            writer.writerow([word, rating])
            words += 1
        if not self.fits(words, self.words):
            raise TableError(
                f"{source} rates {words:,} words, not {self.words:,}; download it again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        content = text.getvalue().encode()
        write_whole(target, content)
        return words


@dataclass(frozen=True, kw_only=True)
class Concreteness(_Norm):
    """Concreteness, 1 to 5 (Brysbaert et al. 2014): the columns Word and Conc.M.

    Attributes:
        words: 37,058 words and 2,896 expressions of two.
        highest: the highest rating.
    """

    path = "norms/concreteness.csv"
    files = "Concreteness_ratings_Brysbaert_et_al_BRM.txt (or .csv, .xlsx)"
    pattern = r"(concreteness_ratings_brysbaert.*|13428_2013_403_moesm\d+_esm)" + _TABLE
    words: int = 39_954
    highest: float = 5

    def columns(self, rows: Rows, source: Path) -> tuple[int, int, int]:
        """The columns by their names.

        Raises:
            TableError: one is not there.
        """
        head = [name.strip().lower() for name in rows[0]]
        if not {"word", "conc.m"} <= set(head):
            raise TableError(
                f"{source} has no columns Word and Conc.M, but {', '.join(rows[0])}; is it the "
                "table of Brysbaert et al. (2014)?"
            )
        return head.index("word"), head.index("conc.m"), 1


@dataclass(frozen=True, kw_only=True)
class Imageability(_Norm):
    """Imageability, 1 to 7 (Scott et al. 2019, the Glasgow Norms): IMAG and, below it, M.

    The first header row names each scale over the first of its three columns, the second one its
    mean, standard deviation and number of ratings.

    Attributes:
        words: 4,682 words, and 871 senses of some of them, such as "aim (target)".
        highest: the highest rating.
    """

    path = "norms/imageability.csv"
    files = "13428_2018_1099_MOESM2_ESM.csv (or GlasgowNorms.csv, .xlsx)"
    pattern = r"(13428_2018_1099_moesm2_esm|.*glasgow[ _-]?norms.*)" + _TABLE
    words: int = 5_553
    highest: float = 7

    def columns(self, rows: Rows, source: Path) -> tuple[int, int, int]:
        """The columns by both header rows.

        Raises:
            TableError: one is not there.
        """
        if len(rows) > 1:
            scales, scale = [], ""
            for name in rows[0]:
                scale = name.strip().upper() or scale
                scales.append(scale)
            kinds = [name.strip().upper() for name in rows[1]]
            heads = list(zip(scales, kinds, strict=False))
            words = [i for i, (name, _) in enumerate(heads) if name in {"WORD", "WORDS"}]
            if words and ("IMAG", "M") in heads:
                return words[0], heads.index(("IMAG", "M")), 2
        raise TableError(
            f"{source} has no columns Words and IMAG with M below it in its two header rows; is it "
            "the table of Scott et al. (2019)?"
        )


def _read(source: Path) -> Rows:
    """The fields of a table, its header among them, as they are spelt."""
    import pandas as pd

    as_spelt = {"header": None, "dtype": str, "keep_default_na": False}
    try:
        if source.suffix.lower() == ".xlsx":
            frame = pd.read_excel(source, engine="openpyxl", **as_spelt)
        else:
            text = source.read_text(encoding="utf-8-sig")
            delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
            frame = pd.read_csv(io.StringIO(text), sep=delimiter, **as_spelt)
    except ImportError:
        raise MissingExtraError(
            f"{source} is an Excel file, which needs openpyxl: pip install openpyxl, or save the "
            "table as csv beside it"
        ) from None
    except UnicodeDecodeError as error:
        raise TableError(
            f"{source} is not UTF-8 (byte {error.start + 1}); save it as UTF-8, or download it "
            "again"
        ) from None
    except (ValueError, KeyError, OSError) as error:  # an empty file, too
        raise TableError(f"{source} cannot be read ({error}); download it again") from error
    return frame.fillna("").to_numpy().tolist()
