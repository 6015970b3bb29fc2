"""The study of Kreiss et al. (2022), "Context Matters for Image Descriptions for Accessibility"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import OptionError, TableError
from descscore.evaluate.ratings import Ratings, read_by_id, read_ratings

if TYPE_CHECKING:
    import os

    from descscore.metric import DescriptionScore

ADDRESS = "https://github.com/elisakreiss/contextual-description-evaluation"
SOURCE = "Zur et al. 2024, Table 2, no tuning"

BLV = "BLV"
NO_IMAGE = "sighted, no image"
WITH_IMAGE = "sighted, with image"

_ID = "description_id"
_COLUMNS = {
    "overall": "q_overall",
    "imaginability": "q_reconstructivity",
    "relevance": "q_relevance",
    "irrelevance": "q_irrelevance",
}
PUBLISHED: dict[tuple[str, str], float] = {
    (BLV, "overall"): 0.08,
    (BLV, "imaginability"): 0.10,
    (BLV, "relevance"): 0.09,
    (BLV, "irrelevance"): 0.09,
    (NO_IMAGE, "overall"): -0.01,
    (NO_IMAGE, "imaginability"): 0.06,
    (NO_IMAGE, "relevance"): 0.00,
    (NO_IMAGE, "irrelevance"): -0.17,
    (WITH_IMAGE, "overall"): 0.14,
    (WITH_IMAGE, "relevance"): 0.11,
    (WITH_IMAGE, "irrelevance"): -0.08,
}
"""Pearson's correlations that the paper prints for CLIP ViT-B/32 without tuning (`SOURCE`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Descriptions and what blind, low-vision and sighted people thought of them.

    Attributes:
        ratings: groups "BLV", "sighted, no image" (asked before the image was shown) and "sighted,
            with image" (afterwards, except imaginability); 1 to 5, higher is better for every
            question, "irrelevance" too.
        texts: descriptions by id.
        images: image files by id.
        image_names: images by id, for a bootstrap over images.
    """

    ratings: Ratings
    texts: dict[str, str]
    images: dict[str, Path]
    image_names: dict[str, str]


def read_kreiss2022(folder: str | os.PathLike[str]) -> Study:
    """Read `descriptions.csv`, `blv_ratings.csv` and `sighted_ratings.csv`; images in `images/`.

    All ratings count; a description's mean is taken over its raters.

    Raises:
        OptionError: there is no such folder.
        TableError: a file or a column is missing, or a value is not as it should be.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OptionError(f"the folder {str(folder)!r} does not exist; the study is at {ADDRESS}")
    for name in ("descriptions.csv", "blv_ratings.csv", "sighted_ratings.csv"):
        if not (folder / name).is_file():
            raise TableError(f"{folder} has no {name}; the study's files are at {ADDRESS}")
    rows = read_by_id(folder / "descriptions.csv", _ID, ["image", "description"])
    ratings = read_ratings(
        folder / "blv_ratings.csv",
        id_column=_ID,
        questions={column: question for question, column in _COLUMNS.items()},
        group=BLV,
    )
    for group, suffix in {NO_IMAGE: ".preimg", WITH_IMAGE: ".postimg"}.items():
        ratings += read_ratings(
            folder / "sighted_ratings.csv",
            id_column=_ID,
            questions={
                column + suffix: question
                for question, column in _COLUMNS.items()
                if (group, question) in PUBLISHED
            },
            group=group,
        )
    return Study(
        ratings=ratings,
        texts={item: str(text) for item, (_, text) in rows.items()},
        images={item: folder / "images" / str(image) for item, (image, _) in rows.items()},
        image_names={item: str(image) for item, (image, _) in rows.items()},
    )


def score_study(metric: DescriptionScore, study: Study) -> dict[str, float]:
    """Score every description against its image.

    Raises:
        InputError: an image or a text cannot be scored.
    """
    scores = metric([str(path) for path in study.images.values()], list(study.texts.values()))
    return dict(zip(study.texts, scores.scores.tolist(), strict=True))
