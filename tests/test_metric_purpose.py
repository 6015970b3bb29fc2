"""Purpose by a reader of its own: beside the score of any CLIP, or added to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descscore import DescriptionScore
from descscore.errors import OptionError, TextError
from tests.checkpoints_made import lora_checkpoint
from tests.conftest import ROOT

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = ["a dog on the beach", "Cat in 1907.", "Two clocks!", "an old red sofa in the rain"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Path:
    """A checkpoint with a subspace whose purposes differ clearly between texts."""
    return lora_checkpoint(tmp_path_factory.mktemp("reader"), tiny_clip, rank=4, subspace=5)


@pytest.fixture(scope="module")
def metric(tiny_clip: Path, reader: Path) -> DescriptionScore:
    return DescriptionScore(tiny_clip, purpose=reader)


def test_scores_stay_and_purposes_are_the_readers(
    tiny_clip: Path, reader: Path, metric: DescriptionScore
) -> None:
    found = metric(PHOTOS, TEXTS)
    np.testing.assert_array_equal(found.scores, DescriptionScore(tiny_clip)(PHOTOS, TEXTS).scores)
    expected = DescriptionScore(reader).purpose(TEXTS)
    np.testing.assert_allclose(found.purpose, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(metric.purpose(TEXTS), expected, rtol=0, atol=1e-6)
    assert np.ptp(expected) > 0.01


def test_the_signature_names_the_reader(metric: DescriptionScore, reader: Path) -> None:
    identity = DescriptionScore(reader).checkpoint.identity
    assert metric.signature.endswith(f"|purpose:{identity}")
    weighted = DescriptionScore(reader, purpose_weight=0.02)
    assert weighted.signature.endswith("|purpose_weight:0.02")


def test_each_distinct_text_is_read_once(metric: DescriptionScore) -> None:
    reading = metric._reader.pipeline.encoder.towers.model.text_model.embeddings
    rows: list[int] = []
    handle = reading.register_forward_pre_hook(
        lambda _module, _arguments, options: rows.append(len(options["input_ids"])),
        with_kwargs=True,
    )
    metric([PHOTOS[i % 4] for i in range(12)], [TEXTS[i % 3] for i in range(12)])
    # References are not read.
    metric(PHOTOS[0], TEXTS[0], references=TEXTS[1:])
    handle.remove()
    assert rows == [3, 1]


def test_the_reader_reads_no_prefix(tiny_clip: Path, reader: Path) -> None:
    prefixed = DescriptionScore(tiny_clip, purpose=reader, prefix="A photo depicts ")
    expected = DescriptionScore(reader).purpose(TEXTS[0])
    np.testing.assert_allclose(prefixed(PHOTOS[0], TEXTS[0]).purpose, expected, atol=1e-6)


def test_a_reader_stands_in_for_the_checkpoints_own_purpose(
    tmp_path: Path, tiny_clip: Path, reader: Path
) -> None:
    own = lora_checkpoint(tmp_path, tiny_clip, rank=2, subspace=3, seed=7)
    found = DescriptionScore(own, purpose=reader)(PHOTOS, TEXTS).purpose
    np.testing.assert_allclose(found, DescriptionScore(reader).purpose(TEXTS), rtol=0, atol=1e-6)
    assert np.abs(found - DescriptionScore(own).purpose(TEXTS)).max() > 1e-3


@pytest.mark.parametrize("weight", [0.02, -1.0, 0])
def test_a_weight_adds_the_clipped_logit_and_keeps_both_parts(
    tiny_clip: Path, reader: Path, metric: DescriptionScore, weight: float
) -> None:
    found = DescriptionScore(tiny_clip, purpose=reader, purpose_weight=weight)(
        PHOTOS, TEXTS, pairwise=True
    )
    plain = metric(PHOTOS, TEXTS, pairwise=True)
    logits = np.log(plain.purpose / (1 - plain.purpose)).clip(-4, 4)
    np.testing.assert_allclose(found.scores, plain.scores + weight * logits, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.image_scores, plain.scores)
    np.testing.assert_array_equal(found.purpose, plain.purpose)
    assert {"image_score", "purpose", "score"} <= found.to_records()[0].keys()


def test_no_text_wins_on_purpose_alone(tiny_clip: Path, reader: Path) -> None:
    metric = DescriptionScore(tiny_clip, purpose=reader, purpose_weight=1)
    with torch.no_grad():
        metric._reader.purpose.bias.fill_(1e4)  # P is 1 in float32, its logit infinite
    found = metric(PHOTOS, TEXTS)
    np.testing.assert_allclose(found.scores - found.image_scores, 4, atol=1e-5)


def test_a_weight_and_references_are_refused_together(tiny_clip: Path, reader: Path) -> None:
    weighted = DescriptionScore(tiny_clip, purpose=reader, purpose_weight=0.02)
    with pytest.raises(OptionError, match=r"references are given and purpose_weight is 0\.02"):
        weighted(PHOTOS[0], "a", ["b"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"purpose_weight": 0.1}, "has no purpose subspace; name a reader, such as purpose='mini'"),
        (
            {"purpose_weight": float("nan"), "purpose": "mini"},
            "purpose_weight is nan; give a finit",
        ),
        ({"purpose_weight": "0.1", "purpose": "mini"}, "purpose_weight is '0.1'; give a finite"),
        ({"purpose": "mini/base"}, "purpose is 'mini/base', a checkpoint without a purpose subsp"),
        ({"purpose": "mini", "readouts": ["subspace"]}, "readouts has ['subspace']"),
    ],
)
def test_what_has_no_purpose_is_refused(
    tiny_clip: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        DescriptionScore(tiny_clip, **options)
    assert message in str(caught.value)


def test_failures_are_recorded_and_all_others_read(tiny_clip: Path, reader: Path) -> None:
    metric = DescriptionScore(tiny_clip, purpose=reader, on_error="record")
    found = metric(["missing.png", *PHOTOS[:2]], ["cat", " ", "dog"])
    assert [error and error.kind for error in found.errors] == ["image", "text", None]
    assert np.isnan(found.purpose).tolist() == [True, True, False]
    np.testing.assert_allclose(found.purpose[2], DescriptionScore(reader).purpose("dog"), atol=1e-6)
    assert np.isnan(metric([PHOTOS[0]], [""]).purpose).all()


def test_a_text_that_only_the_reader_refuses_fails_by_name(tiny_clip: Path, reader: Path) -> None:
    metric = DescriptionScore(tiny_clip, purpose=reader, long_text="error")
    object.__setattr__(metric._reader.pipeline.transform, "window", 6)
    with pytest.raises(TextError, match=r"^text 1 .*the window is 6"):
        metric(PHOTOS[:2], ["cat", "one two three four five six"])


def test_what_the_reader_cuts_is_said_to_be_truncated(tiny_clip: Path, reader: Path) -> None:
    metric = DescriptionScore(tiny_clip, purpose=reader)
    object.__setattr__(metric._reader.pipeline.transform, "window", 6)
    found = metric(PHOTOS[:2], ["cat", "one two three four five six seven"])
    assert found.truncated.tolist() == [False, True]


def test_explaining_purpose_reads_the_readers_tokens(
    metric: DescriptionScore, reader: Path
) -> None:
    expected = DescriptionScore(reader).explain(None, TEXTS[0], target="purpose", n_steps=4)
    for image in (None, PHOTOS[0]):
        found = metric.explain(image, TEXTS[0], target="purpose", n_steps=4)
        np.testing.assert_allclose(found.of_words.total, expected.of_words.total, atol=1e-5)
        assert found.purpose == pytest.approx(expected.purpose, abs=1e-6)
        assert (found.score is None) == (image is None)
    assert metric.explain(PHOTOS[0], TEXTS[0], n_steps=4).of_words.through is None
