"""Do scores correlate with human ratings, and more than text length does?"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.errors import PairingError
from descscore.evaluate.correlations import correlation, partial_correlation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float

    from descscore.datasets.rated_items import Items
    from descscore.datasets.ratings import Ratings
    from descscore.metric import DescriptionScore
    from descscore.results import Estimate

KINDS = ("pearson", "spearman", "kendall_b", "kendall_c")


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """How one value of each item correlates with its mean rating.

    Attributes:
        pearson: Pearson's correlation over items.
        given_length: the partial correlation given the text's number of words; None without texts,
            and for the length itself.
    """

    pearson: Estimate
    given_length: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Question:
    """How scores correlate with one group's answers to one question.

    Attributes:
        group: group of raters.
        question: the question.
        ratings: number of answers.
        correlations: over items, of score and mean rating: "pearson", "spearman", "kendall_b" and
            "kendall_c".
        given_length: Pearson's, given the text's number of words; None without texts.
        others: other predictors of the ratings, by name; with texts, "words" and "log words".
        published: the published correlation of this row; None if there is none.
    """

    group: str
    question: str
    ratings: int
    correlations: Mapping[str, Estimate]
    given_length: Estimate | None
    others: Mapping[str, Predictor]
    published: float | None


@dataclass(frozen=True, kw_only=True)
class HumanRatings:
    """How scores correlate with ratings, by group and question.

    Attributes:
        items: number of items with a score.
        questions: the results, in order of first occurrence of group and question.
        unrated: ids with a score but no rating.
        source: the source of `published`; None if there is none.
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
    others: Mapping[str, Mapping[str, float]] | None = None,
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
        scores: scores by id.
        ratings: ratings of the same ids; ids without ratings are skipped and counted.
        texts: texts by id, to correlate their length and to control for it.
        others: other predictors by name, each with values by id, such as the purpose.
        clusters: cluster of each id, such as its image: the bootstrap then draws whole clusters,
            since items of the same cluster are not independent.
        published: published correlations by group and question.
        source: source of the published correlations.
        resamples: number of bootstrap resamples.
        seed: random seed.

    Raises:
        PairingError: a rated id has no score, text or cluster, a score is not finite, or there is
            no score.
    """
    if not scores:
        raise PairingError("there are no scores; give one for every rated item")
    for item, score in scores.items():
        if not np.isfinite(score):
            raise PairingError(f"the score of {item!r} is {score}; omit what failed")
    others = dict(others or {})
    if texts is not None:
        words = {item: len(text.split()) for item, text in texts.items()}
        others["words"] = {item: float(count) for item, count in words.items()}
        others["log words"] = {item: float(np.log(max(count, 1))) for item, count in words.items()}
    rated = dict.fromkeys(ratings.items)
    for name, known in {"score": scores, "text": texts, "cluster": clusters, **others}.items():
        missing = [item for item in rated if known is not None and item not in known]
        if missing:
            raise PairingError(
                f"{len(missing):,} of {len(rated):,} rated ids have no {name}, the first: "
                f"{missing[0]!r}; give one for each, or omit their ratings"
            )
    answers: defaultdict[tuple[str, str], defaultdict[str, list[float]]]
    answers = defaultdict(lambda: defaultdict(list))
    rows = zip(ratings.items, ratings.groups, ratings.questions, ratings.values, strict=True)
    for item, group, question, value in rows:
        answers[group, question][item].append(float(value))
    questions = []
    for (group, question), of_items in answers.items():
        groups = None if clusters is None else np.array([clusters[item] for item in of_items])
        printed = (published or {}).get((group, question))
        found = _correlations(
            of_items, scores, others, groups=groups, resamples=resamples, seed=seed
        )
        questions.append(Question(group=group, question=question, published=printed, **found))
    return HumanRatings(
        items=len(scores),
        questions=tuple(questions),
        unrated=tuple(item for item in scores if item not in rated),
        source=source,
    )


def _correlations(
    answers: Mapping[str, list[float]],
    scores: Mapping[str, float],
    others: Mapping[str, Mapping[str, float]],
    **options: Any,
) -> dict[str, Any]:
    """What a `Question` says of the answers by item; the options are those of `correlation`."""
    means = np.array([np.mean(values) for values in answers.values()])

    def values(known: Mapping[str, float]) -> Float[np.ndarray, " item"]:
        return np.array([known[item] for item in answers], dtype=np.float64)

    def given_length(known: Mapping[str, float]) -> Estimate | None:
        if "words" not in others:
            return None
        return partial_correlation(values(known), means, values(others["words"]), **options)

    return {
        "ratings": sum(map(len, answers.values())),
        "correlations": {
            kind: correlation(values(scores), means, kind, **options) for kind in KINDS
        },
        "given_length": given_length(scores),
        "others": {
            name: Predictor(
                pearson=correlation(
                    values(known), means, names=(f"values of {name}", "ratings"), **options
                ),
                given_length=None if name in {"words", "log words"} else given_length(known),
            )
            for name, known in others.items()
        },
    }


def score_items(metric: DescriptionScore, items: Items) -> dict[str, dict[str, float]]:
    """Score every text against its image.

    Returns:
        By name and id: the "score", the "purpose" if the metric reads it, and for items with a
        context the "contextual score" (Kreiss et al. 2022a).

    Raises:
        InputError: an image or a text cannot be scored, and the metric raises.
    """
    context = None if items.contexts is None else list(items.contexts.values())
    found = metric(list(items.images.values()), list(items.texts.values()), context=context)
    columns = {
        "score": found.scores,
        "contextual score": found.context_scores,
        "purpose": found.purpose,
    }
    return {
        name: dict(zip(items.texts, values.tolist(), strict=True))
        for name, values in columns.items()
        if values is not None
    }
