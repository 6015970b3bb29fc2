"""`descscore evaluate human`: correlation of scores with human ratings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.cli import options
from descscore.cli.console import print_json, print_note, warnings_as_notes
from descscore.cli.groups import Evaluated, with_groups
from descscore.cli.parameters import flag, option
from descscore.cli.tables import estimate_text, print_line, print_signature, print_table
from descscore.errors import OptionError

if TYPE_CHECKING:
    from descscore.datasets.rated_items import Items
    from descscore.datasets.ratings import Ratings
    from descscore.evaluate.human import HumanRatings


@with_groups
def human(
    kreiss2022: Path | None = option(
        None,
        "DIR",
        "Folder of the study of Kreiss et al. (2022): descriptions.csv, "
        "blv_ratings.csv, sighted_ratings.csv and images/.",
        "Input",
    ),
    ratings: Path | None = option(
        None, "FILE", "Table of other ratings: one row per person and item.", "Input"
    ),
    items: Path | None = option(
        None,
        "FILE",
        "Table of the rated items: one row per item, with id, image and text.",
        "Input",
    ),
    scores: Path | None = option(
        None, "FILE", "Table of scores by id, instead of a checkpoint's scores.", "Input"
    ),
    score_column: str = option("score", "NAME", "Column of scores in --scores.", "Columns"),
    id_column: str | None = option(
        None,
        "NAME",
        "Column of ids in all tables: id by default, description_id with --kreiss2022.",
        "Columns",
    ),
    question: list[str] | None = option(
        None, "NAME", "Column of ratings in --ratings; repeatable; rating by default.", "Columns"
    ),
    group_column: str | None = option(
        None, "NAME", "Column of rater groups in --ratings; each is reported.", "Columns"
    ),
    image_column: str = option("image", "NAME", "Column of images in --items.", "Columns"),
    text_column: str = option("text", "NAME", "Column of texts in --items.", "Columns"),
    images: Path | None = option(
        None, "DIR", "Folder that image paths are relative to; that of --items by default.", "Input"
    ),
    lowest: float = option(1, "X", "Lowest possible rating.", "Input"),
    highest: float = option(5, "X", "Highest possible rating.", "Input"),
    by_image: bool = flag("--by-image", "Resample whole images instead of items.", "Statistics"),
    resamples: int = options.resamples(10_000),
    seed: int = options.SEED,
    json: bool = options.JSON,
    *,
    source: Evaluated,
    purpose: str | None = options.PURPOSE_READER,
    clipscore_compatible: bool = options.CLIPSCORE_COMPATIBLE,
) -> None:
    r"""Correlate scores with human ratings, by group and question.

    Needs `pip install "descscore\[evaluate]"`. Correlates the items' scores with their mean
    ratings: Pearson (also given the text's length), Spearman, Kendall's tau-b and tau-c, with 95%
    intervals. Purpose, contextual score and length are correlated too, so that one table shows
    which of them accounts for the agreement.
    """
    from descscore.datasets.kreiss2022 import ID_COLUMN, read_kreiss2022
    from descscore.datasets.rated_items import read_items
    from descscore.datasets.ratings import read_ratings, read_scores
    from descscore.evaluate.human import human_ratings, score_items
    from descscore.evaluate.paper import NONE, TABLE_2

    if (kreiss2022 is None) == (ratings is None):
        raise OptionError("give either --kreiss2022 DIR or --ratings FILE")
    of_items: Items | None = None
    answers: Ratings
    if kreiss2022 is not None:
        if items or images or question or group_column:
            raise OptionError(
                "--kreiss2022 names its own files and columns; omit --items, --images, "
                "--question and --group-column"
            )
        study = read_kreiss2022(kreiss2022)
        answers, of_items = study.ratings, study.items
        id_column = id_column or ID_COLUMN
    else:
        if items is None and scores is None:
            raise OptionError("--ratings needs --items FILE to score, or --scores FILE")
        id_column = id_column or "id"
        answers = read_ratings(
            ratings,  # pyright: ignore[reportArgumentType]
            id_column=id_column,
            questions=question or ["rating"],
            group_column=group_column,
            lowest=lowest,
            highest=highest,
        )
        if items is not None:
            of_items = read_items(
                items,
                id_column=id_column,
                image_column=image_column,
                text_column=text_column,
                images=images,
            )
    if by_image and of_items is None:
        raise OptionError("--by-image needs --items FILE, which says what the image of an item is")
    signature, others = None, {}
    if scores is not None:
        known = read_scores(scores, id_column=id_column, score_column=score_column)
    else:
        with warnings_as_notes(shown=True):
            metric = source.metric(clipscore_compatible=clipscore_compatible, purpose=purpose)
            others = score_items(metric, of_items)  # pyright: ignore[reportArgumentType]
            known = others.pop("score")
        signature = metric.signature
    result = human_ratings(
        known,
        answers,
        texts=of_items and of_items.texts,
        clusters=of_items.image_names if of_items and by_image else None,
        others=others,
        published={
            (group, question): row.value
            for group, runs in TABLE_2.items()
            for question, row in runs[NONE].items()
            if kreiss2022 is not None and row.value is not None
        },
        source=None if kreiss2022 is None else "Zur et al. 2024, Table 2, no tuning",
        resamples=resamples,
        seed=seed,
    )
    _say_notes(result)
    if json:
        print_json({**asdict(result), "signature": signature})
    else:
        _print_tables(result, signature)


def _say_notes(result: HumanRatings) -> None:
    if result.unrated:
        print_note(
            f"{len(result.unrated):,} of {result.items:,} ids have no rating and are skipped, the "
            f"first: {result.unrated[0]!r}"
        )
    reasons: dict[str, None] = {}
    for row in result.questions:
        for found in (*row.correlations.values(), row.given_length):
            if found is not None and found.undefined:
                reasons[f"{row.group}, {row.question}: {found.undefined}"] = None
    for reason in reasons:
        print_note(reason)


def _print_tables(result: HumanRatings, signature: str | None) -> None:
    with_lengths = any(row.given_length is not None for row in result.questions)
    first: list[tuple[str, ...]] = []
    second: list[tuple[str, ...]] = []
    group = None
    for row in result.questions:
        if row.group != group:
            group = row.group
            first.append((group,))
            second.append((group,))
        pearson = row.correlations["pearson"]
        paper = "" if row.published is None else f"{row.published:.2f}"
        lines = {"score": (pearson, row.given_length, paper)}
        lines |= {name: (one.pearson, one.given_length, "") for name, one in row.others.items()}
        for name, (plain, given_length, printed) in lines.items():
            cells = [f"  {row.question}" if name == "score" else "", name, f"{plain.n}"]
            lengths = [estimate_text(given_length)] * with_lengths
            first.append((*cells, estimate_text(plain), *lengths, printed))
        ranks = (row.correlations[kind] for kind in ("spearman", "kendall_b", "kendall_c"))
        second.append((f"  {row.question}", *map(estimate_text, ranks)))
    columns = ["", "", "items", "Pearson", *["given length"] * with_lengths]
    columns += ["paper" if result.source is not None else ""]
    print_table("", columns, first, left=2)
    print_table("", ["", "Spearman", "tau-b", "tau-c"], second)
    if result.source is not None:
        print_line(f"paper: {result.source} (CLIP ViT-B/32)")
    if signature is not None:
        print_signature(signature)
