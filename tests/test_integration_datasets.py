"""A metric in `Dataset.map`: cached between processes, streamed, and parquet in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from descscore import DescriptionScore
from descscore.tables.scoring import score_table
from tests.conftest import ROOT

PHOTOS = sorted(map(str, (ROOT / "examples" / "photos").glob("*.jpg")))
TEXTS = ["An astronaut.", "a cat", "a cup of espresso", "two men in a boat"]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A data set of the Hub's usual form: images in the file, as structs of bytes and path."""
    made = datasets.Dataset.from_dict({"image": PHOTOS, "text": TEXTS})
    path = tmp_path / "pairs.parquet"
    made.cast_column("image", datasets.Image()).to_parquet(path)
    return path


def load(parquet: Path, **options: Any) -> Any:
    where = str(parquet.parent / "cache")
    return datasets.load_dataset(
        "parquet", data_files=str(parquet), split="train", cache_dir=where, **options
    )


def adding_scores(metric: DescriptionScore) -> Any:
    def add_scores(batch: Any) -> Any:
        return {"score": metric(batch["image"], batch["text"]).scores}

    return add_scores


def test_a_map_with_an_equal_metric_comes_from_the_cache(
    tiny_clip: Path, parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(parquet).map(adding_scores(DescriptionScore(tiny_clip)), batched=True)
    other = load(parquet).map(adding_scores(DescriptionScore(tiny_clip, prefix="a")), batched=True)
    assert first["score"][:] != other["score"][:]

    def refuse(*_: object) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr(DescriptionScore, "__call__", refuse)
    again = load(parquet).map(adding_scores(DescriptionScore(tiny_clip)), batched=True)
    assert again["score"][:] == first["score"][:]
    assert again.cache_files == first.cache_files


@pytest.mark.parametrize("decode", [True, False])
def test_streamed_rows_get_the_scores_of_a_call(
    tiny_clip: Path, parquet: Path, decode: bool
) -> None:
    metric = DescriptionScore(tiny_clip)
    rows = load(parquet, streaming=True).cast_column("image", datasets.Image(decode=decode))
    scored = list(rows.map(adding_scores(metric), batched=True, batch_size=3))
    expected = metric(PHOTOS, TEXTS).scores
    np.testing.assert_allclose([row["score"] for row in scored], expected, atol=1e-6)


def test_parquet_goes_from_datasets_to_the_table_and_back(
    tiny_clip: Path, parquet: Path, tmp_path: Path
) -> None:
    metric = DescriptionScore(tiny_clip, on_error="record")
    score_table(lambda: metric, parquet, tmp_path / "scored.parquet")
    back = load(tmp_path / "scored.parquet")
    np.testing.assert_allclose(back["score"][:], metric(PHOTOS, TEXTS).scores, atol=1e-6)
    assert back[0]["image"].size == (512, 512)
    back.map(adding_scores(metric), batched=True).to_parquet(tmp_path / "again.parquet")
    assert pq.read_table(tmp_path / "again.parquet")["score"].to_pylist() == pytest.approx(
        back["score"][:], abs=1e-6
    )
