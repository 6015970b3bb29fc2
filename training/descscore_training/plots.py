"""The figures of the documentation, from measured results.

python -m descscore_training.plots localisation RESULTS.json -o FIGURE.svg
python -m descscore_training.plots relevance RESULTS.json -o FIGURE.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by marker and label as well as by colour (Okabe and Ito's, for all kinds of sight).
_STYLES: dict[str, dict[str, Any]] = {
    "learned": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "complement": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "identity": {"color": "#009E73", "marker": "^", "linestyle": ":"},
    "random": {"color": "#666666", "marker": "x", "linestyle": "-."},
}


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
    axes[1].legend(fontsize="small", loc="center")
    return figure


def relevance_figure(results: Sequence[dict[str, Any]]) -> Figure:
    """Preference against relevance for several weights of the relevance term.

    Args:
        results: each with "weight", "preference", "relevance" and "base relevance".
    """
    results = sorted(results, key=lambda result: result["weight"])
    figure = blank_figure(6)
    axis = figure.subplots()
    axis.plot(
        [result["relevance"] for result in results],
        [result["preference"] for result in results],
        **_STYLES["learned"],
    )
    for result in results:
        axis.annotate(
            f"{result['weight']:g}",
            (result["relevance"], result["preference"]),
            textcoords="offset points",
            xytext=(6, 6),
        )
    base = results[0]["base relevance"]
    axis.axvline(base, color="black", lw=0.8)
    axis.annotate("base", (base, axis.get_ylim()[0]), xytext=(4, 4), textcoords="offset points")
    axis.set_xlabel("relevance on validation pairs")
    axis.set_ylabel("preference on validation pairs")
    return figure


def blank_figure(width: float, height: float = 3.6) -> Figure:
    """A figure without axes, of so many inches."""
    with imports_of("plots"):
        from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _log_ranks(axis: Axes, ranks: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(ranks, [str(rank) for rank in ranks])
    axis.set_xlabel("dimensions of the subspace")


def main() -> None:
    """Draw one figure."""
    parser = argparse.ArgumentParser(description="Draw a figure of the documentation.")
    figures = {"localisation": localisation_figure, "relevance": relevance_figure}
    parser.add_argument("figure", choices=figures)
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    figures[options.figure](results).savefig(options.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
