"""Do concrete and imageable words raise a score? Attributions of words against their ratings.

Zur et al. 2024, section 5 and table 3, with ratings of concreteness (Brysbaert et al. 2014) and
imageability (Scott et al. 2019).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import OptionError, PairingError
from descscore.evaluate.correlations import correlation, undefined_because, weighted_pearson
from descscore.evaluate.statistics import estimate
from descscore.explain.explanation import PARTS
from descscore.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

    from descscore.datasets.described_images import DescribedImage
    from descscore.datasets.word_ratings import WordRatings
    from descscore.explain.explanation import Explanation

_WORD = re.compile(r"[\w'\u2019]+")


@dataclass(frozen=True, kw_only=True)
class Norms:
    """How attributions correlate with one set of ratings.

    Attributes:
        texts: number of texts with at least one rated word.
        occurrences: number of occurrences of rated words.
        words: number of distinct rated words.
        unrated: number of occurrences of other words that contain a letter.
        every_occurrence: whether each occurrence counts, rather than each word's mean.
        total: Pearson correlation, with a bootstrap over texts.
        through: the part through the purpose subspace; None without one.
        around: the part around it.
    """

    texts: int
    occurrences: int
    words: int
    unrated: int
    every_occurrence: bool
    total: Estimate
    through: Estimate | None
    around: Estimate | None


def correlate_norms(
    explanations: Sequence[Explanation],
    ratings: WordRatings,
    *,
    every_occurrence: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
) -> Norms:
    """Correlate the attributions of words with their ratings.

    A word that occurs several times counts once, with the mean of its attributions. The bootstrap
    draws whole texts and recomputes the means.

    Args:
        explanations: explanations of the texts; failed ones are skipped.
        ratings: ratings of words.
        every_occurrence: count each occurrence instead.
        resamples: number of bootstrap resamples.
        seed: random seed.

    Raises:
        PairingError: no explanation of a text has a rated word.
    """
    used = [one for one in explanations if one.error is None]
    # Text, rated form, rating, and the word's place in the text.
    rows: list[tuple[int, str, float, int]] = []
    unrated = 0
    for text, one in enumerate(used):
        for place, word in enumerate(one.words):
            form = ratings.form(word.text)
            if form is not None:
                rows.append((text, form, ratings.of_word[form], place))
            elif any(map(str.isalpha, word.text)):
                unrated += 1
    if not rows:
        raise PairingError(
            f"none of the words of {len(used)} explained texts is rated; are the ratings of the "
            "language of the texts?"
        )
    texts, forms, rated, places = zip(*rows, strict=True)
    distinct, word_of = np.unique(forms, return_inverse=True)
    text_of = np.unique(texts, return_inverse=True)[1]
    rating_of = np.array(rated)
    split = all(one.of_words.through is not None for one in used)
    found: dict[str, Estimate | None] = {}
    for part in PARTS:
        if part != "total" and not split:
            found[part] = None
            continue
        values = np.array(
            [
                getattr(used[text].of_words, part)[place]
                for text, place in zip(texts, places, strict=True)
            ],
            dtype=np.float64,
        )
        found[part] = (
            correlation(
                values,
                rating_of,
                groups=text_of,
                resamples=resamples,
                seed=seed,
                names=("attributions", "ratings"),
            )
            if every_occurrence
            else _of_means(values, rating_of, word_of, text_of, resamples=resamples, seed=seed)
        )
    return Norms(
        texts=int(text_of.max()) + 1,
        occurrences=len(rows),
        words=len(distinct),
        unrated=unrated,
        every_occurrence=every_occurrence,
        **found,  # pyright: ignore[reportArgumentType]
    )


def sample_texts(
    examples: Sequence[DescribedImage],
    count: int,
    *,
    seed: int,
    ratings: Sequence[WordRatings] = (),
) -> tuple[list[DescribedImage], list[DescribedImage]]:
    """Draw examples for their captions and, separately, as many for their descriptions.

    Args:
        examples: the examples to draw from.
        count: number of examples per kind of text.
        seed: random seed.
        ratings: draw only texts with at least one word that all of them rate, as in the paper.

    Raises:
        OptionError: there are fewer than `count` such texts.
    """

    def is_rated(text: str) -> bool:
        return any(all(rated.form(word) for rated in ratings) for word in _WORD.findall(text))

    draws = np.random.default_rng(seed)
    drawn = []
    for kind in ("caption", "description"):
        rows = [row for row, one in enumerate(examples) if is_rated(getattr(one, kind))]
        if not 1 <= count <= len(rows):
            raise OptionError(
                f"{count} {kind}s cannot be drawn from {len(rows)} with a rated word; give a "
                f"number from 1 to {len(rows)}"
            )
        drawn.append([examples[row] for row in np.sort(draws.choice(rows, count, replace=False))])
    return drawn[0], drawn[1]


def shared_words(explanations: Sequence[Explanation], ratings: Sequence[WordRatings]) -> int:
    """Distinct words of the texts that all ratings have."""
    words = {word.text for one in explanations if one.error is None for word in one.words}
    forms = {tuple(rated.form(word) for rated in ratings) for word in words}
    return len({form[0] for form in forms if form and all(form)})


def _of_means(
    values: Float[np.ndarray, " occurrence"],
    ratings: Float[np.ndarray, " occurrence"],
    word_of: Int[np.ndarray, " occurrence"],
    text_of: Int[np.ndarray, " occurrence"],
    *,
    resamples: int,
    seed: int,
) -> Estimate:
    """Pearson over words of their mean values, with a percentile bootstrap over texts."""
    shape = int(text_of.max()) + 1, int(word_of.max()) + 1
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (text_of, word_of), values)
    np.add.at(counts, (text_of, word_of), 1)
    of_word = np.zeros(shape[1])
    of_word[word_of] = ratings
    means = sums.sum(0) / counts.sum(0)
    why = undefined_because([means, of_word], ("attributions", "ratings"))
    if why is not None:
        return Estimate(value=None, n=len(means), undefined=why)

    def of_weights(times: Float[np.ndarray, "resample text"]) -> Float[np.ndarray, " resample"]:
        drawn = times @ counts
        means = np.divide(times @ sums, drawn, out=np.zeros_like(drawn), where=drawn > 0)
        return weighted_pearson(means, of_word[None], (drawn > 0).astype(float))

    return estimate(of_weights, shape[0], n=len(means), resamples=resamples, seed=seed)
