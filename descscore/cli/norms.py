"""`descscore evaluate norms`: whether concrete and imageable words raise a score."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from descscore.cli import options
from descscore.cli.console import print_json, print_note, warnings_as_notes
from descscore.cli.groups import Source, with_groups
from descscore.cli.parameters import flag, option
from descscore.cli.tables import estimate_text, new_table, print_line, print_signature, show_table
from descscore.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from descscore.datasets.word_ratings import WordRatings
    from descscore.evaluate.norms import Norms


@with_groups
def norms(
    norms: list[str] = option(
        ...,
        "NAME=FILE",
        "Word ratings, a csv with the columns word and rating; repeatable.",
        "Input",
    ),
    concadia: Path | None = option(
        None, "DIR", "Concadia's folder, with wiki_split.json and resized/.", "Input"
    ),
    pairs: Path | None = option(
        None, "FILE", "Table of other texts, with the columns image and text.", "Input"
    ),
    images: Path | None = options.IMAGES,
    split: str | None = option(
        None, "NAME", "Concadia's split, such as test; all by default.", "Input"
    ),
    sample: int = option(
        100,
        "N",
        "Number of captions, and of descriptions, with a word in all norms.",
        "Input",
        min=1,
    ),
    every_occurrence: bool = flag(
        "--every-occurrence", "Count every occurrence of a word, not its mean.", "Statistics"
    ),
    resamples: int = options.resamples(10_000),
    seed: int = options.SEED,
    n_steps: int = option(50, "N", "Integration steps.", "Statistics", min=1),
    json: bool = options.JSON,
    *,
    source: Source,
    device: str = options.DEVICE,
    dtype: Literal["float32", "bfloat16", "float16", "int8", "auto"] = options.DTYPE,
) -> None:
    r"""Correlate what words add to a score with human ratings of the words.

    Needs `pip install "descscore\[evaluate]"`. Pearson correlations of ratings with the words' mean
    attributions, with 95% bootstrap intervals over texts: for the whole attribution and, with
    a purpose subspace, for its parts through and around it.
    """
    from descscore.datasets.word_ratings import read_word_ratings
    from descscore.evaluate.norms import correlate_norms, shared_words

    if (concadia is None) == (pairs is None):
        raise OptionError("give either --concadia DIR or --pairs FILE")
    if pairs is not None and split is not None:
        raise OptionError("--split is for Concadia; omit it with --pairs")
    if concadia is not None and images is not None:
        raise OptionError("--images is for --pairs; Concadia's are in its folder")
    files = _named(norms)
    ratings = {name: read_word_ratings(path) for name, path in files.items()}
    images_of, texts, failed = (
        _from_table(pairs, images)
        if pairs is not None
        else _from_concadia(concadia, split, sample, seed, [*ratings.values()])  # pyright: ignore[reportArgumentType]
    )
    with warnings_as_notes(shown=True):
        metric = source.load(
            device=device, dtype=dtype, on_error="record", progress=sys.stderr.isatty()
        )
        explanations = metric.explain(images_of, texts, n_steps=n_steps)
    total = len(texts) + len(failed)
    failed += [one.error for one in explanations if one.error is not None]
    if failed:
        print_note(
            f"{len(failed):,} of {total:,} texts cannot be explained and are skipped, the "
            f"first: {failed[0]}"
        )
    found = {
        name: correlate_norms(
            explanations,
            of_words,
            every_occurrence=every_occurrence,
            resamples=resamples,
            seed=seed,
        )
        for name, of_words in ratings.items()
    }
    shared = shared_words(explanations, [*ratings.values()])
    signature = next((one.signature for one in explanations if one.error is None), None)
    if json:
        print_json(
            {
                "norms": {name: asdict(result) for name, result in found.items()},
                "texts": total,
                "failed": len(failed),
                "words_in_all_norms": shared,
                "signature": signature,
            }
        )
    else:
        _print_table(found, ratings, shared, signature)


def _named(norms: Sequence[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for given in norms:
        name, sign, path = given.partition("=")
        if not (name and sign and path):
            raise OptionError(f"--norms is {given!r}; give NAME=FILE, as concreteness=ratings.csv")
        if name in files:
            raise OptionError(f"--norms names {name!r} twice; give each its own name")
        files[name] = Path(path)
    return files


def _from_concadia(
    folder: Path, split: str | None, count: int, seed: int, ratings: Sequence[WordRatings]
) -> tuple[list[Any], list[str], list[str]]:
    from descscore.datasets.described_images import read_described_images
    from descscore.evaluate.norms import sample_texts

    examples = read_described_images(folder, split=split).examples
    captions, descriptions = sample_texts(examples, count, seed=seed, ratings=ratings)
    texts = [example.caption for example in captions]
    texts += [example.description for example in descriptions]
    return [example.image for example in [*captions, *descriptions]], texts, []


def _from_table(path: Path, images: Path | None) -> tuple[list[Any], list[str], list[str]]:
    """Images and texts of a table, and why rows are left out."""
    from descscore.tables.formats import open_table
    from descscore.tables.selection import select

    table = open_table(path)
    selection = select(
        table,
        image=table.image_column,
        texts=[table.text_column],
        images=images,
        advice="rename the one that is meant",
    )
    items = list(selection.items())
    whole = [item for item in items if item.problem is None]
    failed = [f"row {n}: {item.problem}" for n, item in enumerate(items, 1) if item.problem]
    return [item.image for item in whole], [item.text for item in whole], failed


def _print_table(
    found: dict[str, Norms], ratings: dict[str, WordRatings], shared: int, signature: str | None
) -> None:
    from rich.markup import escape

    from descscore.evaluate.paper import NORMS, TABLE_3, UNIQUE_TOKENS
    from descscore.explain.explanation import PARTS

    shown = new_table()
    for column in ("", "here", *(f"paper: {run}" for run in TABLE_3)):
        shown.add_column(column)
    for name, result in found.items():
        n = result.occurrences if result.every_occurrence else result.words
        what = "occurrences" if result.every_occurrence else "words"
        shown.add_row(f"[bold]{escape(name)}[/bold]", f"{n:,} {what}, {result.texts:,} texts")
        for part in PARTS:
            of_part = getattr(result, part)
            published = [
                f"{parts[part][name].value:.2f}" if name in NORMS and part in parts else ""
                for parts in TABLE_3.values()
            ]
            if of_part is not None or any(published):
                shown.add_row(f"  {part}", estimate_text(of_part), *published)
    show_table(shown)
    print_line("")
    for name, result in found.items():
        rated = result.occurrences / (result.occurrences + result.unrated)
        print_line(
            f"{name}: {rated:.0%} of all words in the texts are rated; of "
            f"{ratings[name].rows:,} rows {ratings[name].expressions:,} of several words and "
            f"{ratings[name].senses:,} of one sense are skipped"
        )
    print_line(f"{shared:,} distinct words are rated in all norms; {UNIQUE_TOKENS} in the paper")
    if any(name in NORMS for name in found):
        print_line(
            "paper: Zur et al. 2024, table 3: another model (CLIP ViT-B/32), more training data, "
            "and 200 texts of Concadia's test split"
        )
    if signature is not None:
        print_signature(signature)
    for name, result in found.items():
        for part in PARTS:
            of_part = getattr(result, part)
            if of_part is not None and of_part.undefined:
                print_note(f"{name}, {part}: {of_part.undefined}")
