"""Figures 2 to 5 of the paper from a study's results, and what they show in words."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.extras import imports_of
from descscore.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by marker and line as well as by colour (Okabe and Ito's, for all kinds of sight).
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    {"color": "#009E73", "marker": "^", "linestyle": "-."},
    {"color": "#CC79A7", "marker": "D", "linestyle": ":"},
    {"color": "#56B4E9", "marker": "v", "linestyle": (0, (5, 1))},
    {"color": "#E69F00", "marker": "P", "linestyle": (0, (3, 1, 1, 1))},
    {"color": "#000000", "marker": "X", "linestyle": (0, (1, 1))},
)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure in a file.

    Attributes:
        name: of its file in `figures/`.
        title: what it is.
        says: what it shows, for whoever does not see it.
    """

    name: str
    title: str
    says: str


def draw_figures(found: dict[str, Any], folder: Path) -> list[Drawn]:
    """Draw what there are data for.

    Args:
        found: what `results` gathers.
        folder: where the SVG files go.
    """
    with imports_of("plots"):
        import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Drawn] = []

    def draw(name: str, title: str, made: tuple[Figure, str]) -> None:
        figure, says = made
        # The same bytes for the same numbers.
        with mpl.rc_context({"svg.hashsalt": "descscore"}):
            write_whole(
                folder / name,
                lambda file: figure.savefig(file, format="svg", metadata={"Date": None}),
                sole=True,
            )
        drawn.append(Drawn(name=name, title=title, says=says))

    totals, parts = _examples(found, "total"), _examples(found, "through")
    if totals:
        title = "Figure 2: what each word of a description and of a caption adds to the score"
        draw("words.svg", title, words_figure(totals, ("total",)))
    if any(seed["steps"] for run in found["runs"] for seed in run["seeds"]):
        title = "Figure 3: accuracy on Concadia and transfer, over training"
        draw("steps.svg", title, steps_figure(found))
    if any(_points(run) for run in found["runs"]):
        title = "Figure 4: transfer score against preference on validation data"
        draw("trade-off.svg", title, trade_off_figure(found))
    if parts:
        title = "Figure 5: the same words, through the purpose subspace and around it"
        draw("parts.svg", title, words_figure(parts, ("through", "around")))
    return drawn


def words_figure(
    examples: dict[str, list[dict[str, Any]]], parts: Sequence[str]
) -> tuple[Figure, str]:
    """Bars of the attributions of one image's two texts, one row of axes per model.

    Args:
        examples: by model, the two texts with their words and attributions.
        parts: of the attributions: "total", or "through" and "around".

    Returns:
        The figure, and what it shows in words.
    """
    figure = blank_figure(10, 1 + 2.2 * len(examples))
    axes = np.atleast_2d(figure.subplots(len(examples), 2, sharey="row"))
    says = ["Bars of the attribution of each word, one row per model."]
    for row, (model, texts) in zip(axes, examples.items(), strict=True):
        for axis, text in zip(row, texts, strict=False):
            places = np.arange(len(text["words"]))
            for shift, part in enumerate(parts):
                style = _STYLES[shift]
                width = 0.8 / len(parts)
                left = places + (shift - (len(parts) - 1) / 2) * width
                axis.bar(left, text[part], width, color=style["color"], label=part)
            axis.axhline(0, color="black", lw=0.8)
            axis.set_xticks(places, text["words"], rotation=35, ha="right", fontsize="x-small")
            axis.set_title(f"{model}: {text['kind']}", fontsize="small")
            strongest = max(range(len(text["words"])), key=lambda i: abs(text[parts[0]][i]))
            says.append(
                f"{model}, {text['kind']} '{' '.join(text['words'])}': strongest "
                f"{'' if parts[0] == 'total' else parts[0] + ' '}is "
                f"'{text['words'][strongest]}' with {text[parts[0]][strongest]:.2f}."
            )
    if len(parts) > 1:
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize="small", loc="outside right upper")
    return figure, " ".join(says)


def steps_figure(found: dict[str, Any]) -> tuple[Figure, str]:
    """Preference and each transfer task over steps, mean and range over seeds.

    Preference is plotted on validation data, which choose the step, and on what the recipe watches,
    for the paper Concadia's test split.

    Returns:
        The figure, and what it shows in words.
    """
    steps_of = [step for run in found["runs"] for seed in run["seeds"] for step in seed["steps"]]
    tasks = list(dict.fromkeys(task for step in steps_of for task in step["f1"]))
    watched = " and ".join({run["watched"]: None for run in found["runs"] if run["watched"]})
    panels = {
        **({f"accuracy on {watched}": "watched"} if watched else {}),
        "accuracy on validation data": "preference",
        **{f"{task}, macro-F1": task for task in tasks},
    }
    figure = blank_figure(9, 1 + 2.4 * len(panels))
    axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    says = ["Lines over optimiser steps, one per run."]
    for axis, (title, key) in zip(axes, panels.items(), strict=True):
        for run, style in zip(found["runs"], cycle(_STYLES), strict=False):
            at: dict[int, list[float]] = defaultdict(list)
            for seed in run["seeds"]:
                for step in seed["steps"]:
                    value = step["f1"].get(key, step.get(key))
                    if value is not None:
                        at[step["step"]].append(value)
            if not at:
                continue
            steps = sorted(at)
            means = [float(np.mean(at[step])) for step in steps]
            axis.plot(steps, means, label=run["name"], markersize=4, **style)
            lows, highs = [min(at[step]) for step in steps], [max(at[step]) for step in steps]
            axis.fill_between(steps, lows, highs, color=style["color"], alpha=0.15, lw=0)
            says.append(
                f"{title}, {run['name']}: from {means[0]:.3f} at step {steps[0]:,} to "
                f"{means[-1]:.3f} at step {steps[-1]:,}, highest {max(means):.3f}."
            )
        axis.set_ylabel(title, fontsize="small")
        if key not in tasks:
            axis.axhline(0.5, color="black", lw=0.8)
    axes[-1].set_xlabel("optimiser steps; mean and range over seeds")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize="small", loc="outside right upper")
    return figure, " ".join(says)


def trade_off_figure(found: dict[str, Any]) -> tuple[Figure, str]:
    """Every evaluated step, the chosen ones marked, and curves of equal trade-off.

    Returns:
        The figure, and what it shows in words.
    """
    alpha = found["study"]["trade_off"]
    figure = blank_figure(8, 4.8)
    axis = figure.subplots()
    says = [
        "Points of transfer score (share of the base's macro-F1 that is retained) against "
        "preference, one per evaluated step; chosen steps have a black edge, and the base is a "
        "star."
    ]
    for run, style in zip(found["runs"], cycle(_STYLES), strict=False):
        points = np.array(_points(run)).reshape(-1, 2)
        if not len(points):
            continue
        look = {"color": style["color"], "marker": style["marker"], "linestyle": "none"}
        axis.plot(points[:, 0], points[:, 1], markersize=4, alpha=0.5, **look)
        choices = [seed["choice"] for seed in run["seeds"] if seed["choice"]]
        chosen = np.array([(one["preference"], one["transfer"]) for one in choices])
        chosen = chosen.astype(float).reshape(-1, 2)
        edged = look | {"markersize": 9, "markeredgecolor": "black"}
        axis.plot(chosen[:, 0], chosen[:, 1], label=run["name"], **edged)
        if len(chosen):
            preference, transfer = chosen.mean(0)
            says.append(
                f"{run['name']}: chosen steps at preference {preference:.3f} and transfer score "
                f"{transfer:.3f}, means over {len(chosen)} seeds."
            )
    _equal_trade_offs(axis, alpha)
    axis.set_xlabel("preference on validation data")
    axis.set_ylabel("transfer score on validation data")
    base = next(seed["steps"][0] for run in found["runs"] for seed in run["seeds"] if seed["steps"])
    axis.plot([base["preference"]], [1.0], "*", color="black", markersize=12, label="base")
    figure.legend(
        fontsize="small", loc="outside right upper", title="chosen steps", title_fontsize="small"
    )
    return figure, " ".join(says)


def _equal_trade_offs(axis: Axes, alpha: float) -> None:
    """Dotted curves on which alpha x preference + (1 - alpha) x transfer score is the same."""
    x, y = np.meshgrid(np.linspace(*axis.get_xlim(), 50), np.linspace(*axis.get_ylim(), 50))
    value = alpha * x + (1 - alpha) * y
    grey = "#595959"
    lines = axis.contour(x, y, value, 5, colors=grey, linestyles=":", linewidths=0.8)
    axis.clabel(lines, fmt="%.2f", fontsize="x-small")


def _points(run: dict[str, Any]) -> list[tuple[float, float]]:
    return [
        (step["preference"], step["transfer score"])
        for seed in run["seeds"]
        for step in seed["steps"]
        if step["transfer score"] is not None
    ]


def _examples(found: dict[str, Any], part: str) -> dict[str, list[dict[str, Any]]]:
    """By model, the example of its first seed, if it has that part."""
    examples = {"base": found["base"]["evaluations"].get("example", [])}
    for run in found["runs"]:
        whole = [seed for seed in run["seeds"] if seed["error"] is None]
        if whole:
            examples[run["name"]] = whole[0]["evaluations"].get("example", [])
    return {
        model: texts for model, texts in examples.items() if texts and texts[0][part] is not None
    }


def blank_figure(width: float, height: float = 3.6) -> Figure:
    """A figure without axes, in inches."""
    with imports_of("plots"):
        from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
