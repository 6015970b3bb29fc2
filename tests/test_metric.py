"""DescriptionScore: its options, its checkpoint, its state and its signature."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch

from descscore import (
    CLIPSCORE_PREFIX,
    DemonstrationWarning,
    DescriptionScore,
)
from descscore.checkpoints import store
from descscore.checkpoints import store as store_module
from descscore.errors import CheckpointError, ImageError, OptionError, PairingError, TextError
from descscore.towers.device import choose_device
from tests.conftest import ROOT

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = ["a dog on the beach", "cat", "Two clocks!", "an old red sofa in the rain"]


# Options


@pytest.mark.parametrize(
    ("device", "cuda", "offered"),
    [
        ("gpu", True, "'auto' or 'cpu' or 'cuda'"),
        ("gpu", False, "'auto' or 'cpu'"),
        ("cuda:99", False, "'auto' or 'cpu'"),
    ],
)
def test_only_devices_that_can_be_used_are_offered(
    device: str, cuda: bool, offered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    with pytest.raises(OptionError) as caught:
        choose_device(device)
    assert str(caught.value).endswith(f"; choose {offered}")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"scale": "clipscor"}, "scale is 'clipscor'; did you mean 'clipscore'?"),
        ({"scale": "percent"}, "scale is 'percent'; choose one of 'clipscore', 'clip100'"),
        ({"long_text": "cut"}, "long_text is 'cut'; choose one of 'truncate', 'sentences'"),
        ({"on_error": "ignore"}, "on_error is 'ignore'; choose one of 'raise', 'record'"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
        ({"dtype": None}, "dtype is None"),
        ({"batch_size": 0}, "batch_size is 0; give a whole number of at least 1"),
        ({"batch_size": 2.0}, "batch_size is 2.0"),
        ({"batch_size": True}, "batch_size is True"),
        ({"num_workers": -1}, "num_workers is -1; give a whole number of at least 0, or None"),
        ({"num_workers": "4"}, "num_workers is '4'"),
        ({"prefix": None}, "prefix is None; give a string"),
        ({"device": "gpu"}, "device 'gpu' cannot be used"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
        ({"revision": "main"}, "revision 'main' was given for"),
    ],
    ids=str,
)
def test_an_option_outside_its_values_is_refused(
    tiny_clip: Path, option: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        DescriptionScore(tiny_clip, **option)
    assert message in str(caught.value)


def test_a_misspelt_option_is_refused(tiny_clip: Path) -> None:
    with pytest.raises(TypeError, match="batchsize"):
        DescriptionScore(tiny_clip, batchsize=2)


def test_references_need_the_scale_that_they_are_defined_on(tiny_clip: Path) -> None:
    with pytest.raises(OptionError, match=r"the scale is 'cosine'; .* scale 'clipscore'"):
        DescriptionScore(tiny_clip, scale="cosine")(PHOTOS[0], "a", ["b"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_towers_compute_in_the_dtype(tiny_clip: Path, dtype: str) -> None:
    metric = DescriptionScore(tiny_clip, dtype=dtype)
    types = {parameter.dtype for parameter in metric._pipeline.encoder.towers.model.parameters()}
    assert types == {getattr(torch, dtype)}
    assert f"|dtype:{dtype}|" in metric.signature


def test_on_the_cpu_auto_is_float32(tiny_clip: Path) -> None:
    assert DescriptionScore(tiny_clip, device="cpu").dtype == torch.float32


def test_the_device_can_be_named_or_given(tiny_clip: Path) -> None:
    for device in ("cpu", torch.device("cpu")):
        assert DescriptionScore(tiny_clip, device=device).device == torch.device("cpu")


def test_scales_differ_by_their_factor_and_clamp_each_pair(tiny_clip: Path) -> None:
    cosine, clipscore, clip100 = (
        DescriptionScore(tiny_clip, scale=scale)(PHOTOS, TEXTS, pairwise=True)
        for scale in ("cosine", "clipscore", "clip100")
    )
    assert (cosine.scores < 0).any()
    assert (cosine.scores > 0).any()
    clamped = cosine.scores.clip(min=0)
    np.testing.assert_allclose(clipscore.scores, 2.5 * clamped, rtol=0, atol=1e-6)
    np.testing.assert_allclose(clip100.scores, 100 * clamped, rtol=0, atol=1e-4)
    # The mean of clamped scores, not the clamped mean.
    assert clipscore.mean == pytest.approx(2.5 * clamped.mean(dtype=float), abs=1e-6)
    assert clipscore.mean > 2.5 * max(cosine.mean, 0) + 1e-3


def test_the_prefix_of_published_clipscores() -> None:
    # Hessel et al. 2021, section 3: "A photo depicts".
    assert CLIPSCORE_PREFIX == "A photo depicts "


# The checkpoint


def test_the_environment_sets_the_default_checkpoint(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESCSCORE_CHECKPOINT", str(tiny_clip))
    assert DescriptionScore().checkpoint.folder == tiny_clip
    other = tmp_path / "other"
    shutil.copytree(tiny_clip, other)
    assert DescriptionScore(other).checkpoint.folder == other


@pytest.mark.parametrize("setting", [None, ""])
def test_without_a_setting_the_default_is_mini(
    tiny_clip: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    monkeypatch.setitem(store.SHIPPED, "mini", tiny_clip)
    if setting is not None:
        monkeypatch.setenv("DESCSCORE_CHECKPOINT", setting)
    assert DescriptionScore().checkpoint.name == "mini"


def test_mini_warns_once_a_process_and_names_a_full_size_clip(
    tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store.SHIPPED, "mini", tiny_clip)
    monkeypatch.setattr(store_module, "_warned_of_mini", False)
    with warnings.catch_warnings(action="always", record=True) as caught:
        for checkpoint in (None, "mini"):
            DescriptionScore(checkpoint)
    assert [warning.category for warning in caught] == [DemonstrationWarning]
    assert "openai/clip-vit-base-patch32" in str(caught[0].message)
    # It points at the caller's line, not into the package.
    assert caught[0].filename == __file__


def test_a_folder_does_not_warn(tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_warned_of_mini", False)
    with warnings.catch_warnings(action="error"):
        DescriptionScore(tiny_clip)


# The signature


def test_the_signature_names_all_that_a_score_depends_on(tiny_clip: Path) -> None:
    metric = DescriptionScore(
        tiny_clip, scale="clip100", prefix="A photo:\n", long_text="sentences", dtype="bfloat16"
    )
    parts = dict(part.split(":", 1) for part in metric.signature.split("|"))
    digest = parts.pop("checkpoint").removeprefix(f"{tiny_clip.name}@sha256-")
    assert len(digest) == 12
    assert int(digest, 16)
    assert parts == {
        "descscore": version("descscore"),
        "base": "itself",
        "scale": "clip100",
        "prefix": r"'A photo:\n'",
        "long_text": "sentences",
        "dtype": "bfloat16",
        "images": f"pillow-{PIL.__version__}",
    }
    assert metric(PHOTOS[0], "a dog").signature == metric.signature
    assert "\n" not in metric.signature


def test_the_signature_follows_the_content_and_not_the_place(
    tiny_clip: Path, tmp_path: Path
) -> None:
    def signature(folder: Path) -> str:
        return DescriptionScore(folder).signature

    folder = tmp_path / tiny_clip.name
    shutil.copytree(tiny_clip, folder)
    assert signature(folder) == signature(tiny_clip)
    (folder / "README.md").write_text("says nothing that scores depend on")
    assert signature(folder) == signature(tiny_clip)
    config = json.loads((folder / "preprocessor_config.json").read_text())
    config["image_mean"] = [0.5, 0.5, 0.5]
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    assert signature(folder) != signature(tiny_clip)


def test_the_signature_is_that_of_what_was_loaded(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_clip, tmp_path / "clip")
    monkeypatch.chdir(tmp_path)
    expected = DescriptionScore("clip").signature
    metric = DescriptionScore("clip")
    (tmp_path / "clip" / "merges.txt").write_text("#version: 0.2\n")
    monkeypatch.chdir(tmp_path.parent)
    assert metric.signature == expected


@pytest.mark.parametrize("option", ["scale", "prefix", "on_error", "device", "checkpoint"])
def test_a_metric_is_not_changed_by_setting_an_option(tiny_clip: Path, option: str) -> None:
    metric = DescriptionScore(tiny_clip)
    with pytest.raises(AttributeError, match=f"^{option} of a metric.*{option}='other'"):
        setattr(metric, option, "other")


@pytest.mark.parametrize(
    ("prefix", "problem"),
    [
        ("\u200b ", "no visible characters; omit it"),
        ("m\udcff", "not valid Unicode at character 1"),
    ],
)
def test_a_prefix_that_shows_nothing_or_is_no_unicode_is_refused(
    tiny_clip: Path, prefix: str, problem: str
) -> None:
    with pytest.raises(OptionError, match=f"^prefix .*{problem}"):
        DescriptionScore(tiny_clip, prefix=prefix)


def test_repr_names_checkpoint_and_device(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, device="cpu")
    assert repr(metric) == (
        f"DescriptionScore({str(tiny_clip)!r}, device='cpu')\n{metric.signature}"
    )


# Results


def test_a_result_says_all_there_is_to_say(tiny_clip: Path) -> None:
    result = DescriptionScore(tiny_clip)(PHOTOS, TEXTS)
    assert result.scores.dtype == np.float32
    assert result.scores.shape == result.truncated.shape == result.n_tokens.shape == (4,)
    assert result.truncated.dtype == bool
    assert result.errors == (None,) * 4
    assert result.purpose is None
    assert result.mean == pytest.approx(result.scores.mean())


def test_shapes_of_results(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    assert metric(PHOTOS[0], "a dog").scores.shape == (1,)
    assert metric(PHOTOS[0], TEXTS).scores.shape == (4,)
    assert metric(PHOTOS[:2], [TEXTS[:3], TEXTS[3:]]).scores.shape == (4,)
    pairwise = metric(PHOTOS[:2], TEXTS[:3], pairwise=True)
    assert pairwise.scores.shape == pairwise.image_index.shape == (2, 3)
    assert pairwise.truncated.shape == pairwise.n_tokens.shape == (2, 3)
    assert len(pairwise.errors) == 6


def test_references_go_with_every_shape(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    references = [["a red dog"], ["one", "two"]]
    pairwise = metric(PHOTOS[:2], TEXTS[:3], references, pairwise=True)
    for row in range(2):
        one_image = metric(PHOTOS[row], TEXTS[:3], references[row])
        np.testing.assert_allclose(pairwise.scores[row], one_image.scores, rtol=0, atol=1e-6)
        np.testing.assert_allclose(
            pairwise.reference_scores[row], one_image.reference_scores, rtol=0, atol=1e-6
        )
    assert pairwise.scores.shape == pairwise.image_scores.shape == (2, 3)


# Accumulation


def test_updates_add_up_to_one_call(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, scale="cosine")
    metric.update(PHOTOS[:1], TEXTS[:1])
    metric.update(PHOTOS[1:], TEXTS[1:])
    whole, together = metric.compute(), metric(PHOTOS, TEXTS)
    np.testing.assert_allclose(whole.scores, together.scores, rtol=0, atol=1e-6)
    assert whole.mean == pytest.approx(together.mean, abs=1e-6)
    for name in ("image_index", "text_index", "n_tokens", "truncated"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(together, name))
    assert whole.errors == together.errors
    assert whole.signature == together.signature


def test_one_text_for_several_images_is_one_text(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    assert metric([PHOTOS[0]] * 3, "A cat.").text_index.tolist() == [0, 0, 0]
    metric.update([PHOTOS[0]] * 3, "A cat.")
    metric.update([PHOTOS[0]], ["A dog."])
    assert metric.compute().text_index.tolist() == [0, 0, 0, 1]


def test_updates_count_images_without_texts(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    metric.update(PHOTOS[:3], [["a"], ["b"], []])
    metric.update(PHOTOS[3], ["c", "d"])
    assert metric.compute().image_index.tolist() == [0, 1, 3, 3]
    assert metric.compute().text_index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("given", [{"references": ["a"]}, {"context": "a"}])
def test_the_signature_of_a_result_names_what_came_with_the_pairs(
    tiny_clip: Path, given: dict[str, Any]
) -> None:
    metric = DescriptionScore(tiny_clip)
    (name,) = given
    assert metric(PHOTOS[0], "cat", **given).signature == f"{metric.signature}|{name}:yes"
    assert metric(PHOTOS[0], "cat").signature == metric.signature


@pytest.mark.parametrize("given", [{"references": ["a"]}, {"context": "a"}])
def test_unlike_batches_are_not_mixed(tiny_clip: Path, given: dict[str, Any]) -> None:
    metric = DescriptionScore(tiny_clip)
    (name,) = given
    for first, second in ((given, {}), ({}, given)):
        metric.reset()
        metric.update(PHOTOS[0], "cat", **first)
        with pytest.raises(OptionError, match=f"scores with {name} .* are not comparable"):
            metric.update(PHOTOS[0], "cat", **second)
        metric.update(PHOTOS[0], "dog", **first)
        assert len(metric.compute()) == 2


def test_a_pickled_metric_scores_alike_and_holds_no_weights(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, scale="cosine", prefix="A ", token="hf_secret")
    pickled = pickle.dumps(metric)
    assert len(pickled) < 2000
    assert b"hf_secret" not in pickled
    again = pickle.loads(pickled)
    assert again.signature == metric.signature
    np.testing.assert_array_equal(again(PHOTOS, TEXTS).scores, metric(PHOTOS, TEXTS).scores)
    assert pickle.dumps(again) == pickled
    # What was scored before is not lost.
    metric.update(PHOTOS[:2], TEXTS[:2])
    carried = pickle.loads(pickle.dumps(metric))
    carried.update(PHOTOS[2:], TEXTS[2:])
    assert carried.compute().image_index.tolist() == [0, 1, 2, 3]


def test_a_pickled_metric_refuses_a_checkpoint_that_has_changed(
    tiny_clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(tiny_clip, folder)
    pickled = pickle.dumps(DescriptionScore(folder))
    config = json.loads((folder / "preprocessor_config.json").read_text())
    config["image_mean"] = [0.5, 0.5, 0.5]
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="make a new metric"):
        pickle.loads(pickled)


def test_datasets_recognises_a_metric_that_it_has_seen(tiny_clip: Path) -> None:
    fingerprint = pytest.importorskip("datasets.fingerprint").Hasher.hash
    first, second, other = (
        DescriptionScore(tiny_clip, scale=scale) for scale in ("cosine", "cosine", "clip100")
    )
    second(PHOTOS[0], "cat")  # what is loaded lazily has no part in it
    assert fingerprint(first) == fingerprint(second) != fingerprint(other)


def test_reset_forgets_and_compute_needs_something(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    with pytest.raises(OptionError, match="nothing to compute; call update"):
        metric.compute()
    metric.update(PHOTOS, TEXTS)
    metric.reset()
    metric.update(PHOTOS[:2], TEXTS[:2])
    assert len(metric.compute()) == 2
    metric.reset()
    with pytest.raises(OptionError, match="nothing to compute"):
        metric.compute()


def test_a_call_leaves_the_accumulated_batches_alone(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    metric.update(PHOTOS, TEXTS)
    metric(PHOTOS[0], "a dog")
    assert len(metric.compute()) == 4


def test_an_update_that_fails_adds_nothing(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    metric.update(PHOTOS, TEXTS)
    with pytest.raises(ValueError, match="is empty"):
        metric.update(PHOTOS[:2], ["a", ""])
    assert len(metric.compute()) == 4


def test_the_cosines_of_embeddings_are_the_scores_on_the_scale_cosine(tiny_clip: Path) -> None:
    metric = DescriptionScore(
        tiny_clip, scale="cosine", prefix="A photo depicts ", on_error="record", num_workers=0
    )
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    images, texts = [*pixels, "nowhere.png"], ["a dog", "two cats", "a dog", ""]
    of_images, of_texts = metric.embed_images(images), metric.embed_texts(texts)
    expected = metric(images, texts, pairwise=True).scores
    np.testing.assert_allclose(of_images.values @ of_texts.values.T, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(of_texts.values[:3], axis=1), 1, atol=1e-6)
    assert np.isnan(of_images.values[2]).all()
    assert np.isnan(of_texts.values[3]).all()
    assert of_images.errors[:2] == (None, None)
    assert of_images.errors[2].startswith("image 2 ('nowhere.png') does not exist")
    assert of_texts.errors[3].startswith("text 3 is empty")


def test_embedding_what_is_no_image_is_refused(tiny_clip: Path) -> None:
    with pytest.raises(PairingError, match="images is None"):
        DescriptionScore(tiny_clip).embed_images(None)


def test_embedding_stops_at_the_first_error_unless_told_otherwise(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, num_workers=0)
    assert metric.embed_images(np.zeros((40, 40, 3), dtype=np.uint8)).values.shape == (1, 32)
    with pytest.raises(ImageError, match=r"image 0 .* does not exist"):
        metric.embed_images("nowhere.png")
    with pytest.raises(TextError, match="text 1 is empty"):
        metric.embed_texts(["a dog", " "])
    with pytest.raises(PairingError, match="images is empty"):
        metric.embed_images([])


def test_a_batch_beyond_any_memory_is_refused() -> None:
    with pytest.raises(OptionError, match="batch_size is above 1,000,000"):
        DescriptionScore(batch_size=10**20)
