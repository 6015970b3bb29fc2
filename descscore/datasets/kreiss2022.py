"""The study of Kreiss et al. (2022), "Context Matters for Image Descriptions for Accessibility"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.datasets.rated_items import Items, read_items
from descscore.datasets.ratings import Ratings, read_ratings
from descscore.errors import OptionError, TableError
from descscore.tables.formats import open_table

if TYPE_CHECKING:
    import os

ADDRESS = "https://github.com/elisakreiss/contextual-description-evaluation"

BLV = "BLV"
NO_IMAGE = "sighted, no image"
WITH_IMAGE = "sighted, with image"

ID_COLUMN = "description_id"
_CONTEXT = "article_text"
_COLUMNS = {
    "overall": "q_overall",
    "imaginability": "q_reconstructivity",
    "relevance": "q_relevance",
    "irrelevance": "q_irrelevance",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RatedDescriptions:
    """Descriptions and their ratings by blind, low-vision and sighted people.

    Attributes:
        items: descriptions, their images, and the articles in which the images appear.
        ratings: groups "BLV", "sighted, no image" (asked before the image was shown) and "sighted,
            with image" (afterwards, except imaginability); 1 to 5, higher is better for every
            question, including "irrelevance".
    """

    items: Items
    ratings: Ratings


def read_kreiss2022(folder: str | os.PathLike[str]) -> RatedDescriptions:
    """Read `descriptions.csv`, `blv_ratings.csv` and `sighted_ratings.csv`; images in `images/`.

    All ratings count; a description's mean is taken over its raters.

    Raises:
        OptionError: there is no such folder.
        TableError: a file or a column is missing, or a value is invalid.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OptionError(f"the folder {str(folder)!r} does not exist; the study is at {ADDRESS}")
    for name in ("descriptions.csv", "blv_ratings.csv", "sighted_ratings.csv"):
        if not (folder / name).is_file():
            raise TableError(f"{folder} has no {name}; the study's files are at {ADDRESS}")
    ratings = read_ratings(
        folder / "blv_ratings.csv",
        id_column=ID_COLUMN,
        questions={column: question for question, column in _COLUMNS.items()},
        group=BLV,
    )
    for group, suffix in {NO_IMAGE: ".preimg", WITH_IMAGE: ".postimg"}.items():
        ratings += read_ratings(
            folder / "sighted_ratings.csv",
            id_column=ID_COLUMN,
            questions={
                column + suffix: question
                for question, column in _COLUMNS.items()
                if (group, question) != (WITH_IMAGE, "imaginability")  # not asked again
            },
            group=group,
        )
    images = folder / "images"
    descriptions = folder / "descriptions.csv"
    return RatedDescriptions(
        items=read_items(
            descriptions,
            id_column=ID_COLUMN,
            text_column="description",
            context_column=_CONTEXT if _CONTEXT in open_table(descriptions).columns else None,
            images=images if images.is_dir() else folder,
        ),
        ratings=ratings,
    )
