"""Own classes of images and those they were assigned to -> F1, accuracy, recall."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int


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


def class_results(
    truth: Int[np.ndarray, " image"],
    found: Int[np.ndarray, " image"],
    labels: Sequence[str],
    names: Sequence[str],
) -> tuple[ClassResult, ...]:
    """The result of every class.

    Args:
        truth: each image's own class, as a position in `labels`.
        found: the class that it was assigned to.
        labels: what the dataset calls the classes.
        names: what prompts call them.
    """
    counts = [
        np.bincount(some, minlength=len(names)).tolist()
        for some in (truth, found, truth[truth == found])
    ]
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
        for label, name, n, taken, right in zip(labels, names, *counts, strict=True)
    )


def figures(results: Sequence[ClassResult]) -> Transfer:
    """The figures of all classes together."""
    n = sum(result.n for result in results)
    f1, recall = zip(*((one.f1, one.recall) for one in results if one.n), strict=True)
    return Transfer(
        n=n,
        classes=len(f1),
        macro_f1=fmean(f1),
        accuracy=sum(result.right for result in results) / n,
        recall=fmean(recall),
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
