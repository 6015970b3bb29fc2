"""Preference with lengths and relevance, of Concadia and of tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from descscore import DescriptionScore
from descscore.datasets.described_images import DescribedImage, read_described_images
from descscore.datasets.failures import Failure
from descscore.datasets.splits import rows_by_hash
from descscore.errors import InputError, PairingError, TableError
from descscore.evaluate.preference import evaluate_preference, preference_share, relevance_share

TEXTS = [("a long red square", "a flag"), ("blue", "the sea at noon"), ("tree", "wood")]


@pytest.fixture
def metric(tiny_clip: Path) -> DescriptionScore:
    return DescriptionScore(tiny_clip, scale="cosine", on_error="record", num_workers=0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["image,description,caption,split"]
    for i, (description, caption) in enumerate(TEXTS):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{description},{caption},{'test' if i else 'val'}")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_report_is_made_of_all_pairs(table: Path, metric: DescriptionScore):
    examples = read_described_images(table).examples
    found = evaluate_preference(metric, examples)
    images = [example.image for example in examples]
    scores = [metric(images, list(side), pairwise=True).scores for side in zip(*TEXTS, strict=True)]
    own = [np.diagonal(of_side) for of_side in scores]
    assert found.preference.value == pytest.approx(np.mean(own[0] > own[1]))
    assert found.relevance_of_descriptions.value == pytest.approx(relevance_share(scores[0]).value)
    assert found.relevance_of_captions.value == pytest.approx(relevance_share(scores[1]).value)
    # The second description is shorter in characters, the first longer, the third as long.
    assert found.description_shorter == preference_share(own[0][1:2], own[1][1:2])
    assert found.caption_shorter == preference_share(own[0][:1], own[1][:1])
    assert (found.equal_length, found.relevance_sampled, found.failed) == (1, False, ())


@pytest.mark.parametrize("compared", [1000, 2])
def test_each_image_and_each_text_is_encoded_once(
    table: Path, metric: DescriptionScore, monkeypatch: pytest.MonkeyPatch, compared: int
):
    encoder, encoded = metric._pipeline.encoder, {"images": 0, "texts": 0}

    def counted(kind: str, encode: Callable[[Any], Any], batch: Any) -> Any:
        encoded[kind] += len(batch)
        return encode(batch)

    for kind in encoded:
        monkeypatch.setattr(encoder, kind, partial(counted, kind, getattr(encoder, kind)))
    evaluate_preference(metric, read_described_images(table).examples, compared=compared)
    assert encoded == {"images": 3, "texts": 6}


def test_a_long_text_has_its_sentences_mean_score_for_relevance_too(table: Path, tiny_clip: Path):
    metric = DescriptionScore(tiny_clip, long_text="sentences", on_error="record", num_workers=0)
    long = "A red square. " * 40 + "The sea at noon."
    assert metric(table.parent / "0.png", long).n_tokens > metric._pipeline.transform.window
    examples = read_described_images(table).examples
    examples = [replace(examples[0], description=long), *examples[1:]]
    texts = [example.description for example in examples]
    scores = metric([example.image for example in examples], texts, pairwise=True).scores
    found = evaluate_preference(metric, examples)
    assert found.relevance_of_descriptions.value == pytest.approx(relevance_share(scores).value)
    assert found.truncated == 0


def test_a_sample_for_relevance_is_picked_by_hash(table: Path, metric: DescriptionScore):
    examples = read_described_images(table).examples
    ids = [example.id for example in examples]
    by_digest = sorted(range(3), key=lambda row: hashlib.sha256(ids[row].encode()).hexdigest())
    assert rows_by_hash(ids, 2) == sorted(by_digest[:2])
    assert rows_by_hash(ids, 9) == [0, 1, 2]
    found = evaluate_preference(metric, examples, compared=2)
    assert (found.relevance_of_captions.n, found.relevance_sampled) == (2, True)
    assert found.preference.n == 3


def test_rows_that_fail_are_left_out_and_named(table: Path, metric: DescriptionScore):
    with table.open("a") as file:
        file.write("gone.png,one,two,test\n0.png,,two,test\n")
    images = read_described_images(table)
    found = evaluate_preference(metric, images.examples, failed=images.failed)
    assert found.preference.n == 3
    assert [failure.item.rpartition("/")[2] for failure in found.failed] == ["row 5", "gone.png"]
    assert "does not exist" in found.failed[1].error
    only = [example for example in images.examples if example.id.endswith("gone.png")]
    with pytest.raises(InputError, match="no image can be scored"):
        evaluate_preference(metric, only)


def test_a_single_image_has_no_relevance(table: Path, metric: DescriptionScore):
    images = read_described_images(table, split="val")
    found = evaluate_preference(metric, images.examples)
    assert (found.relevance_of_descriptions, found.relevance_of_captions) == (None, None)
    assert found.preference.n == 1
    assert found.description_shorter is None


def test_a_constant_metric_prefers_nothing_and_its_ties_are_said(
    table: Path, metric: DescriptionScore
):
    examples = [
        DescribedImage(id=str(i), image=example.image, description="same", caption="same")
        for i, example in enumerate(read_described_images(table).examples)
    ]
    found = evaluate_preference(metric, examples)
    assert (found.preference.value, found.preference.ties) == (0, 3)
    assert (found.relevance_of_captions.value, found.relevance_of_captions.ties) == (0, 6)


def test_an_image_counts_once(table: Path, metric: DescriptionScore):
    examples = read_described_images(table).examples
    with pytest.raises(PairingError, match="occurs twice"):
        evaluate_preference(metric, [*examples, examples[0]])
    with pytest.raises(PairingError, match="no images"):
        evaluate_preference(metric, [])
    with table.open("a") as file:
        file.write("1.png,one,two,test\n")
    with pytest.raises(TableError, match=r"row 4 of .* is of the image '.*1.png'"):
        read_described_images(table)


def test_what_is_no_such_data_is_refused(table: Path, tmp_path: Path):
    with pytest.raises(TableError, match="has no split 'train', only test, val"):
        read_described_images(table, split="train")
    with pytest.raises(TableError, match="has no column 'alt'"):
        read_described_images(table, description_column="alt")
    with pytest.raises(TableError, match="is not Concadia's folder"):
        read_described_images(tmp_path)
    (tmp_path / "empty.csv").write_text("image,description,caption\n0.png,,\n")
    with pytest.raises(TableError, match="no row with an image and both texts"):
        read_described_images(tmp_path / "empty.csv")


@pytest.mark.parametrize("lacking", ["description", "caption"])
def test_an_image_of_concadia_that_lacks_a_text_is_left_out_and_named(
    table: Path, metric: DescriptionScore, lacking: str
):
    folder = table.parent
    (folder / "resized").mkdir()
    entries = []
    for i, (description, caption) in enumerate(TEXTS):
        (folder / f"{i}.png").rename(folder / "resized" / f"{i}.png")
        texts = {"description": {"raw": description}, "caption": {"raw": caption}}
        entries.append({"filename": f"{i}.png", "split": "val", **texts})
    entries[1][lacking] = {"raw": None}
    (folder / "wiki_split.json").write_text(json.dumps({"images": entries}))
    images = read_described_images(folder)
    assert images.failed == [Failure(item="1.png", error=f"has no {lacking}")]
    found = evaluate_preference(metric, images.examples, failed=images.failed)
    assert (found.preference.n, found.failed) == (2, tuple(images.failed))
    (folder / "wiki_split.json").write_text(json.dumps({"images": [entries[1]]}))
    with pytest.raises(TableError, match=f"no image with both texts: 1.png has no {lacking}"):
        read_described_images(folder)


def test_concadias_images_are_named_by_their_files(tmp_path: Path):
    entries = [
        {
            "filename": f"{i}.jpg",
            "description": {"raw": "A boat."},
            "caption": {"raw": "Regatta"},
            "split": split,
        }
        for i, split in enumerate(["val", "test", "test"])
    ]
    (tmp_path / "wiki_split.json").write_text(json.dumps({"images": entries}))
    found = read_described_images(tmp_path, split="test")
    assert [example.id for example in found.examples] == ["1.jpg", "2.jpg"]
    (tmp_path / "wiki_split.json").write_text(json.dumps({"images": [*entries, entries[0]]}))
    with pytest.raises(TableError, match=r"'0.jpg'"):
        read_described_images(tmp_path)
