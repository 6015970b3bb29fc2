"""Do attributions go with how concrete and imageable words are?"""

from __future__ import annotations

import csv
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.errors import TableError
from descscore.evaluate.statistics import correlation
from descscore_training.corpus import held_out_rows
from descscore_training.reproduction.concadia import concadia_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from descscore.explain.explanation import Explanation
    from descscore.metric import DescriptionScore
    from descscore_training.reproduction.study import ConcadiaPart, NormsPart

_PARTS = ("total", "through", "around")


def measure_norms(
    metric: DescriptionScore, part: NormsPart, concadia: ConcadiaPart, data: Path
) -> dict[str, Any]:
    """Pearson correlations of words' attributions with their ratings, by norm and part.

    The captions and descriptions of `part.images` images are explained, those with the smallest
    SHA-256 of their name. A word that is said twice counts twice; the interval resamples texts.

    Raises:
        TableError: a file of norms is not one, or Concadia's folder is not.
    """
    examples = concadia_examples(concadia, data)
    if len(examples) > part.images:
        rows = sorted(held_out_rows([example.image.name for example in examples], part.images))
        examples = [examples[row] for row in rows]
    images = [example.image for example in examples] * 2
    texts = [example.description for example in examples] + [e.caption for e in examples]
    explanations = metric.explain(images, texts)
    return {
        "texts": len(texts),
        **{
            norm: _correlations(explanations, read_norms(data / path))
            for norm, path in (
                ("concreteness", part.concreteness),
                ("imageability", part.imageability),
            )
        },
    }


def read_norms(path: Path) -> dict[str, float]:
    """Ratings by word in lower case, from a csv file with the columns word and rating.

    Raises:
        TableError: it is not such a file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["word"].lower(): float(row["rating"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TableError(
            f"{path} is no table of norms ({error}); it needs the columns word and rating"
        ) from error


def _correlations(
    explanations: Sequence[Explanation], ratings: Mapping[str, float]
) -> dict[str, Any]:
    """Of each part of the attributions; what a model without a subspace lacks says so."""
    known = [
        (text, row, ratings[span.text.lower()])
        for text, explanation in enumerate(explanations)
        for row, span in enumerate(explanation.words)
        if span.text.lower() in ratings
    ]
    rated = np.array([rating for _, _, rating in known])
    text_of = np.array([text for text, _, _ in known])
    found: dict[str, Any] = {}
    for part in _PARTS:
        values = [
            None if array is None else float(array[row])
            for text, row, _ in known
            for array in [getattr(explanations[text].of_words, part)]
        ]
        if any(value is None for value in values):
            found[part] = {
                "value": None,
                "low": None,
                "high": None,
                "undefined": "the model has no purpose subspace",
            }
        else:
            given = np.array(values, dtype=np.float64)
            found[part] = asdict(correlation(given, rated, "pearson", groups=text_of))
    return found
