"""Do scores go with people's ratings?"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import PairingError
from descscore.evaluate.statistics import Correlation, correlation, partial_correlation
from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float

    from descscore.evaluate.ratings import Ratings

KINDS = ("pearson", "spearman", "kendall_b", "kendall_c")


@dataclass(frozen=True, kw_only=True)
class Question:
    """How scores go with one group's answers to one question.

    Attributes:
        group: who rated.
        question: what was asked.
        ratings: how many answers the items' means are of.
        correlations: over items, of score and mean rating: "pearson", "spearman", "kendall_b" and
            "kendall_c".
        given_length: Pearson's with the length of the text in words held fixed; None without texts.
        published: a correlation that was printed for this row; None where none was.
    """

    group: str
    question: str
    ratings: int
    correlations: tuple[Correlation, ...]
    given_length: Correlation | None
    published: float | None

    def __getitem__(self, kind: str) -> Correlation:
        return next(found for found in self.correlations if found.kind == kind)


@dataclass(frozen=True, kw_only=True)
class HumanRatings:
    """How scores go with ratings, by group and question.

    Attributes:
        items: number of items with a score.
        questions: the results, in the order in which group and question first come.
        unrated: ids with a score that no one rated.
        source: what `published` was taken from; None without.
    """

    items: int
    questions: tuple[Question, ...]
    unrated: tuple[str, ...]
    source: str | None


def human_ratings(
    scores: Mapping[str, float],
    ratings: Ratings,
    *,
    texts: Mapping[str, str] | None = None,
    clusters: Mapping[str, str] | None = None,
    published: Mapping[tuple[str, str], float] | None = None,
    source: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> HumanRatings:
    """Correlate each item's score with the mean of its ratings, by group and question.

    The interval is a percentile bootstrap over items. Undefined values (constant scores or ratings,
    fewer than three items) are None and say why.

    Args:
        scores: by id.
        ratings: of the same ids; ids that nobody rated are left out and counted.
        texts: by id, for the correlation that holds their length fixed.
        clusters: by id, what an item belongs to, such as its image: the bootstrap draws whole
            clusters then, since items of one are not independent.
        published: by group and question, a correlation to stand beside.
        source: what that was taken from.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        PairingError: a rated id has no score, text or cluster, a score is not finite, or there is
            no score.
    """
    if not scores:
        raise PairingError("there are no scores; give one for every rated item")
    for item, score in scores.items():
        if not np.isfinite(score):
            raise PairingError(f"the score of {item!r} is {score}; leave out what failed")
    rated = dict.fromkeys(ratings.items)
    for name, known in {"score": scores, "text": texts, "cluster": clusters}.items():
        missing = [item for item in rated if known is not None and item not in known]
        if missing:
            raise PairingError(
                f"{len(missing):,} of {len(rated):,} rated ids have no {name}, the first: "
                f"{missing[0]!r}; give one for each, or leave their ratings out"
            )
    answers: defaultdict[tuple[str, str], defaultdict[str, list[float]]]
    answers = defaultdict(lambda: defaultdict(list))
    rows = zip(ratings.items, ratings.groups, ratings.questions, ratings.values, strict=True)
    for item, group, question, value in rows:
        answers[group, question][item].append(float(value))
    return HumanRatings(
        items=len(scores),
        questions=tuple(
            _question(
                key,
                of_items,
                scores,
                texts=texts,
                clusters=clusters,
                published=(published or {}).get(key),
                resamples=resamples,
                seed=seed,
            )
            for key, of_items in answers.items()
        ),
        unrated=tuple(item for item in scores if item not in rated),
        source=source,
    )


def distinguishable_from_none(n: int) -> float | None:
    """The smallest Pearson correlation of n items with p < 0.05; None for fewer than three.

    t / sqrt(n - 2 + t²), t the 97.5% point of Student's distribution with n - 2 degrees of freedom.
    """
    with imports_of("evaluate"):
        from scipy.stats import t

    if n < 3:
        return None
    point = float(t.ppf(0.975, n - 2))
    return point / (n - 2 + point**2) ** 0.5


def _question(
    key: tuple[str, str],
    answers: Mapping[str, list[float]],
    scores: Mapping[str, float],
    *,
    texts: Mapping[str, str] | None,
    clusters: Mapping[str, str] | None,
    published: float | None,
    resamples: int,
    seed: int,
) -> Question:
    x = np.array([scores[item] for item in answers], dtype=np.float64)
    means = np.array([np.mean(values) for values in answers.values()])
    groups = None if clusters is None else np.array([clusters[item] for item in answers])
    lengths = None if texts is None else _words(answers, texts)
    return Question(
        group=key[0],
        question=key[1],
        ratings=sum(map(len, answers.values())),
        correlations=tuple(
            correlation(x, means, kind, groups=groups, resamples=resamples, seed=seed)
            for kind in KINDS
        ),
        given_length=None
        if lengths is None
        else partial_correlation(x, means, lengths, groups=groups, resamples=resamples, seed=seed),
        published=published,
    )


def _words(answers: Mapping[str, object], texts: Mapping[str, str]) -> Float[np.ndarray, " item"]:
    return np.array([len(texts[item].split()) for item in answers], dtype=np.float64)
