"""Every family scores as its own library does, from files to cosines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, SiglipImageProcessorPil, SiglipModel

from descscore import DescriptionScore
from descscore.checkpoints.store import resolve_checkpoint
from descscore.cli.describe import describe
from descscore.errors import CheckpointError, OptionError
from tests.conftest import ROOT
from tests.siglip_made import WINDOW, siglip, siglip2

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
    with pytest.raises(OptionError, match=r"family 'siglip' .* take a CLIP"):
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
