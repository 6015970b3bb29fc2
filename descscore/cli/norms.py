"""`descscore evaluate norms`: whether concrete and imageable words raise a score."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from descscore.cli import options
from descscore.cli.console import print_json, print_note, warnings_as_notes
from descscore.cli.groups import Source, with_groups
from descscore.cli.parameters import flag, option
from descscore.cli.tables import estimate_text, print_line, print_signature, print_table
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
    concadia: Path = option(
        ...,
        "DIR",
        "Concadia's folder, with wiki_split.json and resized/, or a table of the same texts.",
        "Input",
    ),
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
    from descscore.datasets.described_images import read_described_images
    from descscore.datasets.word_ratings import read_word_ratings
    from descscore.evaluate.norms import correlate_norms, sample_texts, shared_words

    ratings = {name: read_word_ratings(path) for name, path in _named(norms).items()}
    examples = read_described_images(concadia, split=split).examples
    captions, descriptions = sample_texts(examples, sample, seed=seed, ratings=[*ratings.values()])
    texts = [one.caption for one in captions] + [one.description for one in descriptions]
    images = [one.image for one in captions + descriptions]
    with warnings_as_notes(shown=True):
        metric = source.load(
            device=device, dtype=dtype, on_error="record", progress=sys.stderr.isatty()
        )
        explanations = metric.explain(images, texts, n_steps=n_steps)
    failed = [one.error for one in explanations if one.error is not None]
    if failed:
        print_note(
            f"{len(failed):,} of {len(texts):,} texts cannot be explained and are skipped, the "
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
                "texts": len(texts),
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


def _print_table(
    found: dict[str, Norms], ratings: dict[str, WordRatings], shared: int, signature: str | None
) -> None:
    from descscore.evaluate.paper import NORMS, TABLE_3, UNIQUE_TOKENS
    from descscore.explain.explanation import PARTS

    rows: list[tuple[str, ...]] = []
    for name, result in found.items():
        n = result.occurrences if result.every_occurrence else result.words
        what = "occurrences" if result.every_occurrence else "words"
        rows.append((name, f"{n:,} {what}, {result.texts:,} texts"))
        for part in PARTS:
            of_part = getattr(result, part)
            published = [
                f"{parts[part][name].value:.2f}" if name in NORMS and part in parts else ""
                for parts in TABLE_3.values()
            ]
            if of_part is not None or any(published):
                rows.append((f"  {part}", estimate_text(of_part), *published))
    print_table("", ["", "here", *(f"paper: {run}" for run in TABLE_3)], rows)
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
