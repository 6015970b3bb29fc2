"""Attributions of words: their correlation with norms, and examples of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from descscore.datasets.described_images import read_described_images
from descscore.datasets.splits import rows_by_hash
from descscore.datasets.word_ratings import read_word_ratings
from descscore.errors import TableError, TextError
from descscore.evaluate.norms import correlate_norms, sample_texts
from descscore.explain.explanation import PARTS, ExplainOptions
from descscore.inputs.pairs import pair_up
from descscore.purpose.probe import Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

    from descscore.datasets.described_images import DescribedImage
    from descscore.evaluate.norms import Norms
    from descscore.explain.explanation import Explanation
    from descscore.inputs.items import ImageInput
    from descscore.metric import DescriptionScore
    from descscore.purpose.subspace import Site
    from descscore_training.study.study import ConcadiaPart, NormsPart

_SHORT = range(3, 13)
"""Words of a text that is shown as an example."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """A subspace that attributions of a model without one are read through; our choice.

    Attributes:
        name: what the table calls it.
        site: where it is.
        basis: orthonormal.
        identity: equal for equal bases.
    """

    name: str
    site: Site
    basis: Float[Tensor, "width dimension"]
    identity: str


def measure_norms(
    metric: DescriptionScore,
    part: NormsPart,
    concadia: ConcadiaPart,
    data: Path,
    lens: Lens | None = None,
) -> dict[str, Any]:
    """Pearson correlations of words' attributions with their ratings, by norm and part.

    Args:
        metric: that records errors: texts beyond the window cannot be explained, and are left out.
        part: the norms, and how many texts are drawn.
        concadia: where texts are drawn from.
        data: the data folder.
        lens: a subspace to read the attributions through, in place of the checkpoint's.

    Raises:
        TableError: a file of norms is not one, or Concadia's folder is not.
        TextError: no text can be explained.
    """
    examples = _examples(concadia, data)
    ratings = {
        "concreteness": read_word_ratings(data / part.concreteness),
        "imageability": read_word_ratings(data / part.imageability),
    }
    count = min(part.sample, len(examples))
    captions, descriptions = sample_texts(examples, count, seed=0, ratings=[*ratings.values()])
    images: list[ImageInput] = [example.image for example in (*captions, *descriptions)]
    texts = [example.caption for example in captions]
    texts += [example.description for example in descriptions]
    explanations = _explain(metric, images, texts, lens)
    left_out = [one.error for one in explanations if one.error is not None]
    if len(left_out) == len(texts):
        raise TextError(f"none of {len(texts)} texts can be explained; the first: {left_out[0]}")
    found = {
        name: correlate_norms(explanations, of_words, every_occurrence=part.count == "tokens")
        for name, of_words in ratings.items()
    }
    return {
        "texts": len(texts),
        "left out": len(left_out),
        "unique tokens": found["concreteness"].words,
        **{name: _plain(values) for name, values in found.items()},
    }


def explain_example(
    metric: DescriptionScore, concadia: ConcadiaPart, data: Path
) -> list[dict[str, Any]]:
    """The attributions of an image's description and of its caption, word by word.

    The image is the one with the smallest SHA-256 of its name among those with short texts.

    Raises:
        TableError: Concadia's folder is not one, or no image has two short texts.
    """
    short = [
        example
        for example in _examples(concadia, data)
        if all(len(text.split()) in _SHORT for text in (example.description, example.caption))
    ]
    if not short:
        raise TableError(f"no image of {data / concadia.path} has two texts of 3 to 12 words")
    [row] = rows_by_hash([example.id for example in short], 1)[:1]
    example = short[row]
    kinds = {"description": example.description, "caption": example.caption}
    explanations = metric.explain([example.image, example.image], list(kinds.values()))
    return [
        {
            "kind": kind,
            "words": [word.text for word in one.words],
            **{
                part: None if values is None else [float(value) for value in values]
                for part, values in ((part, getattr(one.of_words, part)) for part in PARTS)
            },
        }
        for kind, one in zip(kinds, explanations, strict=True)
        if one.error is None
    ]


def _examples(concadia: ConcadiaPart, data: Path) -> Sequence[DescribedImage]:
    """The images of the split that have both texts."""
    return read_described_images(data / concadia.path, split=concadia.split or None).examples


def _explain(
    metric: DescriptionScore, images: list[ImageInput], texts: list[str], lens: Lens | None
) -> Sequence[Explanation]:
    if lens is None:
        return metric.explain(images, texts)
    dimension = lens.basis.shape[1]
    # A probe that reads nothing: only the basis is used.
    purpose = Purpose(
        site=lens.site,
        basis=lens.basis,
        weight=torch.zeros(dimension),
        bias=torch.zeros(()),
        caption_mean=torch.zeros(dimension),
        description_mean=torch.zeros(dimension),
    ).to(metric.device)
    explainer = replace(metric._explainer, purpose=purpose)
    encoded = metric._pipeline.encode(pair_up(images, texts), long_text="truncate")
    return explainer(
        encoded, ExplainOptions(), scores=metric._scores(encoded).scores, purposes=None
    )


def _plain(found: Norms) -> dict[str, Any]:
    """As plain values; what a model without a subspace lacks says so."""
    values = asdict(found)
    for part in PARTS:
        if values[part] is None:
            why = "the model has no purpose subspace"
            values[part] = {"value": None, "low": None, "high": None, "undefined": why}
    return values
