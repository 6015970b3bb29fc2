"""Data that metrics are evaluated on, read from the files that are distributed."""

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

_HOME = {
    "ClassFolders": "image_folders",
    "DescribedImage": "described_images",
    "DescribedImages": "described_images",
    "Example": "concadia",
    "Failure": "failures",
    "Items": "items",
    "LabelledImages": "labelled_images",
    "Ratings": "ratings",
    "RatedDescriptions": "kreiss2022",
    "WordRatings": "word_ratings",
    "class_folders": "image_folders",
    "read_concadia": "concadia",
    "read_described_images": "described_images",
    "read_hub_images": "hub_images",
    "read_items": "items",
    "read_kreiss2022": "kreiss2022",
    "read_labelled_images": "labelled_images",
    "read_ratings": "ratings",
    "read_scores": "ratings",
    "read_word_ratings": "word_ratings",
    "rows_by_hash": "splits",
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

__getattr__, __dir__ = lazy_names(__name__, _HOME)
