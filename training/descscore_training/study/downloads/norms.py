"""Norms of words, from the tables that their authors distribute, as csv with word and rating."""

from __future__ import annotations

import csv
import io
from functools import partial
from typing import TYPE_CHECKING

from descscore.datasets.word_ratings import read_word_ratings
from descscore.errors import TableError
from descscore.tables.numbers import read_number
from descscore.writing import write_whole
from descscore_training.study.downloads.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = list[list[str]]

_TABLE = r"\.(csv|tsv|txt)"


def _make(
    found: tuple[Path, ...],
    out: Path,
    *,
    columns: Callable[[Rows, Path], tuple[int, int, int]],
    highest: float,
) -> None:
    """Write the words and their mean ratings, as they are spelt and in their order."""
    (source,) = found
    rows = _read(source)
    of_word, of_rating, heads = columns(rows, source)
    kept = [["word", "rating"]]
    for number, row in enumerate(rows[heads:], heads + 1):
        word, rating = (row[i].strip() if i < len(row) else "" for i in (of_word, of_rating))
        if not word and not rating:
            continue
        value = read_number(rating)
        if not word or value is None or not 1 <= value <= highest:
            raise TableError(
                f"row {number} of {source} rates {word!r} with {rating!r}, where a number from "
                f"1 to {highest:g} should be; download it again"
            )
        kept.append([word, rating])
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(kept)
    write_whole(out, text.getvalue())


def _columns_of_concreteness(rows: Rows, source: Path) -> tuple[int, int, int]:
    """The column with words, the one with ratings, and how many rows are no words."""
    head = [name.strip().lower() for name in rows[0]]
    if not {"word", "conc.m"} <= set(head):
        raise TableError(
            f"{source} has no columns Word and Conc.M, but {', '.join(rows[0])}; is it the "
            "table of Brysbaert et al. (2014)?"
        )
    return head.index("word"), head.index("conc.m"), 1


def _columns_of_imageability(rows: Rows, source: Path) -> tuple[int, int, int]:
    """The same by two header rows.

    The first names each scale over the first of its three columns, the second its mean, standard
    deviation and number of ratings.
    """
    scales, scale = [], ""
    for name in rows[0]:
        scale = name.strip().upper() or scale
        scales.append(scale)
    kinds = [name.strip().upper() for name in rows[min(1, len(rows) - 1)]]
    heads = list(zip(scales, kinds, strict=False))
    words = [i for i, (name, _) in enumerate(heads) if name in {"WORD", "WORDS"}]
    if not words or ("IMAG", "M") not in heads:
        raise TableError(
            f"{source} has no columns Words and IMAG with M below it in its two header rows; is it "
            "the table of Scott et al. (2019)?"
        )
    return words[0], heads.index(("IMAG", "M")), 2


def _count(file: Path) -> int:
    return read_word_ratings(file).rows


def _read(source: Path) -> Rows:
    """The fields of a table, its header among them, as they are spelt."""
    import pandas as pd

    try:
        text = source.read_text(encoding="utf-8-sig")
        delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
        frame = pd.read_csv(
            io.StringIO(text), sep=delimiter, header=None, dtype=str, keep_default_na=False
        )
    except UnicodeDecodeError as error:
        raise TableError(
            f"{source} is not UTF-8 (byte {error.start + 1}); save it as UTF-8, or download it "
            "again"
        ) from None
    except (ValueError, OSError) as error:  # an empty file, too
        raise TableError(f"{source} cannot be read ({error}); download it again") from error
    return frame.fillna("").to_numpy().tolist()


CONCRETENESS = Kind(
    path="norms/concreteness.csv",
    unit="words",
    amount=39_954,
    files="Concreteness_ratings_Brysbaert_et_al_BRM.txt (or .csv, saved from the Excel file)",
    patterns=(rf"(concreteness_ratings_brysbaert.*|13428_2013_403_moesm\d+_esm){_TABLE}",),
    make=partial(_make, columns=_columns_of_concreteness, highest=5),
    count=_count,
)
"""Concreteness, 1 to 5 (Brysbaert et al. 2014), of 37,058 words and 2,896 expressions of two."""

IMAGEABILITY = Kind(
    path="norms/imageability.csv",
    unit="words",
    amount=5_553,
    files="13428_2018_1099_MOESM2_ESM.csv (or GlasgowNorms.csv)",
    patterns=(rf"(13428_2018_1099_moesm2_esm|.*glasgow[ _-]?norms.*){_TABLE}",),
    make=partial(_make, columns=_columns_of_imageability, highest=7),
    count=_count,
)
"""Imageability, 1 to 7 (Scott et al. 2019, the Glasgow Norms).

Of 4,682 words, and 871 senses of some of them, such as "aim (target)".
"""
