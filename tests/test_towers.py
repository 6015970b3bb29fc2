"""Every family scores as its own library does, from files to cosines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPModel, SiglipImageProcessorPil, SiglipModel

from descscore import DescriptionScore
from descscore.checkpoints.describe import describe
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError, OptionError
from descscore.towers import int8
from descscore.towers.clip_text import run_texts
from descscore.towers.clip_towers import ClipTowers
from descscore.towers.int8 import Int8Linear, to_int8
from tests.conftest import ROOT
from tests.siglip_made import WINDOW, siglip, siglip2
from tests.small_clip import BLOCKS, END, random_texts, small_clip

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = [
    "A photo of a dog on the beach",
    "an old clock!",
    "two cats sleep on a red sofa " * 5,
    "<eos> the end </s>",
]


@pytest.fixture(scope="module", params=[siglip, siglip2])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return request.param(tmp_path_factory.mktemp("siglip") / request.param.__name__)


def by_transformers(folder: Path) -> np.ndarray:
    """Cosines of all photos and texts by processor and model."""
    model: Any = SiglipModel.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    processor = SiglipImageProcessorPil.from_pretrained(folder)
    images = [Image.open(path).convert("RGB") for path in PHOTOS]
    ids = tokenizer(
        TEXTS,
        padding="max_length",
        truncation=True,
        max_length=WINDOW,
        return_tensors="pt",
        split_special_tokens=True,
    ).input_ids
    with torch.no_grad():
        output = model(
            input_ids=ids, pixel_values=processor(images, return_tensors="pt").pixel_values
        )
    return (output.image_embeds @ output.text_embeds.T).numpy()


def test_siglip_scores_as_transformers_own_pipeline(folder: Path) -> None:
    metric = DescriptionScore(folder, scale="cosine")
    result = metric(PHOTOS, TEXTS, pairwise=True)
    expected = by_transformers(folder)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(result.scores, expected, rtol=0, atol=1e-5)
    assert result.truncated[0].tolist() == [False, False, True, False]
    alone = [metric(PHOTOS[0], text).scores.item() for text in TEXTS]
    np.testing.assert_allclose(alone, expected[0], rtol=0, atol=1e-5)


def test_a_siglip_has_no_purpose_and_cannot_be_explained(folder: Path) -> None:
    metric = DescriptionScore(folder)
    assert metric(PHOTOS[0], TEXTS[0]).purpose is None
    with pytest.raises(OptionError, match=r"family 'siglip' .* use a CLIP"):
        metric.explain(PHOTOS[0], TEXTS[0])
    with pytest.raises(OptionError, match="no purpose subspace"):
        metric.purpose(TEXTS)


def test_a_siglip_is_described(folder: Path) -> None:
    described = describe(resolve_checkpoint(folder))
    assert described["kind"] == "plain SigLIP"
    assert (described["text_window"], described["embedding"]) == (WINDOW, 32)


def test_a_siglip_without_end_tokens_is_refused(tmp_path: Path) -> None:
    folder = siglip2(tmp_path / "siglip2")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"puts no end token"):
        DescriptionScore(folder)


def test_a_clip_with_248_positions_reads_long_texts_to_their_end(
    tiny_clip: Path, tmp_path: Path
) -> None:
    # LongCLIP's layout: CLIP's classes with more positions; its tokenizer may still say 77.
    folder = Path(shutil.copytree(tiny_clip, tmp_path / "long"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 248
    (folder / "config.json").write_text(json.dumps(config))
    weights = dict(load_file(folder / "model.safetensors"))
    key = "text_model.embeddings.position_embedding.weight"
    more = torch.randn(248 - 77, 32, generator=torch.Generator().manual_seed(0))
    weights[key] = torch.cat([weights[key], more])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    metric = DescriptionScore(folder, scale="cosine")
    texts = ["a dog " * 40 + end for end in ("", "on the beach", "and a cat " * 60)]
    result = metric(PHOTOS[0], texts)
    assert result.truncated.tolist() == [False, False, True]
    assert 77 < result.n_tokens[0] < result.n_tokens[1] < 248 < result.n_tokens[2]
    model: Any = CLIPModel.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(texts, truncation=True, max_length=248, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model.get_text_features(**ids).pooler_output
    expected = torch.nn.functional.normalize(expected, dim=1).numpy()
    np.testing.assert_allclose(metric.embed_texts(texts).values, expected, rtol=0, atol=1e-5)


# Integers


@pytest.mark.parametrize("vnni", [True, False])
def test_a_linear_layer_in_integers_is_that_of_rounded_factors(
    vnni: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not vnni:
        monkeypatch.setattr(int8, "_sums_exactly", lambda: False)
    elif not int8._sums_exactly():
        pytest.skip("no instructions that sum 8-bit products in 32 bits")
    # Independently, in float64: both factors rounded by their own scales.
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(48, 20)
    inputs = torch.randn(3, 5, 48, generator=generator)
    weight, rows = linear.weight.detach().double(), inputs.double()
    of_weight = weight.abs().amax(1, keepdim=True) / 127
    of_rows = rows.abs().amax(2, keepdim=True) / 127
    exact = (rows / of_rows).round() @ (weight / of_weight).round().T
    expected = exact * of_rows * of_weight.T + linear.bias.detach().double()
    found = Int8Linear(linear)(inputs)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    cosine = torch.nn.functional.cosine_similarity(found, linear(inputs), dim=2)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_integers_do_not_hide_what_is_no_number(value: float) -> None:
    inputs = torch.ones(2, 4)
    inputs[1, 2] = value
    finite = torch.isfinite(Int8Linear(torch.nn.Linear(4, 3))(inputs)).all(1)
    assert finite.tolist() == [True, False]


def test_scores_in_integers_are_near_and_named(tiny_clip: Path) -> None:
    exact = DescriptionScore(tiny_clip, scale="cosine")
    rounded = DescriptionScore(tiny_clip, scale="cosine", dtype="int8", batch_size=2)
    pairs = (PHOTOS, TEXTS[:3])
    found, expected = rounded(*pairs, pairwise=True), exact(*pairs, pairwise=True)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=0.02)
    assert (found.scores != expected.scores).any()
    assert "|dtype:int8|" in rounded.signature
    alone = [rounded(photo, TEXTS[1]).scores.item() for photo in PHOTOS]
    np.testing.assert_allclose(alone, found.scores[:, 1], rtol=0, atol=1e-6)
    with pytest.raises(OptionError, match="explain with dtype='float32'"):
        rounded.explain(PHOTOS[0], TEXTS[0])


def test_integers_are_for_cpus() -> None:
    with pytest.raises(OptionError, match=r"int8.*CPUs.*'cuda'"):
        to_int8(torch.nn.Module(), torch.device("cuda"))


def test_embeddings_in_integers_are_kept_apart(tiny_clip: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    exact = DescriptionScore(tiny_clip, cache=cache).embed_texts(TEXTS)
    rounded = DescriptionScore(tiny_clip, cache=cache, dtype="int8").embed_texts(TEXTS)
    assert (exact.values != rounded.values).any()


# The last block


@pytest.mark.parametrize("eos_token_id", [END, 2])
def test_towers_that_finish_at_the_pooled_position_give_transformers_embeddings(
    eos_token_id: int,
) -> None:
    model: Any = small_clip(eos_token_id=eos_token_id)
    towers = ClipTowers(model)
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids, ends = random_texts([5, 48, 17, 2], seed=0)
    tokens = [row[: end + 1] for row, end in zip(ids.tolist(), ends.tolist(), strict=True)]
    with torch.no_grad():
        images = torch.nn.functional.normalize(model.get_image_features(pixels).pooler_output)
        texts = model.get_text_features(ids).pooler_output
        torch.testing.assert_close(towers.embed_images(pixels), images, rtol=0, atol=1e-5)
        torch.testing.assert_close(towers.text_features(tokens), texts, rtol=0, atol=1e-5)
        for layer in range(1, BLOCKS + 1):
            found, whole = towers.run_texts(tokens, layer), run_texts(model, ids, ends, layer)
            for name in ("features", "site"):
                one, other = getattr(found, name), getattr(whole, name)
                torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
            assert len(found.keys) == len(found.values) == BLOCKS - layer
            again = towers.run_on(found, found.site, layer)
            torch.testing.assert_close(again, found.embeddings, rtol=0, atol=1e-5)


def test_products_without_onednn_give_the_same_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    towers = ClipTowers(small_clip())
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = towers.embed_images(pixels)
        monkeypatch.setattr("descscore.towers.clip_blocks._has_onednn", lambda _: False)
        torch.testing.assert_close(towers.embed_images(pixels), expected, rtol=0, atol=1e-6)
