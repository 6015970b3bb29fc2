"""Does a metric still classify images by the texts of their classes?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.data.failures import Failure
from descscore.errors import ImageError, OptionError, PairingError, TextError
from descscore.evaluate.class_names import check_template, places_of, prompt
from descscore.evaluate.statistics import Interval, bootstrap, wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int

    from descscore.data.labelled_images import LabelledImages
    from descscore.evaluate.class_names import ClassNames
    from descscore.metric import DescriptionScore

PROMPT = "An image of {label}"
"""The paper's prompt (Zur et al. 2024, section 4)."""

_IMAGES_AT_ONCE = 1024
_CONFUSIONS = 3
# Of 50,000 images 10,000 would take longer than many a machine takes to embed them.
_RESAMPLES = 2_000


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Zero-shot classification, all in [0, 1]; means are over the classes that have images.

    Attributes:
        n: number of images.
        classes: number of classes that have images.
        macro_f1: mean over classes of the harmonic mean of precision and recall.
        accuracy: share of images whose own class scores highest.
        recall: mean over classes of the share of its images that are found.
    """

    n: int
    classes: int
    macro_f1: float
    accuracy: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """How one class fares.

    Attributes:
        label: what the data set calls it.
        name: what prompts call it.
        n: its images.
        found: images that were taken for it, rightly or wrongly.
        right: those of them that are its own.
        precision: right of found; 0 if none was found.
        recall: right of n; None without images.
        f1: harmonic mean of the two; None without images.
    """

    label: str
    name: str
    n: int
    found: int
    right: int
    precision: float
    recall: float | None
    f1: float | None


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """One class that is taken for another.

    Attributes:
        of: the class, as prompts call it.
        taken_for: the other.
        n: how many of its images.
        share: of its images.
    """

    of: str
    taken_for: str
    n: int
    share: float


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """Zero-shot classification of one data set.

    Attributes:
        source: the data set.
        transfer: the figures.
        macro_f1_interval: 95%, bootstrap over images (2,000 resamples); None for a single image.
        accuracy_interval: 95%, Wilson.
        candidates: classes that an image can be taken for, those without images too.
        without_images: candidates without images, which the means leave out.
        ties: images whose highest score several classes share; the first of them is taken.
        most_confused: the pairs of classes that are confused most often.
        per_class: every candidate's result.
        templates: the prompts.
        class_names: the file that names the classes; None if the data set does.
        failed: images that were left out, and why.
        signature: what the scores depend on.
    """

    source: str
    transfer: Transfer
    macro_f1_interval: Interval | None
    accuracy_interval: Interval
    candidates: int
    without_images: Sequence[str]
    ties: int
    most_confused: Sequence[Confusion]
    per_class: Sequence[ClassResult]
    templates: Sequence[str]
    class_names: str | None
    failed: Sequence[Failure]
    signature: str


def transfer(
    scores: Float[np.ndarray, "image label"], labels: Int[np.ndarray, " same"]
) -> Transfer:
    """Classify each image by its highest-scoring class.

    Args:
        scores: every image with every class's prompt.
        labels: each image's class, a column of `scores`.

    Raises:
        PairingError: the numbers do not fit, or a score is NaN.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise PairingError(f"{labels.shape} labels do not fit scores of shape {scores.shape}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise PairingError(f"labels go to {labels.max()}, but there are {scores.shape[1]} classes")
    if np.isnan(scores).any():
        raise PairingError("a score is NaN; leave out the images that failed")
    return _transfer(labels, scores.argmax(1), scores.shape[1])


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
    """Classify images zero-shot: each is taken for the class whose prompt is nearest.

    Of several templates a class has the mean of its prompts' unit embeddings (Radford et al. 2021,
    section 3.1.4). Images are embedded a part at a time, so that memory does not grow with them.

    Args:
        metric: whose embeddings are compared; with `on_error="record"` images that cannot be read
            are left out, and named.
        images: what to classify.
        templates: prompts with `{label}` or `{c}` in place of the class.
        class_names: what the classes are called in prompts, and more classes to choose from; by
            default as the data set calls them, with spaces for underscores.
        by_position: the data set's classes are in the order of `class_names`.
        seed: of the bootstrap.
        progress: told after each part how many images are done, and of how many.

    Raises:
        OptionError: a template without a placeholder, fewer than two classes, two classes with one
            name, or a class that `class_names` lacks.
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
        values, errors = _embed_part(metric, part, part_names)
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
    figures = _transfer(truth, found, len(names))
    interval = None
    if len(truth) > 1:
        interval = bootstrap(_macro_f1, truth, found, resamples=_RESAMPLES, seed=seed)
    per_class = _per_class(truth, found, labels, names)
    return TransferReport(
        source=images.source,
        transfer=figures,
        macro_f1_interval=interval,
        accuracy_interval=wilson(int((truth == found).sum()), len(truth)),
        candidates=len(names),
        without_images=tuple(result.name for result in per_class if not result.n),
        ties=ties,
        most_confused=_most_confused(truth, found, names),
        per_class=per_class,
        templates=tuple(templates),
        class_names=None if class_names is None else class_names.source,
        failed=tuple(failed),
        signature=metric.signature,
    )


def _columns(
    images: LabelledImages, class_names: ClassNames | None, *, by_position: bool
) -> tuple[list[str], list[str], dict[str, int]]:
    """What prompts call the candidates, what the data set calls them, and where each label is."""
    if class_names is None:
        if by_position:
            raise OptionError("classes by position need a class-name file; give --class-names")
        names = [label.replace("_", " ").strip() for label in images.classes]
        labels = list(images.classes)
        places = {label: place for place, label in enumerate(labels)}
        folded: dict[str, str] = {}
        for label, name in zip(labels, names, strict=True):
            twin = folded.setdefault(name.casefold(), label)
            if twin != label:
                raise OptionError(
                    f"classes {twin!r} and {label!r} have one prompt; tell them apart with "
                    "--class-names"
                )
    else:
        names = list(class_names.names)
        places = places_of(images.classes, class_names, by_position=by_position)
        labels = list(names)
        for label, place in places.items():
            labels[place] = label
    if len(names) < 2:
        raise OptionError(
            f"{images.source} has one class, {names[0]!r}; classification needs two, or a "
            "class-name file with more to choose from (--class-names)"
        )
    return names, labels, places


def _embed_classes(
    metric: DescriptionScore, names: Sequence[str], templates: Sequence[str]
) -> Float[np.ndarray, "label width"]:
    """A unit embedding a class: the mean direction of its prompts."""
    texts = [prompt(template, name) for name in names for template in templates]
    embedded = metric.embed_texts(texts)
    for text, error in zip(texts, embedded.errors, strict=True):
        if error is not None:
            raise TextError(f"the prompt {text!r} cannot be encoded: {error}")
    mean = embedded.values.reshape(len(names), len(templates), -1).mean(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True).clip(min=1e-12)


def _embed_part(
    metric: DescriptionScore, part: Sequence[object], names: Sequence[str]
) -> tuple[Float[np.ndarray, "image width"], list[Failure]]:
    """Embeddings, NaN for images that cannot be read, and why they cannot."""
    errors: dict[int, str] = {i: str(e) for i, e in enumerate(part) if isinstance(e, ImageError)}
    if errors and metric.on_error == "raise":
        first = min(errors)
        raise ImageError(f"image {names[first]!r} {errors[first]}")
    given = [i for i in range(len(part)) if i not in errors]
    if not given:
        return np.full((len(part), 1), np.nan, dtype=np.float32), _failures(errors, names)
    embedded = metric.embed_images([part[i] for i in given])  # pyright: ignore[reportArgumentType]
    values = np.full((len(part), embedded.values.shape[1]), np.nan, dtype=np.float32)
    values[given] = embedded.values
    for i, error in zip(given, embedded.errors, strict=True):
        if error is not None:
            # An image's place in the call says nothing about which it is.
            errors[i] = error.partition(" ")[2].partition(" ")[2]
    return values, _failures(errors, names)


def _failures(errors: dict[int, str], names: Sequence[str]) -> list[Failure]:
    return [Failure(item=names[i], error=errors[i]) for i in sorted(errors)]


def _counts(
    truth: Int[np.ndarray, " image"], found: Int[np.ndarray, " image"], classes: int
) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"], Int[np.ndarray, " c"]]:
    """For each class its images, those taken for it, and those rightly so."""
    return (
        np.bincount(truth, minlength=classes),
        np.bincount(found, minlength=classes),
        np.bincount(truth[truth == found], minlength=classes),
    )


def _transfer(
    truth: Int[np.ndarray, " image"], found: Int[np.ndarray, " image"], classes: int
) -> Transfer:
    n, taken, right = _counts(truth, found, classes)
    has = n > 0
    return Transfer(
        n=len(truth),
        classes=int(has.sum()),
        # F1 = 2 right / (n + taken), the harmonic mean of right / taken and right / n.
        macro_f1=float((2 * right[has] / (n + taken)[has]).mean()),
        accuracy=float(right.sum() / len(truth)),
        recall=float((right[has] / n[has]).mean()),
    )


def _macro_f1(
    truth: Int[np.ndarray, "..."],
    found: Int[np.ndarray, "..."],
    axis: int = -1,
) -> Float[np.ndarray, "..."]:
    """Macro-F1 of each resample, over the classes that have images in it."""
    truth, found = (np.atleast_2d(np.moveaxis(array, axis, -1)) for array in (truth, found))
    rows = len(truth)
    classes = int(max(truth.max(), found.max())) + 1
    offsets = classes * np.arange(rows)[:, None]
    cells = (truth + offsets).ravel()
    right = np.bincount(cells[(truth == found).ravel()], minlength=rows * classes)
    n, both = np.bincount(cells, minlength=rows * classes), (found + offsets).ravel()
    both = n + np.bincount(both, minlength=rows * classes)
    f1 = np.where(n > 0, 2 * right / both.clip(min=1), 0).reshape(rows, classes)
    return f1.sum(1) / (n > 0).reshape(rows, classes).sum(1)


def _per_class(
    truth: Int[np.ndarray, " image"],
    found: Int[np.ndarray, " image"],
    labels: Sequence[str],
    names: Sequence[str],
) -> tuple[ClassResult, ...]:
    counts = zip(*(c.tolist() for c in _counts(truth, found, len(names))), strict=True)
    return tuple(
        ClassResult(
            label=label,
            name=name,
            n=n,
            found=taken,
            right=right,
            precision=right / taken if taken else 0.0,
            recall=right / n if n else None,
            f1=2 * right / (n + taken) if n else None,
        )
        for (n, taken, right), label, name in zip(counts, labels, names, strict=True)
    )


def _most_confused(
    truth: Int[np.ndarray, " image"], found: Int[np.ndarray, " image"], names: Sequence[str]
) -> tuple[Confusion, ...]:
    wrong = truth != found
    pairs, counts = np.unique(
        np.stack([truth[wrong], found[wrong]], axis=1), axis=0, return_counts=True
    )
    most = np.argsort(-counts, kind="stable")[:_CONFUSIONS]
    of_class = np.bincount(truth, minlength=len(names))
    confusions = []
    for row in most.tolist():
        of, taken_for = (int(column) for column in pairs[row])
        n = int(counts[row])
        share = n / int(of_class[of])
        confusions.append(Confusion(of=names[of], taken_for=names[taken_for], n=n, share=share))
    return tuple(confusions)
