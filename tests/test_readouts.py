"""What a score says of a text's purpose equals what PEFT and transformers give for it alone."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPTokenizer

from descscore import DescriptionScore
from descscore.errors import InputError, OptionError, PairingError, TextError
from descscore.purpose.das_file import save_purpose
from descscore.purpose.probe import Purpose
from descscore.purpose.subspace import Site, random_basis
from tests.checkpoints_made import full_checkpoint, lora_checkpoint, record
from tests.conftest import ROOT
from tests.test_embed import watched

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = [
    "A woman in an orange spacesuit smiles in front of a flag.",
    "cat",
    "and so on, " * 40,
    "Two clocks!",
]
ALL = ("purpose", "subspace", "purpose_effect")
RANK = 6


def add_purpose(folder: Path, base: Path, layer: int) -> Path:
    """Give a checkpoint a subspace in which all parts of the probe matter."""
    low, high, weight = torch.randn(3, RANK, generator=torch.Generator().manual_seed(layer))
    found = Purpose(
        site=Site(layer=layer),
        basis=random_basis(32, RANK, seed=layer),
        weight=weight,
        bias=torch.tensor(0.3),
        caption_mean=low,
        description_mean=high,
    )
    save_purpose(folder / "das.safetensors", found)
    return record(folder, base)


@pytest.fixture(scope="session")
def legacy_clip(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny CLIP with OpenAI's legacy `eos_token_id`."""
    folder = tmp_path_factory.mktemp("legacy") / "clip"
    shutil.copytree(tiny_clip, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def made(
    tiny_clip: Path, legacy_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Checkpoints with a subspace: after the first and after the last block, LoRA and full."""
    folder = tmp_path_factory.mktemp("readouts")
    return {
        "first": add_purpose(lora_checkpoint(folder / "first", tiny_clip), tiny_clip, 1),
        "last": add_purpose(lora_checkpoint(folder / "last", legacy_clip), legacy_clip, 2),
        "full": add_purpose(full_checkpoint(folder / "full", tiny_clip), tiny_clip, 1),
    }


@pytest.fixture
def checkpoint(made: dict[str, Path]) -> Path:
    return made["first"]


class Reference:
    """PEFT, transformers and the tensors of the file, one text at a time."""

    def __init__(self, folder: Path) -> None:
        base = json.loads((folder / "descscore_config.json").read_text())["base"]["name"]
        if (folder / "adapter_config.json").is_file():
            model: Any = CLIPModel.from_pretrained(base)
            self.model: Any = PeftModel.from_pretrained(model, folder).eval().base_model.model
        else:
            config = CLIPModel.from_pretrained(base).config
            self.model = CLIPModel.from_pretrained(folder, config=config).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(base)
        self.tensors = load_file(folder / "das.safetensors")
        self.layer = {"first": 1, "last": 2, "full": 1}[folder.name]

    def tokens(self, text: str) -> Any:
        return self.tokenizer(text, truncation=True, max_length=77, return_tensors="pt").input_ids

    @torch.no_grad()
    def subspace(self, text: str) -> torch.Tensor:
        """RᵀH with H the hidden state of the last token, which ends the text."""
        output = self.model.text_model(input_ids=self.tokens(text), output_hidden_states=True)
        return output.hidden_states[self.layer][0, -1] @ self.tensors["basis"]

    def purpose(self, text: str) -> float:
        logit = self.tensors["probe.weight"] @ self.subspace(text) + self.tensors["probe.bias"]
        return 1 / (1 + np.exp(-logit.item()))

    @torch.no_grad()
    def cosine(self, pixels: torch.Tensor, text: str, *, as_caption: bool) -> float:
        """By transformers' forward, with a hook that puts the mean caption in the subspace."""
        basis, mean = self.tensors["basis"], self.tensors["mean.caption"]

        def replace(_module: object, _inputs: object, states: torch.Tensor) -> torch.Tensor:
            end = states[0, -1]
            changed = states.clone()
            changed[0, -1] = end - basis @ (basis.T @ end) + basis @ mean
            return changed

        block = self.model.text_model.encoder.layers[self.layer - 1]
        handle = block.register_forward_hook(replace) if as_caption else None
        try:
            output = self.model(input_ids=self.tokens(text), pixel_values=pixels)
        finally:
            if handle:
                handle.remove()
        return (output.logits_per_image / self.model.logit_scale.exp()).item()


@pytest.fixture(params=["first", "last", "full"])
def each(made: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return made[request.param]


@pytest.fixture
def reference(each: Path) -> Reference:
    return Reference(each)


def pixels_of(metric: DescriptionScore, photo: Path) -> torch.Tensor:
    """What the vision tower was given for a photo."""
    seen = []
    towers: Any = metric._pipeline.encoder.towers
    embed_images = towers.embed_images
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            towers, "embed_images", lambda given: embed_images(seen.append(given) or given)
        )
        metric(photo, "a text")
    return seen[0]


# What is read


peft_warns = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)


@peft_warns
def test_readouts_equal_those_of_transformers(each: Path, reference: Reference) -> None:
    metric = DescriptionScore(each, readouts=ALL)
    result = metric(PHOTOS, TEXTS)
    expected = [reference.purpose(text) for text in TEXTS]
    np.testing.assert_allclose(result.purpose, expected, rtol=0, atol=1e-5)
    assert np.ptp(expected) > 0.1
    subspace = torch.stack([reference.subspace(text) for text in TEXTS])
    np.testing.assert_allclose(result.subspace, subspace, rtol=0, atol=1e-4)
    assert result.purpose.dtype == result.subspace.dtype == np.float32
    assert result.truncated.tolist() == [False, False, True, False]


@peft_warns
@pytest.mark.parametrize("scale", ["cosine", "clipscore"])
def test_the_effect_is_the_score_minus_that_with_the_mean_caption_in_the_subspace(
    each: Path, reference: Reference, scale: Any
) -> None:
    metric = DescriptionScore(each, readouts=["purpose_effect"], scale=scale)
    result = metric(PHOTOS, TEXTS)
    expected = []
    for photo, text in zip(PHOTOS, TEXTS, strict=True):
        pixels = pixels_of(metric, photo)
        whole = reference.cosine(pixels, text, as_caption=False)
        without = reference.cosine(pixels, text, as_caption=True)
        if scale == "clipscore":
            whole, without = 2.5 * max(whole, 0), 2.5 * max(without, 0)
        expected.append(whole - without)
    np.testing.assert_allclose(result.purpose_effect, expected, rtol=0, atol=1e-5)
    assert np.abs(expected).max() > 0.05
    assert result.purpose is None
    assert result.subspace is None


def test_asking_for_readouts_changes_no_score(checkpoint: Path) -> None:
    def scores(**options: Any) -> np.ndarray:
        metric = DescriptionScore(checkpoint, scale="cosine", **options)
        return metric(PHOTOS, TEXTS, pairwise=True).scores

    without = scores(readouts=())
    for readouts in (("purpose",), ("purpose_effect",), ALL):
        np.testing.assert_array_equal(scores(readouts=readouts), without)
    np.testing.assert_array_equal(scores(), without)


def test_there_are_the_readouts_that_were_asked_for(checkpoint: Path) -> None:
    for readouts in ((), ("subspace",), ("purpose", "purpose_effect"), ALL):
        result = DescriptionScore(checkpoint, readouts=readouts)(PHOTOS[0], "cat")
        found = {name for name in ALL if getattr(result, name) is not None}
        assert found == set(readouts)
    by_default = DescriptionScore(checkpoint)(PHOTOS[0], "cat")
    assert by_default.purpose is not None
    assert by_default.subspace is by_default.purpose_effect is None


def test_a_plain_clip_has_none(tiny_clip: Path) -> None:
    result = DescriptionScore(tiny_clip)(PHOTOS, TEXTS)
    assert result.purpose is result.subspace is result.purpose_effect is None
    for readouts in (["subspace"], ["purpose", "purpose_effect"]):
        with pytest.raises(OptionError, match=rf"\['{readouts[-1]}'\].*has no purpose subspace"):
            DescriptionScore(tiny_clip, readouts=readouts)
    with pytest.raises(OptionError, match="has no purpose subspace"):
        DescriptionScore(tiny_clip).purpose(TEXTS)


@pytest.mark.parametrize(
    ("readouts", "message"),
    [
        (["purposes"], "readouts is 'purposes'; did you mean 'purpose'?"),
        ("purpose", "readouts is 'purpose'; give a list, such as ['purpose']"),
    ],
)
def test_readouts_that_do_not_exist_are_refused(
    checkpoint: Path, readouts: Any, message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        DescriptionScore(checkpoint, readouts=readouts)
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_a_call_changes_no_readout(checkpoint: Path, dtype: torch.dtype) -> None:
    metric = DescriptionScore(checkpoint, readouts=ALL)
    expected, alone = metric(PHOTOS, TEXTS), metric.purpose(TEXTS)
    with torch.autocast("cpu", dtype=dtype):
        found, alone_within = metric(PHOTOS, TEXTS), metric.purpose(TEXTS)
    for name in ALL:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(alone_within, alone)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_readouts_in_half_precision_are_near_those_in_float32(
    each: Path, dtype: str, tolerance: float
) -> None:
    exact = DescriptionScore(each, readouts=ALL, scale="cosine")(PHOTOS, TEXTS)
    found = DescriptionScore(each, readouts=ALL, scale="cosine", dtype=dtype)(PHOTOS, TEXTS)
    for name in ("purpose", "purpose_effect"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_allclose(
            getattr(found, name), getattr(exact, name), rtol=0, atol=tolerance
        )
        assert (getattr(found, name) != getattr(exact, name)).any()


# How it fits the score


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_readouts_depend_on_no_batch(checkpoint: Path, batch_size: int) -> None:
    expected = DescriptionScore(checkpoint, readouts=ALL)(PHOTOS, TEXTS)
    metric = DescriptionScore(checkpoint, readouts=ALL, batch_size=batch_size)
    order = [2, 0, 3, 1]
    found = metric([PHOTOS[i] for i in order], [TEXTS[i] for i in order])
    for name in ALL:
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name)[order], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("readouts", [(), ("purpose",), ALL])
def test_each_text_runs_through_the_tower_once(checkpoint: Path, readouts: tuple[Any, ...]) -> None:
    metric = DescriptionScore(checkpoint, readouts=readouts)
    rows = watched(metric)
    texts = [TEXTS[i % 3] for i in range(12)]
    metric([PHOTOS[i % 2] for i in range(12)], texts, [TEXTS[i % 4] for i in range(12)])
    assert (sum(rows.images), sum(rows.texts)) == (2, 4)
    metric.purpose(texts)
    assert sum(rows.texts) == 4 + 3
    assert sum(rows.images) == 2


def test_the_purpose_of_texts_needs_no_image(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint, readouts=())
    expected = DescriptionScore(checkpoint)(PHOTOS[0], TEXTS).purpose
    found = metric.purpose([*TEXTS, TEXTS[0]])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:4], expected, rtol=0, atol=1e-6)
    assert found[4] == found[0]
    assert metric.purpose(TEXTS[1]).shape == (1,)
    with pytest.raises(PairingError):
        metric.purpose([])


def test_a_prefix_is_read_too(checkpoint: Path) -> None:
    plain = DescriptionScore(checkpoint)
    prefixed = DescriptionScore(checkpoint, prefix="A photo depicts ")
    expected = plain.purpose("A photo depicts a cat")
    assert prefixed.purpose("a cat") == prefixed(PHOTOS[0], "a cat").purpose == expected
    assert plain.purpose("a cat") != expected


BAD = [" ", "\u00ad", None]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_text_is_an_error_that_names_it(checkpoint: Path, bad: Any) -> None:
    metric = DescriptionScore(checkpoint)
    with pytest.raises(TextError, match=r"^text 2 "):
        metric.purpose(["cat", "dog", bad])


def test_a_purpose_that_is_no_number_is_an_error(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint, on_error="raise")
    with torch.no_grad():
        metric._pipeline.encoder.towers.model.text_model.encoder.layers[0].mlp.fc2.weight.mul_(1e38)
    with pytest.raises(InputError, match=r"^text 0 has no finite embedding.*dtype='float32'"):
        metric.purpose(["A cat."])


def test_threads_do_not_read_each_others_texts(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint)
    of_thread = [[f"{word} {i}" for i in range(20)] for word in ("A cat", "Two big dogs on grass")]
    expected = [metric.purpose(texts) for texts in of_thread]

    def read(texts: list[str]) -> list[np.ndarray]:
        return [metric.purpose(texts) for _ in range(30)]

    with ThreadPoolExecutor(2) as threads:
        for found, alone in zip(threads.map(read, of_thread), expected, strict=True):
            for values in found:
                np.testing.assert_allclose(values, alone, atol=1e-6)


def test_bad_texts_are_recorded_and_all_others_read(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint, readouts=ALL, on_error="record")
    expected = metric.purpose(["cat", "dog"])
    found = metric.purpose(["cat", *BAD, "dog", BAD[0]])
    assert np.isnan(found).tolist() == [False, True, True, True, False, True]
    np.testing.assert_allclose(found[[0, 4]], expected, rtol=0, atol=1e-6)
    assert np.isnan(metric.purpose(BAD)).all()
    result = metric(PHOTOS[0], ["cat", *BAD, "dog"])
    for values in (result.scores, result.purpose, result.purpose_effect):
        assert np.isnan(values).tolist() == [False, True, True, True, False]
    assert np.isnan(result.subspace).all(1).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(result.purpose[[0, 4]], expected, rtol=0, atol=1e-6)


def test_a_pair_without_a_readable_image_has_no_readouts(checkpoint: Path, tmp_path: Path) -> None:
    metric = DescriptionScore(checkpoint, readouts=ALL, on_error="record")
    result = metric([tmp_path / "no.png", PHOTOS[0]], ["cat", "cat"])
    assert np.isnan(result.purpose).tolist() == [True, False]
    assert np.isnan(result.purpose_effect).tolist() == [True, False]


def test_a_text_of_sentences_has_the_means_over_them(checkpoint: Path) -> None:
    sentences = [f"Number {i} is a {'very ' * 2 * i}big dog on the beach." for i in range(5)]
    whole = DescriptionScore(checkpoint, readouts=ALL, scale="cosine")
    split = DescriptionScore(checkpoint, readouts=ALL, scale="cosine", long_text="sentences")
    texts = [" ".join(sentences), "cat"]
    found, cat = split(PHOTOS[0], texts), whole(PHOTOS[0], "cat")
    assert found.n_tokens[0] > 77
    assert not found.truncated.any()
    of_sentences = whole(PHOTOS[0], sentences)
    for name in ("scores", *ALL):
        expected = [getattr(of_sentences, name).mean(0), getattr(cat, name)[0]]
        np.testing.assert_allclose(getattr(found, name), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(split.purpose(texts), found.purpose, rtol=0, atol=1e-6)
    assert np.ptp(of_sentences.purpose) > 0.01


def test_after_pairwise_scoring_readouts_have_its_shape(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint, readouts=ALL)
    result = metric(PHOTOS[:3], TEXTS, pairwise=True)
    assert result.purpose.shape == result.purpose_effect.shape == (3, 4)
    assert result.subspace.shape == (3, 4, RANK)
    for row in range(3):
        singly = metric([PHOTOS[row]] * 4, TEXTS)
        for name in ALL:
            np.testing.assert_allclose(
                getattr(result, name)[row], getattr(singly, name), rtol=0, atol=1e-5
            )
    assert (result.purpose == result.purpose[0]).all()
    assert np.ptp(result.purpose_effect, axis=0).max() > 1e-3


def test_references_have_no_part_in_readouts(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint, readouts=ALL)
    plain, augmented = metric(PHOTOS, TEXTS), metric(PHOTOS, TEXTS, ["a", "b", "c", "d"])
    for name in ALL:
        np.testing.assert_allclose(
            getattr(augmented, name), getattr(plain, name), rtol=0, atol=1e-5
        )
    np.testing.assert_allclose(augmented.image_scores, plain.scores, rtol=0, atol=1e-5)


def test_batches_are_joined_with_their_readouts(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint, readouts=ALL)
    metric.update(PHOTOS[:1], TEXTS[:1])
    metric.update(PHOTOS[1:], TEXTS[1:])
    joined, whole = metric.compute(), metric(PHOTOS, TEXTS)
    for name in ALL:
        np.testing.assert_allclose(getattr(joined, name), getattr(whole, name), rtol=0, atol=1e-5)


def test_tables_have_a_column_for_each_readout_of_one_value(checkpoint: Path) -> None:
    metric = DescriptionScore(checkpoint, readouts=ALL, on_error="record")
    result = metric(PHOTOS[0], ["cat", " "])
    first, failed = result.to_records()
    assert first["purpose"] == result.purpose[0]
    assert first["purpose_effect"] == result.purpose_effect[0]
    assert failed["purpose"] is failed["purpose_effect"] is None
    assert "subspace" not in first
    frame = result.to_pandas()
    assert frame["purpose"].tolist()[0] == result.purpose[0]
    assert frame["purpose_effect"].isna().tolist() == [False, True]
    assert "subspace" not in frame
    without = DescriptionScore(checkpoint, readouts=())(PHOTOS[0], "cat").to_records()[0]
    assert without.keys().isdisjoint(ALL)
