"""The figures of the documentation, from measured results.

python -m tests.figures localisation RESULTS.json -o FIGURE.svg
python -m tests.figures relevance SWEEP -o FIGURE.svg
python -m tests.figures reliability CONCADIA -o FIGURE.svg

RESULTS.json is from `tests.benchmarks.localisation`, SWEEP the folder of
`descscore sweep mini-relevance`, CONCADIA a folder in Concadia's layout.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore import DescriptionScore
from descscore.datasets.concadia import read_concadia
from descscore_training.choice import read_log
from descscore_training.study.figures import blank_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by marker and label as well as by colour (Okabe and Ito's, for all kinds of sight).
_STYLES: dict[str, dict[str, Any]] = {
    "learned": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "complement": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "identity": {"color": "#009E73", "marker": "^", "linestyle": ":"},
    "random": {"color": "#666666", "marker": "x", "linestyle": "-."},
}

_MEASURES = ("preference", "relevance", "transfer")


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a relevance weight led to, on validation data; shares in [0, 1].

    Attributes:
        weight: of the relevance term; None for the base.
        preference: share of pairs whose description scores higher.
        relevance: as in the training's log.
        transfer: the transfer score, 1 for the base.
    """

    weight: float | None
    preference: float
    relevance: float
    transfer: float


def localisation_figure(results: Sequence[dict[str, Any]]) -> Figure:
    """What interchanges flip, how far they move scores, and where a probe reads, by rank.

    Args:
        results: of `localise`, for subspaces of several ranks.
    """
    results = sorted(results, key=lambda result: result["rank"])
    ranks = [result["rank"] for result in results]
    figure = blank_figure(11)
    axes = figure.subplots(1, 3)
    for axis, what, label in (
        (axes[0], "flipped", "share of pairs moved the right way"),
        (axes[1], "change", "mean change of the logit, the right way"),
    ):
        for name in ("learned", "complement", "identity"):
            axis.plot(ranks, [r[name][what] for r in results], label=name, **_STYLES[name])
        draws = [[draw[what] for draw in result["random"]] for result in results]
        means = [sum(values) / len(values) for values in draws]
        axis.plot(ranks, means, label="random, mean and range", **_STYLES["random"])
        axis.fill_between(
            ranks, [*map(min, draws)], [*map(max, draws)], color="#666666", alpha=0.2, lw=0
        )
        axis.set_ylabel(label)
    for name in ("learned", "complement"):
        accuracy = [result[name]["probe accuracy"] for result in results]
        axes[2].plot(ranks, accuracy, label=name, **_STYLES[name])
    axes[2].set_ylabel("probe accuracy, single texts")
    for axis in (axes[0], axes[2]):
        axis.axhline(0.5, color="black", lw=0.8)
        axis.set_ylim(0.25, 1)
    axes[1].axhline(0, color="black", lw=0.8)
    for axis in axes:
        _log_ranks(axis, ranks)
    # Of the second's lines, where the third has room.
    axes[2].legend(*axes[1].get_legend_handles_labels(), fontsize="small", loc="lower right")
    return figure


def relevance_figure(points: Sequence[Point]) -> Figure:
    """What preference costs in relevance and in transfer, a point a weight of the relevance term.

    Args:
        points: of a sweep over the weight; the base has the weight None.
    """
    tuned = sorted((p for p in points if p.weight is not None), key=lambda p: p.weight or 0)
    figure = blank_figure(10)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, what, label in (
        (axes[0], "relevance", "relevance on validation pairs"),
        (axes[1], "transfer", "transfer score: share of the base's macro-F1"),
    ):
        across = [getattr(point, what) for point in tuned]
        axis.plot(across, [point.preference for point in tuned], **_STYLES["learned"])
        for point in points:
            place = (getattr(point, what), point.preference)
            if point.weight is None:
                axis.plot(*place, color="black", marker="*", markersize=10, linestyle="")
            name = "base" if point.weight is None else f"{point.weight:g}"
            axis.annotate(name, place, textcoords="offset points", xytext=(6, 5))
        axis.margins(0.15)
        axis.set_xlabel(label)
    axes[0].set_ylabel("preference on validation pairs")
    return figure


def reliability(
    purposes: Float[np.ndarray, " text"], descriptions: Bool[np.ndarray, " text"], bins: int = 10
) -> list[tuple[float, float, int]]:
    """Mean P(description), share of descriptions and count of each bin that is not empty.

    Args:
        purposes: P(description) of texts, in [0, 1].
        descriptions: whether each is a description.
        bins: of equal width.
    """
    found = np.minimum((purposes * bins).astype(int), bins - 1)
    chosen = [found == number for number in np.unique(found)]
    return [
        (float(purposes[rows].mean()), float(descriptions[rows].mean()), int(rows.sum()))
        for rows in chosen
    ]


def reliability_figure(bins: Sequence[tuple[float, float, int]]) -> Figure:
    """How often texts of a given P(description) are descriptions.

    Args:
        bins: what `reliability` gives.
    """
    figure = blank_figure(5, 4)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="black", lw=0.8)
    axis.plot([b[0] for b in bins], [b[1] for b in bins], **_STYLES["learned"])
    for mean, share, count in bins:
        axis.annotate(str(count), (mean, share), textcoords="offset points", xytext=(6, -10))
    axis.set_xlabel("mean P(description)")
    axis.set_ylabel("share of descriptions")
    return figure


def shipped_reliability(folder: Path) -> list[tuple[float, float, int]]:
    """The bins of `mini` on the texts of Concadia.

    Args:
        folder: Concadia in its official layout.
    """
    examples = read_concadia(folder)
    metric = DescriptionScore("mini")
    sides = [[e.caption for e in examples], [e.description for e in examples]]
    purposes = np.concatenate([metric.purpose(side) for side in sides])
    return reliability(purposes, np.repeat([False, True], len(examples)))


def relevance_points(sweep: Path) -> list[Point]:
    """The base's point, and one of each trial that did not fail.

    Args:
        sweep: a folder that `descscore sweep mini-relevance` wrote.
    """
    trials = json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))["trials"]
    done = [trial for trial in trials if trial["choice"] is not None]
    base = read_log(sweep / done[0]["folder"] / "metrics.jsonl")[0]
    measured = [
        (trial["settings"]["objective.relevance_weight"], trial["choice"]) for trial in done
    ]
    return [
        Point(weight=None, preference=base.preference, relevance=base.relevance or 0, transfer=1),
        *(
            Point(weight=weight, **{name: choice[name] for name in _MEASURES})
            for weight, choice in measured
        ),
    ]


def _log_ranks(axis: Axes, ranks: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(ranks, [str(rank) for rank in ranks])
    axis.set_xlabel("dimensions of the subspace")


def main() -> None:
    """Draw one figure."""
    parser = argparse.ArgumentParser(description="Draw a figure of the documentation.")
    parser.add_argument("figure", choices=["localisation", "relevance", "reliability"])
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.figure == "localisation":
        figure = localisation_figure(json.loads(options.results.read_text(encoding="utf-8")))
    elif options.figure == "reliability":
        figure = reliability_figure(shipped_reliability(options.results))
    else:
        figure = relevance_figure(relevance_points(options.results))
    figure.savefig(options.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
