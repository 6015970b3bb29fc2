"""`DescriptionScore.explain`: what it returns, in which order, and how it fails."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from descscore import DescriptionScore, Explanation
from descscore.datasets.concadia import read_concadia
from descscore.errors import (
    CheckpointError,
    ImageError,
    InputError,
    OptionError,
    PairingError,
    TextError,
)
from descscore.explain.explanation import ExplainOptions
from descscore.tables.explaining import explain_table
from tests.checkpoints_made import lora_checkpoint
from tests.conftest import ROOT

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = ["A smiling Astronaut, in an orange suit!", "Cat.", "A cup of coffee\non a WOODEN table"]
PARTS = ("total", "through", "around")
FEW: dict[str, Any] = {"n_steps": 4}


@pytest.fixture(scope="module")
def adapted(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a subspace."""
    return lora_checkpoint(tmp_path_factory.mktemp("adapted") / "checkpoint", tiny_clip)


@pytest.fixture(scope="module")
def metric(adapted: Path) -> DescriptionScore:
    return DescriptionScore(adapted)


@pytest.fixture(scope="module")
def plain(tiny_clip: Path) -> DescriptionScore:
    """Without a subspace."""
    return DescriptionScore(tiny_clip)


def same(one: Explanation, other: Explanation) -> None:
    assert (one.text, one.tokens, one.words) == (other.text, other.tokens, other.words)
    for part in PARTS:
        np.testing.assert_allclose(
            getattr(one.of_tokens, part), getattr(other.of_tokens, part), atol=1e-5
        )
        np.testing.assert_allclose(
            getattr(one.of_words, part), getattr(other.of_words, part), atol=1e-5
        )


# What is returned


def test_one_pair_gives_one_explanation(metric: DescriptionScore) -> None:
    found = metric.explain(PHOTOS[0], TEXTS[0], **FEW)
    assert isinstance(found, Explanation)
    assert found.text == TEXTS[0]
    assert [word.text for word in found.words] == [
        *["A", "smiling", "Astronaut", ",", "in", "an", "orange", "suit", "!"]
    ]
    assert (found.target, found.baseline, found.n_steps) == ("score", "padding", 4)
    assert found.error is None
    assert found.score == pytest.approx(float(metric(PHOTOS[0], TEXTS[0]).scores[0]), abs=1e-6)
    assert found.purpose == pytest.approx(float(metric.purpose(TEXTS[0])[0]), abs=1e-6)


def test_value_is_the_logit_score(adapted: Path) -> None:
    cosine = DescriptionScore(adapted, scale="cosine")
    [expected] = cosine(PHOTOS[0], TEXTS[0]).scores
    scale = float(cosine._pipeline.encoder.towers.model.logit_scale.exp())
    found = cosine.explain(PHOTOS[0], TEXTS[0], **FEW)
    assert found.value == pytest.approx(scale * expected, abs=1e-4)
    assert found.score == pytest.approx(expected, abs=1e-6)


def test_lists_give_explanations_in_the_order_of_the_input(metric: DescriptionScore) -> None:
    found = metric.explain(PHOTOS[:3], TEXTS, **FEW)
    for image, text, explanation in zip(PHOTOS, TEXTS, found, strict=False):
        same(explanation, metric.explain(image, text, **FEW))
    backwards = metric.explain(PHOTOS[2::-1], TEXTS[::-1], **FEW)
    for one, other in zip(found, backwards[::-1], strict=True):
        same(one, other)


def test_one_image_with_many_texts_and_lists_of_texts(metric: DescriptionScore) -> None:
    many = metric.explain(PHOTOS[0], TEXTS, **FEW)
    nested = metric.explain(PHOTOS[:2], [TEXTS[:2], TEXTS[2:]], **FEW)
    assert [one.text for one in many] == [one.text for one in nested] == TEXTS
    same(many[1], nested[1])
    assert isinstance(metric.explain(PHOTOS[:1], TEXTS[0], **FEW), list)


def test_an_image_is_encoded_once(metric: DescriptionScore, monkeypatch) -> None:
    counts: list[int] = []
    encode = metric._pipeline.encoder.images
    monkeypatch.setattr(
        metric._pipeline.encoder,
        "images",
        lambda pixels: counts.append(len(pixels)) or encode(pixels),
    )
    metric.explain([PHOTOS[0], PHOTOS[1], PHOTOS[0]], TEXTS, **FEW)
    assert counts == [2]


def test_words_are_sums_over_their_tokens(metric: DescriptionScore) -> None:
    found = metric.explain(PHOTOS[0], "Cafe\u0301 👩 dog's", **FEW)
    assert len(found.tokens) > len(found.words) == 3
    for part in PARTS:
        tokens, words = getattr(found.of_tokens, part), getattr(found.of_words, part)
        assert len(tokens) == len(found.tokens)
        assert words.sum() == pytest.approx(tokens.sum(), abs=1e-5)
        in_first = [span.end <= found.words[0].end for span in found.tokens]
        assert words[0] == pytest.approx(tokens[in_first].sum(), abs=1e-5)


def test_parts_make_the_total(metric: DescriptionScore) -> None:
    found = metric.explain(PHOTOS[0], TEXTS[0], **FEW)
    for attributions in (found.of_tokens, found.of_words):
        np.testing.assert_allclose(
            attributions.through + attributions.around, attributions.total, atol=1e-5
        )


def test_completeness_error_is_what_is_missing(metric: DescriptionScore) -> None:
    rough, fine = (metric.explain(PHOTOS[0], TEXTS[0], n_steps=steps) for steps in (1, 60))
    for found in (rough, fine):
        missing = found.of_tokens.total.sum() - (found.value - found.baseline_value)
        assert found.completeness_error == pytest.approx(missing, abs=1e-5)
        share = abs(missing / (found.value - found.baseline_value))
        assert found.relative_error == pytest.approx(share, abs=1e-5)
    assert fine.relative_error < 1e-3 < rough.relative_error


def test_prefix_is_part_of_the_text(adapted: Path) -> None:
    found = DescriptionScore(adapted, prefix="A photo depicts ").explain(PHOTOS[0], "Cat.", **FEW)
    assert found.text == "A photo depicts Cat."
    assert [word.text for word in found.words] == ["A", "photo", "depicts", "Cat", "."]
    same(found, DescriptionScore(adapted).explain(PHOTOS[0], "A photo depicts Cat.", **FEW))


def test_the_probe_is_explained_with_and_without_an_image(metric: DescriptionScore) -> None:
    without = metric.explain(None, TEXTS[0], target="purpose", **FEW)
    beside = metric.explain(PHOTOS[0], TEXTS[0], target="purpose", **FEW)
    same(without, beside)
    assert (without.image, without.score) == (None, None)
    assert beside.image is not None
    assert beside.score == pytest.approx(float(metric(PHOTOS[0], TEXTS[0]).scores[0]), abs=1e-6)
    assert without.purpose == pytest.approx(1 / (1 + np.exp(-without.value)), abs=1e-5)
    assert (without.of_tokens.around == 0).all()
    several = metric.explain(None, TEXTS, target="purpose", **FEW)
    same(several[0], without)


def test_without_a_subspace_there_is_the_total_alone(plain: DescriptionScore) -> None:
    found = plain.explain(PHOTOS[0], TEXTS[0], **FEW)
    for attributions in (found.of_tokens, found.of_words):
        assert attributions.through is attributions.around is None
    assert found.purpose is None


def test_image_is_upright_and_small(metric: DescriptionScore) -> None:
    wide = Image.new("RGB", (1024, 256), "white")
    wide.paste("red", (0, 0, 512, 256))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    buffer = io.BytesIO()
    wide.save(buffer, "PNG", exif=exif)
    found = metric.explain(buffer.getvalue(), "cat", **FEW)
    kept = Image.open(io.BytesIO(found.image))
    assert (kept.format, kept.size) == ("JPEG", (128, 512))
    top, bottom = (kept.getpixel((64, y)) for y in (20, 490))
    assert top[1] < 30
    assert bottom[1] > 220
    small = metric.explain(Image.new("RGB", (40, 30)), "cat", **FEW)
    assert Image.open(io.BytesIO(small.image)).size == (40, 30)


def test_signature_names_what_attributions_depend_on(metric: DescriptionScore) -> None:
    found = metric.explain(PHOTOS[0], "cat", baseline="zero", **FEW)
    assert found.signature == (f"{metric.signature}|explained:score|n_steps:4|baseline:zero")


def test_to_dict_is_json(metric: DescriptionScore) -> None:
    found = metric.explain(PHOTOS[0], TEXTS[0], **FEW)
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["words"][2] == {"text": "Astronaut", "start": 10, "end": 19}
    assert read["of_words"]["through"] == pytest.approx(found.of_words.through.tolist())
    assert read["relative_error"] == pytest.approx(found.relative_error)
    assert "Explanation(target='score'" in repr(found)


def test_half_precision_metrics_are_explained_in_float32(adapted: Path) -> None:
    half = DescriptionScore(adapted, dtype="bfloat16").explain(PHOTOS[0], TEXTS[0], n_steps=60)
    # Sums of bfloat16 would be off by some 1%.
    assert half.relative_error < 1e-4
    full = DescriptionScore(adapted).explain(PHOTOS[0], TEXTS[0], n_steps=60)
    assert half.value == pytest.approx(full.value, abs=0.5)


def test_padding_and_company_change_nothing_for_mini() -> None:
    metric = DescriptionScore("mini")
    long = "An " + "old " * 40 + "dog."
    together = metric.explain(PHOTOS[0], [TEXTS[0], long], n_steps=8)
    same(together[0], metric.explain(PHOTOS[0], TEXTS[0], n_steps=8))
    same(together[1], metric.explain(PHOTOS[0], long, n_steps=8))


def test_completeness_is_within_one_percent_on_photos_by_default(shared_data: Path) -> None:
    examples = read_concadia(shared_data / "concadia-val200")[:8]
    found = DescriptionScore("mini").explain(
        [example.image for example in examples], [example.description for example in examples]
    )
    assert max(one.relative_error for one in found) < 0.01


# What goes wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "scores"}, "did you mean 'score'"),
        ({"baseline": "mask"}, "choose one of 'padding', 'zero'"),
        ({"n_steps": 0}, "at least 1"),
        ({"n_steps": 2.0}, "at least 1"),
    ],
)
def test_wrong_options_are_named(metric: DescriptionScore, options, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        metric.explain(PHOTOS[0], "cat", **options)


def test_a_purpose_needs_a_subspace(plain: DescriptionScore) -> None:
    with pytest.raises(OptionError, match=r"has no purpose subspace; .* such as 'mini'"):
        plain.explain(PHOTOS[0], "cat", target="purpose")


def test_a_score_needs_an_image(metric: DescriptionScore) -> None:
    with pytest.raises(OptionError, match="image is None"):
        metric.explain(None, "cat")


def test_numbers_that_do_not_fit_are_refused(metric: DescriptionScore) -> None:
    with pytest.raises(PairingError, match="2 images and 3 texts"):
        metric.explain(PHOTOS[:2], TEXTS)
    with pytest.raises(PairingError, match="texts is empty"):
        metric.explain(None, [], target="purpose")


BAD_TEXTS = {
    "word " * 100: "text 1 .* has 402 tokens and the window is 77; .* shorten the text",
    "  ": "text 1 is empty",
    "\u200b": "text 1 is empty",
    3: "text 1 is 3, not a string",
}


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize("target", ["score", "purpose"])
def test_bad_texts_are_named(metric: DescriptionScore, text, target: str) -> None:
    images = PHOTOS[:2] if target == "score" else None
    message = BAD_TEXTS[text].replace("|", r"\|")
    with pytest.raises(TextError, match=message):
        metric.explain(images, ["cat", text], target=target, **FEW)


def test_long_texts_are_refused_whatever_the_metric_does_with_them(adapted: Path) -> None:
    for policy in ("truncate", "sentences", "error"):
        metric = DescriptionScore(adapted, long_text=policy)
        with pytest.raises(TextError, match="shorten the text to explain it"):
            metric.explain(PHOTOS[0], "word. " * 100)


def test_a_text_without_tokens_is_named(metric: DescriptionScore, monkeypatch) -> None:
    transform = metric._pipeline.transform
    nothing = transform([""])
    monkeypatch.setattr(type(transform), "__call__", lambda _self, texts: nothing * len(texts))
    with pytest.raises(TextError, match=r"text 0 .* has no token that could be explained"):
        metric.explain(PHOTOS[0], ".", **FEW)


def test_bad_images_are_named(metric: DescriptionScore) -> None:
    with pytest.raises(ImageError, match=r"image 1 .*does not exist"):
        metric.explain([PHOTOS[0], "missing.jpg"], TEXTS[:2], **FEW)


def test_a_purpose_is_explained_whether_or_not_its_image_can_be_read(adapted: Path) -> None:
    metric = DescriptionScore(adapted, on_error="record")
    [found] = metric.explain(["missing.jpg"], ["cat"], target="purpose", **FEW)
    same(found, metric.explain(None, "cat", target="purpose", **FEW))
    assert found.error is None
    assert found.image is None
    assert found.to_dict()["score"] is None
    assert found.purpose == pytest.approx(metric.purpose("cat")[0])
    with pytest.raises(ImageError, match=r"image 0 .*does not exist"):
        DescriptionScore(adapted).explain("missing.jpg", "cat", target="purpose", **FEW)


def test_a_table_of_purposes_needs_no_images(adapted: Path, tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(f"image,text\nlost.png,cat\n,dog\n{PHOTOS[0]},A red sofa.\n{PHOTOS[0]},\n")
    summary = explain_table(
        lambda: DescriptionScore(adapted, on_error="record"),
        table,
        tmp_path / "out",
        how=ExplainOptions(target="purpose", **FEW),
    )
    assert (summary.explained, summary.failed) == (3, 1)
    lines = (tmp_path / "out" / "explanations.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] is None for line in lines[:3]] == [True, True, False]


def test_failures_are_recorded_and_all_else_explained(adapted: Path) -> None:
    target = "score"
    metric = DescriptionScore(adapted, on_error="record")
    images = [PHOTOS[0], "missing.jpg", PHOTOS[1], PHOTOS[2]]
    texts = ["cat", "dog", "word " * 100, "a red sofa"]
    found = metric.explain(images, texts, target=target, **FEW)
    assert [one.error is None for one in found] == [True, False, False, True]
    assert "image 1" in str(found[1].error)
    assert "text 2" in str(found[2].error)
    for failed in found[1:3]:
        assert failed.tokens == failed.words == ()
        assert np.isnan([failed.value, failed.relative_error]).all()
        assert failed.score is failed.purpose is None
        assert failed.to_dict()["value"] is None
        assert len(failed.of_words.total) == 0
    same(found[3], metric.explain(PHOTOS[2], "a red sofa", target=target, **FEW))
    assert found[1].image is None
    assert found[2].image is not None
    all_failed = metric.explain(["missing.jpg"], ["cat"], target=target, **FEW)
    assert all_failed[0].error is not None


def test_texts_alone_fail_one_by_one(adapted: Path) -> None:
    metric = DescriptionScore(adapted, on_error="record")
    found = metric.explain(None, ["cat", "", "cat"], target="purpose", **FEW)
    assert [one.error is None for one in found] == [True, False, True]
    assert str(found[1].error).startswith("text 1 is empty")


def test_weights_that_overflow_in_the_text_tower_are_no_silent_nan(
    adapted: Path,
) -> None:
    metric = DescriptionScore(adapted)
    for block in metric._pipeline.encoder.towers.model.text_model.encoder.layers:
        block.mlp.fc2.weight.fill_(1e38)
    with pytest.raises(InputError, match="text 0 has no finite embedding"):
        metric.explain(PHOTOS[0], "cat", **FEW)
    with pytest.raises(InputError, match="text 0 has no finite embedding"):
        metric.explain(None, "cat", target="purpose", **FEW)


def test_a_tokeniser_without_offsets_is_refused(adapted: Path, monkeypatch) -> None:
    metric = DescriptionScore(adapted)
    monkeypatch.setattr(type(metric._pipeline.transform.tokenizer), "is_fast", False)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        metric.explain(PHOTOS[0], "cat")


def test_a_tokeniser_without_padding_needs_another_baseline(adapted: Path) -> None:
    metric = DescriptionScore(adapted)
    metric._pipeline.transform.tokenizer.pad_token = None
    with pytest.raises(OptionError, match="choose baseline='zero'"):
        metric.explain(PHOTOS[0], "cat", **FEW)
    assert metric.explain(PHOTOS[0], "cat", baseline="zero", **FEW).error is None
