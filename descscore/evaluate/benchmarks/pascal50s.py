"""Pascal-50S (Vedantam et al. 2015): which of two captions is more like 48 others of the image?

Two MATLAB files of `pyCIDErConsensus`:

- `pair_pascal.mat`: `new_input`, a structure of 4,000 pairs with three fields in this order, image
  name, first and second caption; `category`, for each pair 1 to 4: HC (two human captions, both
  right), HI (two human captions, one of another image), HM (human and machine), MM (two machines).
- `consensus_pascal.mat`: `triplets`, a structure of 48 rows a pair, in the pairs' order, with four
  fields in this order: a reference, the two captions B and C, and who won, 1 for B, -1 for C.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import (
    ImageFiles,
    Source,
    find_file,
    laid_out,
    refuse_layout,
)
from descscore.evaluate.benchmarks.entries import Paired
from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Sequence

PASCAL_50S = Source(
    name="Pascal-50S",
    address="https://vrama91.github.io/cider/ (pyCIDErConsensus)",
    images="http://host.robots.ox.ac.uk/pascal/VOC/voc2010/ (JPEGImages)",
)
CATEGORIES = ("HC", "HI", "HM", "MM")
JUDGEMENTS = 48
DRAWN = 5
"""References that a pair is scored with, of the 48."""
DRAWS = 5
"""How often they are drawn; the accuracy is the mean over the draws."""

_PAIRS = "new_input with 3 fields a pair and category, one number from 1 to 4 a pair"
_TRIPLETS = f"triplets with 4 fields a row, {JUDGEMENTS} rows a pair, the last field 1 or -1"


def pascal_50s(folder: Path, images: Path, *, references: bool, seed: int = 0) -> Paired:
    """4,000 pairs of captions; right is the one that most of the 48 judgements prefer.

    Args:
        folder: with `pair_pascal.mat` and `consensus_pascal.mat`.
        images: the folder of images.
        references: draw 5 of the 48 references for each pair, 5 times.
        seed: random seed.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = find_file(folder, ["pair_pascal.mat"], PASCAL_50S)
    triplets_path = find_file(folder, ["consensus_pascal.mat"], PASCAL_50S)
    content = _load(path)
    with laid_out(path, PASCAL_50S, _PAIRS):
        rows = [
            [_text(field) for field in _fields(record)] for record in content["new_input"].ravel()
        ]
        numbers = [int(number) for number in content["category"].ravel()]
        categories = [CATEGORIES[number - 1] for number in numbers if number > 0]
    if not rows or len(categories) != len(rows) or any(len(row) != 3 for row in rows):
        fault = f"{len(rows)} pairs and {len(categories)} categories"
        refuse_layout(path, PASCAL_50S, fault, _PAIRS)
    names, firsts, seconds = (tuple(column) for column in zip(*rows, strict=True))
    second_wins, known = _votes(triplets_path, list(zip(firsts, seconds, strict=True)))
    of_pairs = None
    if references:
        rng = np.random.default_rng(seed)
        draws = [
            [tuple(rng.choice(texts, DRAWN, replace=False).tolist()) for texts in known]
            for _ in range(DRAWS)
        ]
        of_pairs = tuple(zip(*draws, strict=True))
    return Paired(
        benchmark="pascal-50s",
        images=tuple(ImageFiles(images, PASCAL_50S).paths(names)),
        firsts=firsts,
        seconds=seconds,
        second_wins=second_wins,
        categories=tuple(categories),
        references=of_pairs,
        notes=(
            f"ties count half, in the {int((second_wins == 0.5).sum()):,} pairs whose judgements "
            "are tied and where scores are: what breaking them at random gives on average",
        ),
    )


def _votes(
    path: Path, pairs: Sequence[tuple[str, str]]
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """For each pair 1 where the second caption won, 0 the first, 0.5 none; and the references."""
    with laid_out(path, PASCAL_50S, _TRIPLETS):
        rows = [_fields(record) for record in _load(path)["triplets"].ravel()]
        votes = [
            (_text(a), _text(b), _text(c), int(np.asarray(won).ravel()[0])) for a, b, c, won in rows
        ]
    if len(votes) != JUDGEMENTS * len(pairs):
        fault = f"{len(votes):,} triplets for {len(pairs):,} pairs"
        refuse_layout(path, PASCAL_50S, fault, _TRIPLETS)
    second_wins = np.empty(len(pairs))
    references: list[tuple[str, ...]] = []
    for number, (first, second) in enumerate(pairs):
        part = votes[number * JUDGEMENTS : (number + 1) * JUDGEMENTS]
        for _, b, c, won in part:
            if {b, c} != {first, second} or won not in (1, -1):
                fault = f"a triplet of pair {number + 1} is about {b!r} and {c!r}, won by {won}"
                refuse_layout(path, PASCAL_50S, fault, f"{first!r} and {second!r}, won by 1 or -1")
        for_second = sum((b if won == 1 else c) == second for _, b, c, won in part)
        for_first = sum((b if won == 1 else c) == first for _, b, c, won in part)
        second_wins[number] = (1 + np.sign(for_second - for_first)) / 2
        references.append(tuple(reference for reference, *_ in part))
    return second_wins, references


def _load(path: Path) -> dict[str, Any]:
    with imports_of("evaluate"):
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

    try:
        return loadmat(path)
    except (OSError, ValueError, NotImplementedError, MatReadError, TypeError) as error:
        refuse_layout(path, PASCAL_50S, f"it cannot be read ({error})", "a MATLAB file, version 5")


def _fields(record: Any) -> list[Any]:
    """The fields of a row of a structure, or the cells of a cell array."""
    return list(record.ravel()) if isinstance(record, np.ndarray) else list(record)


def _text(value: Any) -> str:
    """The text in a field, out of the arrays that MATLAB wraps it in."""
    while isinstance(value, np.ndarray):
        if value.size != 1:
            raise ValueError(f"{value.size} values where one text should be")
        value = value.ravel()[0]
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a text should be")
    return " ".join(value.split())
