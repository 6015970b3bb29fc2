"""What a benchmark holds, and what the scores of its pairs of image and text are worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from descscore.evaluate.correlations import correlation
from descscore.evaluate.statistics import estimate, estimate_mean, wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Float

    from descscore.results import Estimate


class Measured(NamedTuple):
    """One result: the measure's name, the category of the entries, and the value."""

    name: str
    part: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True, eq=False)
class Entries:
    """The entries of a benchmark, each of one or several pairs of image and text.

    Attributes:
        benchmark: its name.
        measure: what the scores of the pairs are worth, one of the functions below.
        per_entry: pairs per entry.
        images: the image of each pair, entry after entry.
        texts: the text of each pair.
        references: other captions of each pair's image; None where they were not asked for.
        truth: what is known of each entry, such as its rating; None if its layout says all.
        notes: what was left out, counted, and which choices were made.
    """

    benchmark: str
    measure: Callable[[Entries, Float[np.ndarray, " pair"], int, int], Iterator[Measured]]
    per_entry: int = 1
    images: Sequence[Path]
    texts: Sequence[str]
    references: Sequence[Sequence[str]] | None = None
    truth: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def some(self, kept: Callable[[Path], bool], note: str) -> Entries:
        """The entries whose first image is kept, with one more note."""
        step = self.per_entry
        entries = [row for row, image in enumerate(self.images[::step]) if kept(image)]
        pairs = [entry * step + k for entry in entries for k in range(step)]
        return replace(
            self,
            images=[self.images[pair] for pair in pairs],
            texts=[self.texts[pair] for pair in pairs],
            references=self.references and [self.references[pair] for pair in pairs],
            truth=None if self.truth is None else self.truth[entries],
            notes=(*self.notes, note),
        )

    def image_numbers(self) -> np.ndarray:
        """The first image of each entry as a number from 0."""
        names = [str(path) for path in self.images[:: self.per_entry]]
        return np.unique(names, return_inverse=True)[1]


def draw(texts: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """As many different texts of an image as references, or all if there are fewer."""
    return rng.choice(texts, min(count, len(texts)), replace=False).tolist()


def rank_correlations(
    entries: Entries, scores: Float[np.ndarray, " pair"], resamples: int, seed: int
) -> Iterator[Measured]:
    """Kendall's τ_c and τ_b over all ratings, each a data point of its own (Hessel et al. 2021).

    The bootstrap draws whole images.
    """
    for name, kind in (("tau_c", "kendall_c"), ("tau_b", "kendall_b")):
        found = correlation(
            scores,
            np.asarray(entries.truth, dtype=np.float64),
            kind,
            groups=entries.image_numbers(),
            resamples=resamples,
            seed=seed,
        )
        yield Measured(name, "all", found)


def preferences(
    entries: Entries, scores: Float[np.ndarray, " pair"], resamples: int, seed: int
) -> Iterator[Measured]:
    """The share of entries whose first text scores higher than the second; a tie counts half.

    For each category, and the unweighted mean of the categories. The bootstrap draws whole images.
    """
    names, category = np.unique(np.asarray(entries.truth), return_inverse=True)
    image = entries.image_numbers()
    sizes = np.zeros((image.max() + 1, len(names)))
    hits = np.zeros_like(sizes)
    np.add.at(sizes, (image, category), 1)
    np.add.at(hits, (image, category), _wins(scores))
    columns = {str(name): [column] for column, name in enumerate(names)}
    for part, chosen in {**columns, "mean": list(range(len(names)))}.items():
        present = sizes[:, chosen].any(axis=1)
        yield Measured(
            "accuracy",
            part,
            _mean_share(hits[present][:, chosen], sizes[present][:, chosen], resamples, seed),
        )


def preference_by_image(
    entries: Entries, scores: Float[np.ndarray, " pair"], resamples: int, seed: int
) -> Iterator[Measured]:
    """The mean over images of the share of an image's entries whose first text scores higher."""
    wins, image = _wins(scores), entries.image_numbers()
    of_image = np.bincount(image, wins) / np.bincount(image)
    found = estimate_mean(of_image, resamples=resamples, seed=seed)
    yield Measured("accuracy", "all", replace(found, n=len(wins)))


def _wins(scores: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " entry"]:
    """1 where the first of two scores is higher, 0 where the second is; a tie counts half."""
    first, second = scores.reshape(-1, 2).T
    return (1 + np.sign(first - second)) / 2


def _mean_share(
    hits: Float[np.ndarray, "image category"],
    sizes: Float[np.ndarray, "image category"],
    resamples: int,
    seed: int,
) -> Estimate:
    """The mean over categories of hits / sizes, summed over images."""

    def shares(drawn: Float[np.ndarray, "resample image"]) -> Float[np.ndarray, " resample"]:
        # A resample without any image of a category leaves that category out of its mean.
        of_category = drawn @ sizes
        nothing = np.full_like(of_category, np.nan)
        share = np.divide(drawn @ hits, of_category, out=nothing, where=of_category > 0)
        return np.nanmean(share, axis=1)

    return estimate(shares, len(hits), n=int(sizes.sum()), resamples=resamples, seed=seed)


def matches(
    entries: Entries, scores: Float[np.ndarray, " pair"], resamples: int, seed: int
) -> Iterator[Measured]:
    """How often the own caption, the own image, or both score higher; Wilson's intervals.

    Each entry has two images, each with both captions. "text": for both images the own caption
    scores higher than the other; "image": for both captions the own image does; "group": both
    (Thrush et al. 2022, section 4).
    """
    del entries, resamples, seed
    scores = scores.reshape(-1, 2, 2)  # example, image, caption
    own = np.diagonal(scores, axis1=1, axis2=2)
    text = np.all(own > scores[:, [0, 1], [1, 0]], axis=1)
    image = np.all(own > scores[:, [1, 0], [0, 1]], axis=1)
    for part, right in {"text": text, "image": image, "group": text & image}.items():
        yield Measured("accuracy", part, wilson(int(right.sum()), len(right)))
