"""Own classes of images and those they were assigned to -> F1, accuracy, recall, confusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int

_CONFUSIONS = 3


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Zero-shot classification, all in [0, 1]; means are over the classes that have images.

    Attributes:
        n: number of images.
        classes: number of classes that have images.
        macro_f1: mean over classes of the harmonic mean of precision and recall.
        accuracy: share of images whose own class scores highest.
        recall: mean over classes of the share of their images that are classified correctly.
    """

    n: int
    classes: int
    macro_f1: float
    accuracy: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """The result of one class.

    Attributes:
        label: its name in the dataset.
        name: its name in prompts.
        n: number of its images.
        found: number of images assigned to it, correctly or not.
        right: number of its own images among them.
        precision: right / found; 0 if none was found.
        recall: right / n; None without images.
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
    """One class that is mistaken for another.

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


def _counts(
    truth: Int[np.ndarray, " image"], found: Int[np.ndarray, " image"], classes: int
) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"], Int[np.ndarray, " c"]]:
    """For each class its images, those taken for it, and those rightly so."""
    return (
        np.bincount(truth, minlength=classes),
        np.bincount(found, minlength=classes),
        np.bincount(truth[truth == found], minlength=classes),
    )


def figures(
    truth: Int[np.ndarray, " image"], found: Int[np.ndarray, " image"], classes: int
) -> Transfer:
    """The figures of images whose own class is `truth` and that were taken for `found`."""
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


def weighted_macro_f1(
    truth: Int[np.ndarray, " image"], found: Int[np.ndarray, " image"], classes: int
) -> Callable[[Float[np.ndarray, "resample image"]], Float[np.ndarray, " resample"]]:
    """What gives macro-F1 from how often each image was drawn, over the classes drawn."""

    def of_weights(weights: Float[np.ndarray, "resample image"]) -> Float[np.ndarray, " resample"]:
        rows = len(weights)
        offsets = classes * np.arange(rows)[:, None]
        n, taken, right = (
            np.bincount((column + offsets).ravel(), some.ravel(), minlength=rows * classes)
            for column, some in (
                (truth, weights),
                (found, weights),
                (truth, weights * (truth == found)),
            )
        )
        f1 = np.where(n > 0, 2 * right / (n + taken).clip(min=1), 0).reshape(rows, classes)
        return f1.sum(1) / (n > 0).reshape(rows, classes).sum(1)

    return of_weights


def per_class(
    truth: Int[np.ndarray, " image"],
    found: Int[np.ndarray, " image"],
    labels: Sequence[str],
    names: Sequence[str],
) -> tuple[ClassResult, ...]:
    """The result of every class, by what the dataset and prompts call it."""
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


def most_confused(
    truth: Int[np.ndarray, " image"], found: Int[np.ndarray, " image"], names: Sequence[str]
) -> tuple[Confusion, ...]:
    """The three pairs of classes, or fewer, of which most images are confused."""
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
