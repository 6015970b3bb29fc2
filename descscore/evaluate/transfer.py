"""Whether a metric still classifies images by class names."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.datasets.failures import Failure
from descscore.errors import ImageError, OptionError, PairingError, TextError
from descscore.evaluate.class_names import ClassNames, check_template, places_of, prompt
from descscore.evaluate.classification import (
    ClassResult,
    Transfer,
    class_results,
    figures,
    weighted_macro_f1,
)
from descscore.evaluate.statistics import estimate, wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int

    from descscore.datasets.labelled_images import LabelledImages
    from descscore.metric import DescriptionScore
    from descscore.results import Estimate

PROMPT = "An image of {label}"
"""The paper's prompt (Zur et al. 2024, section 4)."""

_IMAGES_AT_ONCE = 1024
# Of 50,000 images 10,000 would take longer than many a machine takes to embed them.
_RESAMPLES = 2_000


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """Zero-shot classification of one dataset.

    Attributes:
        source: the dataset.
        transfer: the results.
        macro_f1: with a bootstrap over images (2,000 resamples).
        accuracy: with Wilson's interval.
        candidates: number of classes to choose from, including those without images.
        without_images: candidates without images, which the means exclude.
        ties: number of images whose highest score several classes share; the first class wins.
        per_class: every candidate's result.
        templates: the prompts.
        class_names: the file with the class names; None if they are the dataset's.
        failed: skipped images, with the reason.
        beside: files outside class folders, which were skipped.
        signature: everything that the scores depend on.
    """

    source: str
    transfer: Transfer
    macro_f1: Estimate
    accuracy: Estimate
    candidates: int
    without_images: Sequence[str]
    ties: int
    per_class: Sequence[ClassResult]
    templates: Sequence[str]
    class_names: str | None
    failed: Sequence[Failure]
    beside: Sequence[str]
    signature: str


def classify(
    scores: Float[np.ndarray, "image label"], labels: Int[np.ndarray, " same"]
) -> Transfer:
    """Classify each image by its highest-scoring class.

    Args:
        scores: scores of every image with every class's prompt.
        labels: each image's class, as a column of `scores`.

    Raises:
        PairingError: the numbers do not match, or a score is NaN.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise PairingError(f"{labels.shape} labels do not fit scores of shape {scores.shape}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise PairingError(f"labels go to {labels.max()}, but there are {scores.shape[1]} classes")
    if np.isnan(scores).any():
        raise PairingError("a score is NaN; omit the images that failed")
    names = [str(label) for label in range(scores.shape[1])]
    return figures(class_results(labels, scores.argmax(1), names, names))


def evaluate_transfer(
    metric: DescriptionScore,
    images: LabelledImages,
    *,
    templates: Sequence[str] = (PROMPT,),
    class_names: ClassNames | None = None,
    by_position: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TransferReport:
    """Classify images zero-shot: each is assigned to the class whose prompt is nearest.

    With several templates, a class is the mean of its prompts' unit embeddings (Radford et al.
    2021, section 3.1.4). Images are embedded in chunks, so memory use is constant.

    Args:
        metric: provides the embeddings; with `on_error="record"`, unreadable images are skipped
            and named.
        images: the images to classify.
        templates: prompts with `{label}` or `{c}` in place of the class.
        class_names: the classes' names in prompts, and further classes to choose from; by
            default the dataset's own names, with spaces for underscores.
        by_position: whether the dataset's classes are in the order of `class_names`.
        seed: random seed.
        progress: called after each chunk with the number of images done and in total.

    Raises:
        OptionError: a template without a placeholder, fewer than two classes, two classes with the
            same name, or a class that `class_names` lacks.
        ImageError: no image can be read; with `on_error="raise"`, one cannot.
        TextError: a prompt cannot be encoded.
    """
    if not templates:
        raise OptionError("there is no template; give one, such as 'An image of {label}'")
    for template in templates:
        check_template(template)
    names, labels, column_of = _columns(images, class_names, by_position=by_position)
    of_classes = _embed_classes(metric, names, templates)
    columns = np.array([column_of[label] for label in images.labels])
    found = np.full(len(columns), -1)
    failed = list(images.failed)
    ties = done = 0
    stream = iter(images.read())
    while part := list(itertools.islice(stream, _IMAGES_AT_ONCE)):
        part_names = images.names[done : done + len(part)]
        values, errors = _embed_part(metric, part, part_names, width=of_classes.shape[1])
        failed.extend(errors)
        readable = np.isfinite(values).all(1)
        scores = values[readable] @ of_classes.T
        found[done + np.flatnonzero(readable)] = scores.argmax(1)
        ties += int(((scores == scores.max(1, keepdims=True)).sum(1) > 1).sum())
        done += len(part)
        if progress is not None:
            progress(done, len(columns))
    seen = found >= 0
    if not seen.any():
        raise ImageError(
            f"no image of {images.source} can be read; the first: {failed[0].item} "
            f"{failed[0].error}"
        )
    truth, found = columns[seen], found[seen]
    results = class_results(truth, found, labels, names)
    transfer = figures(results)
    return TransferReport(
        source=images.source,
        transfer=transfer,
        macro_f1=estimate(
            weighted_macro_f1(truth, found, len(names)),
            len(truth),
            n=len(truth),
            value=transfer.macro_f1,
            resamples=_RESAMPLES,
            seed=seed,
        ),
        accuracy=wilson(int((truth == found).sum()), len(truth)),
        candidates=len(names),
        without_images=tuple(result.name for result in results if not result.n),
        ties=ties,
        per_class=results,
        templates=tuple(templates),
        class_names=None if class_names is None else class_names.source,
        failed=tuple(failed),
        beside=tuple(images.beside),
        signature=metric.signature,
    )


def _columns(
    images: LabelledImages, class_names: ClassNames | None, *, by_position: bool
) -> tuple[list[str], list[str], dict[str, int]]:
    """Names of the candidates in prompts, their labels, and the column of each label."""
    if class_names is None:
        if by_position:
            raise OptionError("classes by position need a class-name file; give `class_names`")
        named = [(f"class {label!r}", [label], label) for label in images.classes]
        class_names = ClassNames.of(images.source, named)
    names = list(class_names.names)
    places = places_of(images.classes, class_names, by_position=by_position)
    labels = list(names)
    for label, place in places.items():
        labels[place] = label
    if len(names) < 2:
        raise OptionError(
            f"{images.source} has one class, {names[0]!r}; classification needs two, or a "
            "class-name file with more to choose from (`class_names`)"
        )
    return names, labels, places


def _embed_classes(
    metric: DescriptionScore, names: Sequence[str], templates: Sequence[str]
) -> Float[np.ndarray, "label width"]:
    """One unit embedding per class: the mean direction of its prompts."""
    texts = [prompt(template, name) for name in names for template in templates]
    embedded = metric.embed_texts(texts)
    for text, error in zip(texts, embedded.errors, strict=True):
        if error is not None:
            raise TextError(f"the prompt {text!r} cannot be encoded: {error}")
    mean = embedded.values.reshape(len(names), len(templates), -1).mean(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True).clip(min=1e-12)


def _embed_part(
    metric: DescriptionScore, part: Sequence[object], names: Sequence[str], *, width: int
) -> tuple[Float[np.ndarray, "image width"], list[Failure]]:
    """Embeddings, NaN for images that cannot be read, and why they cannot."""
    errors: dict[int, str] = {i: str(e) for i, e in enumerate(part) if isinstance(e, ImageError)}
    if errors and metric.on_error == "raise":
        first = min(errors)
        raise ImageError(f"image {names[first]!r} {errors[first]}")
    values = np.full((len(part), width), np.nan, dtype=np.float32)
    given = [i for i in range(len(part)) if i not in errors]
    if given:
        embedded = metric.embed_images([part[i] for i in given])  # pyright: ignore[reportArgumentType]
        values[given] = embedded.values
        for i, error in zip(given, embedded.errors, strict=True):
            if error is not None:
                errors[i] = error.reason
    return values, [Failure(item=names[i], error=errors[i]) for i in sorted(errors)]
