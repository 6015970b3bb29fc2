"""What a result shows and how it is passed on."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

from descscore.errors import OptionError
from descscore.results import Problem, Scores, concatenate


def result(scores: list[float], **changes: object) -> Scores:
    """Scores of one image's texts; NaN stands for a text that failed."""
    count = len(scores)
    whole = Scores(
        scores=np.array(scores, np.float32),
        truncated=np.arange(count) == 1,
        n_tokens=np.arange(count, dtype=np.int32) + 5,
        image_index=np.zeros(count, int),
        text_index=np.arange(count),
        errors=tuple("text is bad" if math.isnan(score) else None for score in scores),
        signature="descscore:1|scale:clipscore",
    )
    return replace(whole, **changes)


NAN = float("nan")


def test_the_mean_is_over_pairs_that_have_a_score() -> None:
    assert result([0.5, NAN, 1.0]).mean == 0.75
    assert math.isnan(result([NAN, NAN]).mean)
    # Summed in float32, this many scores would lose their last digits.
    assert result([0.1] * 1_000_000).mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_lengths_and_failures_are_counted() -> None:
    scores = result([0.5, NAN, 1.0])
    assert (len(scores), scores.failed) == (3, 1)


def test_records_are_plain_values_that_json_takes() -> None:
    assert json.loads(json.dumps(result([0.5, NAN]).to_records(), allow_nan=False)) == [
        {
            "image_index": 0,
            "text_index": 0,
            "score": 0.5,
            "truncated": False,
            "n_tokens": 5,
            "error": None,
        },
        {
            "image_index": 0,
            "text_index": 1,
            "score": None,
            "truncated": True,
            "n_tokens": 6,
            "error": "text is bad",
        },
    ]


def test_reference_scores_and_purpose_join_the_records_when_there_are_any() -> None:
    part = np.array([0.25], np.float32)
    full = result([0.5], image_scores=part, reference_scores=part, purpose=part)
    record = full.to_records()[0]
    assert [record[name] for name in ("image_score", "reference_score", "purpose")] == [0.25] * 3


def test_pandas_has_one_row_a_pair_with_types() -> None:
    frame = result([0.5, NAN]).to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.tolist() == [
        "image_index",
        "text_index",
        "score",
        "truncated",
        "n_tokens",
        "error",
    ]
    assert frame.score.dtype == np.float32
    assert frame.truncated.dtype == bool
    assert frame.score.isna().tolist() == [False, True]


def test_a_pairwise_result_is_flattened_row_by_row() -> None:
    image, text = np.divmod(np.arange(6), 3)
    square = result([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], image_index=image, text_index=text)
    parts = ("scores", "truncated", "n_tokens", "image_index", "text_index")
    square = replace(square, **{name: getattr(square, name).reshape(2, 3) for name in parts})
    records = square.to_records()
    assert [(one["image_index"], one["text_index"]) for one in records][3] == (1, 0)
    assert [round(one["score"], 1) for one in records] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert repr(square).startswith("Scores(2 x 3 pairs, mean 0.2500")


def test_repr_reads_well() -> None:
    assert repr(result([0.5, NAN, 1.0])) == (
        "Scores(3 pairs, mean 0.7500, 1 truncated, 1 failed)\n"
        "[0.5 nan 1. ]\n"
        "descscore:1|scale:clipscore"
    )
    assert repr(result([0.5])).startswith("Scores(1 pair, mean 0.5000)\n[0.5]\n")
    assert len(repr(result([0.123456] * 10_000))) < 300


def test_a_result_cannot_be_altered() -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(result([0.5]), "signature", "other")  # noqa: B010


def test_joined_results_keep_their_order() -> None:
    joined = concatenate([result([0.1, 0.2]), result([NAN]), result([0.3])])
    np.testing.assert_array_equal(joined.scores, np.array([0.1, 0.2, NAN, 0.3], np.float32))
    assert joined.errors == (None, None, "text is bad", None)
    assert joined.truncated.tolist() == [False, True, False, False]
    assert joined.purpose is None


def test_results_with_different_signatures_are_not_joined() -> None:
    with_references = result(
        [0.5],
        reference_scores=np.array([0.5], np.float32),
        signature="descscore:1|scale:clipscore|references:yes",
    )
    with pytest.raises(OptionError, match="references 'yes' and references 'none' are not"):
        concatenate([with_references, result([0.5])])
    with pytest.raises(OptionError, match="scale 'clipscore' and scale 'cosine'"):
        concatenate([result([0.5]), result([0.5], signature="descscore:1|scale:cosine")])
    assert concatenate([with_references] * 2).reference_scores.tolist() == [0.5, 0.5]


def test_a_problem_is_its_sentence_and_its_parts() -> None:
    problem = Problem("reference 1 of image", 3, "is empty")
    assert problem == "reference 1 of image 3 is empty"
    assert problem.unplaced == "reference 1 is empty"
    again = pickle.loads(pickle.dumps(problem))
    assert (again, again.kind, again.position, again.reason) == (
        problem,
        "reference 1 of image",
        3,
        "is empty",
    )
