"""What benchmarks hold: rated captions, pairs of captions, or two images with two captions.

Each kind says which pairs of images and texts are scored, and measures the scores of those pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import ImageFiles, Source, refuse_missing
from descscore.evaluate.correlations import correlation
from descscore.evaluate.resamples import estimate
from descscore.evaluate.statistics import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float

    from descscore.results import Estimate

Texts = tuple[str, ...]


class Scored(NamedTuple):
    """The pairs that are scored.

    Attributes:
        images: of each pair.
        texts: of each pair.
        references: of each pair; None without references.
    """

    images: Sequence[Path]
    texts: Sequence[str]
    references: Sequence[Texts] | None = None


class Measured(NamedTuple):
    """One result: the measure's name, the category of the entries, and the value."""

    name: str
    part: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True, eq=False)
class Entries(ABC):
    """The entries of a benchmark.

    Attributes:
        benchmark: its name.
        images: the image of each entry; for some kinds several images, one after the other.
        notes: what was left out, counted, and which choices were made.
    """

    per_entry: ClassVar[int] = 1
    """Images, and captions, per entry."""

    benchmark: str
    images: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def pairs(self) -> Scored:
        """What is scored."""

    @abstractmethod
    def measure(
        self, scores: Float[np.ndarray, " pair"], *, resamples: int = 1000, seed: int = 0
    ) -> Iterator[Measured]:
        """Measure the scores of `pairs`.

        Args:
            scores: in the order of the pairs.
            resamples: of the bootstrap, which draws whole images.
            seed: random seed.
        """

    def rows(self, rows: Sequence[int], note: str) -> Self:
        """Some rows of what is listed per image, with one more note."""
        changed: dict[str, Any] = {"notes": (*self.notes, note)}
        for field in fields(self):
            values = getattr(self, field.name)
            if field.name in {"benchmark", "notes"} or values is None:
                continue
            some = [values[row] for row in rows]
            changed[field.name] = np.array(some) if isinstance(values, np.ndarray) else tuple(some)
        return replace(self, **changed)

    def image_numbers(self) -> np.ndarray:
        """The image of each entry as a number from 0."""
        return np.unique([str(path) for path in self.images], return_inverse=True)[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged(Entries):
    """Captions and their ratings, one entry per rating.

    Attributes:
        captions: the caption that was rated.
        references: other captions of the image, the rated one not among them; None where they were
            not asked for.
        ratings: higher is better.
    """

    captions: Texts
    references: tuple[Texts, ...] | None
    ratings: Float[np.ndarray, " rating"]

    @classmethod
    def of(
        cls,
        benchmark: str,
        source: Source,
        images: Path,
        rated: Sequence[tuple[str, str, float]],
        references: Mapping[str, Sequence[str]] | None,
        notes: Sequence[str],
    ) -> Judged:
        """Find the images of rated captions.

        Args:
            benchmark: its name.
            source: named if something is missing.
            images: the folder of images.
            rated: image name, caption and rating of each entry.
            references: by image name; None where they were not asked for.
            notes: what was left out.

        Raises:
            OptionError: there is no such folder.
            TableError: there is no rating, or an image or all of its references are missing.
        """
        if not rated:
            refuse_missing(images, ["at least one rating"], source)
        names, captions, ratings = zip(*rated, strict=True)
        if references is not None and (bare := [name for name in names if not references[name]]):
            refuse_missing(images, [f"a reference for {min(bare)!r}, which has none left"], source)
        return cls(
            benchmark=benchmark,
            images=tuple(ImageFiles(images, source).paths(names)),
            captions=captions,
            references=None
            if references is None
            else tuple(tuple(references[name]) for name in names),
            ratings=np.array(ratings),
            notes=tuple(notes),
        )

    def pairs(self) -> Scored:
        """Each image with its rated caption."""
        return Scored(self.images, self.captions, self.references)

    def measure(
        self, scores: Float[np.ndarray, " pair"], *, resamples: int = 1000, seed: int = 0
    ) -> Iterator[Measured]:
        """Kendall's τ_c and τ_b over all ratings, each a data point of its own.

        As in Hessel et al. (2021).
        """
        groups, values = self.image_numbers(), np.asarray(scores, dtype=np.float64)
        for name, kind in (("tau_c", "kendall_c"), ("tau_b", "kendall_b")):
            found = correlation(
                values, self.ratings, kind, groups=groups, resamples=resamples, seed=seed
            )
            yield Measured(name, "all", found)


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired(Entries):
    """Pairs of captions of one image, one of which is right.

    Attributes:
        firsts: one caption.
        seconds: the other.
        second_wins: 1 where the second is right, 0 where the first is, 0.5 where neither.
        categories: of the pairs, each of which is reported; None for one category.
        references: of each pair, for each draw of them; None where they were not asked for.
    """

    firsts: Texts
    seconds: Texts
    second_wins: Float[np.ndarray, " pair"]
    categories: Texts | None = None
    references: tuple[tuple[Texts, ...], ...] | None = None

    def pairs(self) -> Scored:
        """Both captions of each pair, and that for each draw of references."""
        # All draws in one call: they differ in their references only.
        draws = [*zip(*self.references, strict=True)] if self.references else []
        times = max(1, len(draws))
        return Scored(
            images=(*self.images, *self.images) * times,
            texts=(*self.firsts, *self.seconds) * times,
            references=[texts for draw in draws for texts in (*draw, *draw)] or None,
        )

    def measure(
        self, scores: Float[np.ndarray, " pair"], *, resamples: int = 1000, seed: int = 0
    ) -> Iterator[Measured]:
        """The share of pairs whose right caption scores higher; a tie counts half.

        With categories, the share of each and their unweighted mean.
        Without, the mean over images of the share of an image's pairs.
        """
        firsts, seconds = scores.astype(np.float64).reshape(-1, 2, len(self.images)).swapaxes(0, 1)
        # Half of a tie, in either of the two: the expectation of breaking it at random.
        scored = (1 + np.sign(seconds - firsts)) / 2
        right = scored * self.second_wins + (1 - scored) * (1 - self.second_wins)
        of_pair, image = right.mean(axis=0), self.image_numbers()
        if self.categories is None:
            weights = {"all": (1 / np.bincount(image))[image]}
        else:
            own = np.array(self.categories)
            weights = {name: (own == name).astype(float) for name in sorted({*self.categories})}
        parts = {name: [of_all] for name, of_all in weights.items()}
        if self.categories is not None:
            parts["mean"] = list(weights.values())
        for part, listed in parts.items():
            share = _share(of_pair, image, listed, resamples=resamples, seed=seed)
            yield Measured("accuracy", part, share)


def _share(
    right: Float[np.ndarray, " pair"],
    image: np.ndarray,
    weights: Sequence[Float[np.ndarray, " pair"]],
    *,
    resamples: int,
    seed: int,
) -> Estimate:
    """The mean over categories of the weighted share that is right, with a bootstrap over images.

    Args:
        right: how much of each pair is right.
        image: of each pair, as a number.
        weights: of the pairs, for each category.
        resamples: of the bootstrap.
        seed: random seed.
    """
    hits = np.stack([np.bincount(image, of_all * right) for of_all in weights], axis=1)
    sizes = np.stack([np.bincount(image, of_all) for of_all in weights], axis=1)
    present = (sizes > 0).any(1)
    hits, sizes = hits[present], sizes[present]

    def shares(drawn: Float[np.ndarray, "resample image"]) -> Float[np.ndarray, " resample"]:
        # A resample without any image of a category leaves that category out of its mean.
        of_category = drawn @ sizes
        nothing = np.full_like(of_category, np.nan)
        share = np.divide(drawn @ hits, of_category, out=nothing, where=of_category > 0)
        return np.nanmean(share, axis=1)

    n = int(sum((of_all > 0).sum() for of_all in weights))
    return estimate(shares, len(hits), n=n, resamples=resamples, seed=seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossed(Entries):
    """Two images with a caption each per example, one after the other.

    Attributes:
        captions: both captions, in the images' order.
    """

    per_entry: ClassVar[int] = 2

    captions: Texts

    def pairs(self) -> Scored:
        """Each image with both captions of its example."""
        starts = range(0, len(self.images), 2)
        return Scored(
            images=[self.images[k + i] for k in starts for i in (0, 0, 1, 1)],
            texts=[self.captions[k + j] for k in starts for j in (0, 1, 0, 1)],
        )

    def measure(
        self, scores: Float[np.ndarray, " pair"], *, resamples: int = 1000, seed: int = 0
    ) -> Iterator[Measured]:
        """How often the own caption, the own image, or both score higher; Wilson's intervals.

        "text": for both images the own caption scores higher than the other; "image": for both
        captions the own image does; "group": both (Thrush et al. 2022, section 4).
        """
        scores = scores.reshape(-1, 2, 2)  # example, image, caption
        own = np.diagonal(scores, axis1=1, axis2=2)
        text = np.all(own > scores[:, [0, 1], [1, 0]], axis=1)
        image = np.all(own > scores[:, [1, 0], [0, 1]], axis=1)
        for part, right in {"text": text, "image": image, "group": text & image}.items():
            yield Measured("accuracy", part, wilson(int(right.sum()), len(right)))
