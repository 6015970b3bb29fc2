"""A table and two checkpoints -> the two scores of each row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from descscore.datasets.failures import Failure
from descscore.evaluate.scored_pairs import ScoredPairs, item_name, row_key, unlike_models
from descscore.signature import signature_parts
from descscore.tables.formats import open_table
from descscore.tables.scoring import ROWS_IN_CHUNK, score_rows
from descscore.tables.selection import select

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from descscore.metric import DescriptionScore


def score_twice(
    load_metrics: Sequence[Callable[[], DescriptionScore]],
    pairs: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
    text_column: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScoredPairs:
    """Score a table with one checkpoint, then with another.

    Args:
        load_metrics: load the two metrics, with `on_error="record"`; the second is called after the
            first has been released, so that only one is in memory.
        pairs: the table (csv, tsv, jsonl, parquet, COCO results, CLIPScore candidates).
        images: the folder that image paths are relative to; by default the table's.
        image_column: the column of images; by default the format's.
        text_column: the column of texts; by default the format's.
        progress: called after each part with the number of rows done and in total, for both
            checkpoints together.

    Raises:
        TableError: the table cannot be read.
        OptionError: there is no folder `images`.
    """
    table = open_table(pairs)
    image_column = image_column or table.image_column
    text_column = text_column or table.text_column
    selection = select(table, image=image_column, texts=[text_column], images=images)
    scores = []
    signatures: list[str] = []
    failed: dict[int, str] = {}
    done = 0
    for load_metric in load_metrics:
        metric = load_metric()
        signatures.append(metric.signature)
        of_metric: list[float] = []
        for chunk in table.chunks(ROWS_IN_CHUNK):
            for row in score_rows(metric, chunk.rows, selection):
                if row.error is not None:
                    failed.setdefault(len(of_metric), row.error)
                of_metric.append(math.nan if row.score is None else row.score)
            done += len(chunk.rows)
            if progress is not None:
                progress(done, len(load_metrics) * table.n_rows)
        del metric  # the next one loads once this one is gone
        scores.append(np.array(of_metric))
    items, texts, of_image = [], [], []
    for number, row in enumerate(table.rows(), start=1):
        image = row.values.get(image_column)
        items.append(item_name(number, image))
        texts.append(row.values.get(text_column))
        of_image.append(row_key(row.values, [image_column]))
    kept = [row for row in range(len(items)) if row not in failed]
    return ScoredPairs(
        items=[items[row] for row in kept],
        texts=[str(texts[row]) for row in kept],
        clusters=[of_image[row] for row in kept],
        a=scores[0][kept],
        b=scores[1][kept],
        missing=[Failure(item=items[row], error=failed[row]) for row in sorted(failed)],
        notes=unlike_models(*map(signature_parts, signatures)),
    )
