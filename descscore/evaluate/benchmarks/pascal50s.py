"""Pascal-50S (Vedantam et al. 2015): which of two captions is more like 48 others of the image?

Two MATLAB files of `pyCIDErConsensus`:

- `pair_pascal.mat`: `new_input`, a structure of 4,000 pairs with three fields in this order, image
  name, first and second caption; `category`, for each pair 1 to 4: HC (two human captions, both
  right), HI (two human captions, one of another image), HM (human and machine), MM (two machines).
- `consensus_pascal.mat`: `triplets`, a structure of 48 rows a pair, in the pairs' order, with four
  fields in this order: a reference, the two captions B and C, and who won, 1 for B, -1 for C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.evaluate.benchmarks.annotation_files import Source
from descscore.evaluate.benchmarks.entries import Entries, draw, preferences
from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PASCAL_50S = Source(
    name="Pascal-50S",
    address="https://vrama91.github.io/cider/ (pyCIDErConsensus)",
    images="http://host.robots.ox.ac.uk/pascal/VOC/voc2010/ (JPEGImages)",
)
CATEGORIES = {1: "HC", 2: "HI", 3: "HM", 4: "MM"}
JUDGEMENTS = 48
DRAWN = 5
"""References that a pair is scored with, of the 48."""

_PAIRS = "new_input with 3 fields a pair and category, one number from 1 to 4 a pair"
_TRIPLETS = f"triplets with 4 fields a row, {JUDGEMENTS} rows a pair, the last field 1 or -1"


def pascal_50s(folder: Path, images: Path, *, references: bool) -> Entries:
    """4,000 pairs of captions; right is the one that most of the 48 judgements prefer.

    Args:
        folder: with `pair_pascal.mat` and `consensus_pascal.mat`.
        images: the folder of images.
        references: draw 5 of the 48 references for each pair.

    Raises:
        OptionError: a folder does not exist.
        TableError: a file or an image is missing, or laid out otherwise.
    """
    path = PASCAL_50S.find(folder, "pair_pascal.mat")
    with PASCAL_50S.laid_out(path, _PAIRS):
        content = _load(path)
        names, *captions = zip(*map(_fields, content["new_input"]), strict=True)
        categories = [CATEGORIES[int(number)] for number in np.ravel(content["category"])]
        pairs = list(zip(*captions, categories, strict=True))
    path = PASCAL_50S.find(folder, "consensus_pascal.mat")
    with PASCAL_50S.laid_out(path, _TRIPLETS):
        rows = list(map(_fields, _load(path)["triplets"]))
        if len(rows) != JUDGEMENTS * len(pairs):
            raise ValueError(f"{len(rows):,} triplets for {len(pairs):,} pairs")
        texts: list[str] = []
        drawn: list[Sequence[str]] = []
        tied = 0
        rng = np.random.default_rng(0)
        for number, (first, second, _) in enumerate(pairs):
            of_pair = rows[number * JUDGEMENTS : (number + 1) * JUDGEMENTS]
            votes = 0.0
            for _, b, c, won in of_pair:
                vote = float(won)
                if {b, c} != {first, second} or abs(vote) != 1:
                    raise ValueError(
                        f"a triplet of pair {number + 1} is about {b!r} and {c!r}, won by {won}, "
                        f"not about {first!r} and {second!r}"
                    )
                votes += vote if b == first else -vote
            tied += not votes
            # A tied pair counts half, as equal scores do: it is scored with one caption twice.
            texts += [first if votes >= 0 else second, second if votes > 0 else first]
            drawn += [draw([reference for reference, *_ in of_pair], DRAWN, rng)] * 2
    return Entries(
        benchmark="pascal-50s",
        measure=preferences,
        per_entry=2,
        images=PASCAL_50S.find_images(images, [name for name in names for _ in range(2)]),
        texts=texts,
        references=drawn if references else None,
        truth=np.array(categories),
        notes=(f"ties count half, of scores and in the {tied:,} pairs whose judgements are tied",),
    )


def _load(path: Path) -> dict[str, Any]:
    with imports_of("evaluate"):
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, simplify_cells=True)
    except (OSError, ValueError, NotImplementedError, MatReadError, TypeError) as error:
        fault = f"it cannot be read ({error})"
        PASCAL_50S.refuse(path, fault, "a MATLAB file, version 5")


def _fields(record: Any) -> list[str]:
    """The fields of a row of a structure, or the cells of a cell array, as texts."""
    values = record.values() if isinstance(record, dict) else record
    return [" ".join(str(np.ravel(value)[0]).split()) for value in values]
