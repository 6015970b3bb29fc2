"""Do attributions go with how concrete and imageable words are?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from descscore.datasets.word_ratings import read_word_ratings
from descscore.errors import TextError
from descscore.evaluate.norms import correlate_norms, sample_texts
from descscore.explain.explanation import PARTS
from descscore_training.study.concadia import concadia_examples

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.evaluate.norms import Norms
    from descscore.inputs.pairs import ImageInput
    from descscore.metric import DescriptionScore
    from descscore_training.study.study import ConcadiaPart, NormsPart


def measure_norms(
    metric: DescriptionScore, part: NormsPart, concadia: ConcadiaPart, data: Path
) -> dict[str, Any]:
    """Pearson correlations of words' attributions with their ratings, by norm and part.

    Args:
        metric: that records errors: texts beyond the window cannot be explained, and are left out.
        part: the norms, and how many texts are drawn.
        concadia: where texts are drawn from.
        data: the data folder.

    Raises:
        TableError: a file of norms is not one, or Concadia's folder is not.
        TextError: no text can be explained.
    """
    examples = concadia_examples(concadia, data)
    captions, descriptions = sample_texts(examples, min(part.sample, len(examples)), seed=0)
    images: list[ImageInput] = [example.image for example in (*captions, *descriptions)]
    texts = [example.caption for example in captions]
    texts += [example.description for example in descriptions]
    explanations = metric.explain(images, texts)
    left_out = [one.error for one in explanations if one.error is not None]
    if len(left_out) == len(texts):
        raise TextError(f"none of {len(texts)} texts can be explained; the first: {left_out[0]}")
    found = {
        name: _plain(correlate_norms(explanations, read_word_ratings(data / path)))
        for name, path in (("concreteness", part.concreteness), ("imageability", part.imageability))
    }
    return {"texts": len(texts), "left out": len(left_out), **found}


def _plain(found: Norms) -> dict[str, Any]:
    """As plain values; what a model without a subspace lacks says so."""
    values = asdict(found)
    for part in PARTS:
        if values[part] is None:
            why = "the model has no purpose subspace"
            values[part] = {"value": None, "low": None, "high": None, "undefined": why}
    return values
