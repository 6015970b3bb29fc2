"""Evaluation data, read from the files that their authors distribute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.datasets.concadia import Example, read_concadia
    from descscore.datasets.described_images import (
        DescribedImage,
        DescribedImages,
        read_described_images,
    )
    from descscore.datasets.failures import Failure
    from descscore.datasets.hub_images import read_hub_images
    from descscore.datasets.image_folders import ClassFolders, class_folders
    from descscore.datasets.items import Items, read_items
    from descscore.datasets.kreiss2022 import RatedDescriptions, read_kreiss2022
    from descscore.datasets.labelled_images import LabelledImages, read_labelled_images
    from descscore.datasets.ratings import Ratings, read_ratings, read_scores
    from descscore.datasets.splits import rows_by_hash
    from descscore.datasets.word_ratings import WordRatings, read_word_ratings

_NAMES = {
    "concadia": ("Example", "read_concadia"),
    "described_images": ("DescribedImage", "DescribedImages", "read_described_images"),
    "failures": ("Failure",),
    "hub_images": ("read_hub_images",),
    "image_folders": ("ClassFolders", "class_folders"),
    "items": ("Items", "read_items"),
    "kreiss2022": ("RatedDescriptions", "read_kreiss2022"),
    "labelled_images": ("LabelledImages", "read_labelled_images"),
    "ratings": ("Ratings", "read_ratings", "read_scores"),
    "splits": ("rows_by_hash",),
    "word_ratings": ("WordRatings", "read_word_ratings"),
}

__all__ = [
    "ClassFolders",
    "DescribedImage",
    "DescribedImages",
    "Example",
    "Failure",
    "Items",
    "LabelledImages",
    "RatedDescriptions",
    "Ratings",
    "WordRatings",
    "class_folders",
    "read_concadia",
    "read_described_images",
    "read_hub_images",
    "read_items",
    "read_kreiss2022",
    "read_labelled_images",
    "read_ratings",
    "read_scores",
    "read_word_ratings",
    "rows_by_hash",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
