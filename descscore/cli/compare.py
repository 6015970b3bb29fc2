"""`descscore compare`: two scored files."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from descscore.cli import options
from descscore.cli.console import print_json, print_note
from descscore.cli.parameters import argument, flag, option
from descscore.cli.tables import interval_text, print_failures, print_line, print_table
from descscore.errors import OptionError
from descscore.strings import counted

if TYPE_CHECKING:
    from descscore.evaluate.compare import Comparison


def compare(
    a: str = argument(..., "A", "A file that descscore score wrote."),
    b: str = argument(..., "B", "The file to compare; differences are B - A."),
    id_column: str | None = option(
        None, "--id COLUMN", "Match rows by this column instead of by image and text.", "Input"
    ),
    by_image: bool = flag(
        "--by-image", "Resample whole images; values of --id may repeat.", "Input"
    ),
    score_column: str = option("score", "NAME", "Column of scores in both files.", "Input"),
    image_column: str | None = option(None, "NAME", "Column of images.", "Input"),
    text_column: str | None = option(None, "NAME", "Column of texts.", "Input"),
    top: int = option(
        5, "N", "Number of items to show that rose most and fell most.", "Output", min=0
    ),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
) -> None:
    r"""Compare two scores of the same items: mean difference, interval, p, largest changes.

    Needs `pip install "descscore\[evaluate]"`. Refuses files whose run records (.run.jsonl) differ
    in scale, prefix, treatment of long texts or references.
    """
    from descscore.evaluate.compare import compare_scores
    from descscore.evaluate.scored_pairs import pair_scores

    found = pair_scores(
        a,
        b,
        id_column=id_column,
        score_column=score_column,
        image_column=image_column,
        text_column=text_column,
        repeated=by_image,
    )
    if by_image and found.clusters is None:
        raise OptionError("--by-image needs to know the images; name them with --image-column")
    result = compare_scores(
        found.a,
        found.b,
        found.items,
        texts=found.texts,
        clusters=found.clusters if by_image else None,
        missing=found.missing,
        top=top,
    )
    if not quiet:
        for note in found.notes:
            print_note(note)
        print_failures(result.missing, "item")
        distinct = len(set(found.clusters or found.items))
        if not by_image and distinct < len(found.items):
            print_note(
                f"{len(found.items):,} items are of {distinct:,} images and not independent; "
                "--by-image resamples whole images"
            )
        if result.difference.low is None:
            print_note(f"a single {'image' if by_image else 'item'} has no interval and no p-value")
        if result.constant:
            print_note("all items differ by the same, so the interval has no width")
    if json:
        print_json({"a": a, "b": b, **asdict(result)})
    else:
        _print(result, a, b)


def _print(result: Comparison, a: str, b: str) -> None:
    print_line(f"A: {a}")
    print_line(f"B: {b}\n")
    p = "" if result.p is None else f"{result.p:.4f}"
    ties = f"{result.win.ties:,} tied"
    print_table(
        counted(result.n, "item")
        + ("" if result.clusters is None else f" of {counted(result.clusters, 'image')}"),
        ["", "value", "95%"],
        [
            ("mean of A", f"{result.mean_a:.4f}", ""),
            ("mean of B", f"{result.mean_b:.4f}", ""),
            (
                "mean of B - A",
                f"{result.difference.value:+.4f}",
                interval_text(result.difference, 4),
            ),
            ("p, two-sided permutation", p, ""),
            (
                f"B higher ({result.lower:,} lower, {ties})",
                f"{result.win.value:.3f}",
                interval_text(result.win),
            ),
        ],
    )
    for title, changes in (("rose most", result.raised), ("fell most", result.lowered)):
        if changes:
            print_table(
                title,
                ["item", "A", "B", "B - A"],
                [
                    (
                        change.item + (f": {change.text:.60}" if change.text else ""),
                        f"{change.a:.4f}",
                        f"{change.b:.4f}",
                        f"{change.difference:+.4f}",
                    )
                    for change in changes
                ],
            )
