"""Whether two scores of the same items differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from descscore.datasets.failures import Failure
from descscore.errors import PairingError
from descscore.evaluate.statistics import estimate_mean, group_numbers, paired_permutation, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from descscore.results import Estimate


@dataclass(frozen=True, kw_only=True)
class Change:
    """One item's two scores.

    Attributes:
        item: name of the item.
        text: text of the item; None if the files have none.
        a: the first score.
        b: the second score.
        difference: b - a.
    """

    item: str
    text: str | None
    a: float
    b: float
    difference: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Second scores (B) compared with first scores (A) of the same items.

    Attributes:
        n: number of items with both scores.
        mean_a: mean of the first.
        mean_b: mean of the second.
        difference: mean of B - A, with a paired bootstrap over items or clusters.
        clusters: number of resampled images or other clusters; None if items are resampled.
        p: two-sided, permutation of A and B within items or clusters; None for a single one.
        win: share of items that score higher in B, with its 95% interval (Wilson's, or of the
            bootstrap over clusters), and the ties.
        lower: number of items that score lower in B.
        constant: whether every item differs by the same amount, so that the interval has no width.
        raised: the items that rose most, the largest rise first.
        lowered: the items that fell most, the largest fall first.
        missing: items that lack a score, and in which file.
    """

    n: int
    mean_a: float
    mean_b: float
    difference: Estimate
    clusters: int | None
    p: float | None
    win: Estimate
    lower: int
    constant: bool
    raised: Sequence[Change]
    lowered: Sequence[Change]
    missing: Sequence[Failure]


def compare_scores(
    a: Float[np.ndarray, " item"],
    b: Float[np.ndarray, " same"],
    items: Sequence[str],
    *,
    texts: Sequence[str | None] | None = None,
    clusters: Sequence[str] | None = None,
    missing: Sequence[Failure] = (),
    top: int = 5,
    seed: int = 0,
) -> Comparison:
    """Compare two scores of the same items.

    Args:
        a: first scores; NaN where there is none.
        b: second scores, on the same scale.
        items: the items' names.
        texts: the items' texts.
        clusters: each item's cluster, such as its image: the bootstrap and the permutations then
            draw and swap whole clusters, since items of the same cluster are not independent.
        missing: items skipped earlier.
        top: number of items in `raised` and in `lowered`.
        seed: random seed.

    Raises:
        PairingError: unequal numbers, or no item has both scores.
    """
    if a.shape != b.shape or a.ndim != 1 or len(items) != len(a):
        raise PairingError(
            f"{a.shape} and {b.shape} scores of {len(items)} items; give two of each"
        )
    both = np.isfinite(a) & np.isfinite(b)
    lost = list(missing)
    for row in np.flatnonzero(~both).tolist():
        where = " and ".join(
            name for name, scores in (("A", a), ("B", b)) if not np.isfinite(scores[row])
        )
        lost.append(Failure(item=items[row], error=f"has no score in {where}"))
    if not both.any():
        raise PairingError(f"none of {len(lost)} items has a score in both; score them first")
    rows = np.flatnonzero(both)
    first, second = a[rows].astype(np.float64), b[rows].astype(np.float64)
    differences = second - first
    n, higher = len(rows), int((differences > 0).sum())
    groups = None if clusters is None else np.array([clusters[row] for row in rows.tolist()])
    difference = estimate_mean(differences, groups, seed=seed)
    ties = int((differences == 0).sum())
    win = (
        wilson(higher, n, ties=ties)
        if groups is None
        else estimate_mean(differences > 0, groups, ties=ties, seed=seed)
    )
    group_of = group_numbers(groups, n)
    p = None
    if difference.low is not None:
        sums = [np.bincount(group_of, scores) for scores in (first, second)]
        p = paired_permutation(*sums, seed=seed)

    def change(place: int) -> Change:
        row = int(rows[place])
        return Change(
            item=items[row],
            text=None if texts is None else texts[row],
            a=float(first[place]),
            b=float(second[place]),
            difference=float(differences[place]),
        )

    order = np.argsort(differences, kind="stable").tolist()
    return Comparison(
        n=n,
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=difference,
        clusters=None if clusters is None else int(group_of.max()) + 1,
        p=p,
        win=win,
        lower=int((differences < 0).sum()),
        constant=bool(n > 1 and np.ptp(differences) <= 1e-7 * np.abs(differences).max(initial=0)),
        raised=tuple(change(i) for i in order[::-1] if differences[i] > 0)[:top],
        lowered=tuple(change(i) for i in order if differences[i] < 0)[:top],
        missing=tuple(lost),
    )
