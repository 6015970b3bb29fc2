"""Models of open_clip score as open_clip itself does, from files to cosines."""

from __future__ import annotations

from tests import torchvision_ops  # isort: skip - before what imports torchvision

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from descscore import DescriptionScore
from descscore.checkpoints.describe import describe
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError, OptionError
from tests.conftest import ROOT

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = ["A photo of a dog", "caf&eacute; <|endoftext|> b", "Two cats sleep. " * 40, "an old clock"]


@pytest.fixture(scope="module")
def open_clip() -> Any:
    if not torchvision_ops.INSTALLED:
        pytest.skip("open_clip needs torchvision, which is not installed")
    with warnings.catch_warnings(action="ignore"):
        return pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def model_config() -> dict[str, Any]:
    tower = {"layers": 2, "width": 32}
    return {
        "embed_dim": 16,
        "vision_cfg": tower | {"image_size": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": tower | {"context_length": 77, "vocab_size": 49408, "heads": 2},
    }


@pytest.fixture(scope="module", params=["shortest", "squash"])
def folder(
    request: pytest.FixtureRequest,
    open_clip: Any,
    model_config: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.model.CLIP(**model_config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = tmp_path_factory.mktemp("open_clip")
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "resize_mode": request.param}
    content = {"model_cfg": model_config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def test_scores_are_those_of_open_clip(open_clip: Any, folder: Path) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    # Odd differences between a picture and its crop, which torchvision rounds.
    images = [Image.open(path).convert("RGB") for path in PHOTOS]
    images += [image.resize((71, 45)) for image in images] + [images[0].resize((33, 200))]
    with torch.no_grad():
        of_images = model.encode_image(torch.stack([preprocess(image) for image in images]), True)
        of_texts = model.eval().encode_text(tokenizer(TEXTS), True)
    expected = (of_images @ of_texts.T).numpy()
    assert np.ptp(expected) > 0.01
    for name in (str(folder), f"open_clip:{folder}"):
        result = DescriptionScore(name, scale="cosine")(images, TEXTS, pairwise=True)
        np.testing.assert_allclose(result.scores, expected, rtol=0, atol=1e-5)
        assert result.truncated[0].tolist() == [False, False, True, False]
        assert f"|checkpoint:open_clip:{folder.name}@sha256-" in result.signature


def test_bfloat16_is_near_and_integers_are_refused(folder: Path) -> None:
    exact = DescriptionScore(folder, scale="cosine")(PHOTOS, TEXTS, pairwise=True)
    near = DescriptionScore(folder, scale="cosine", dtype="bfloat16")
    found = near(PHOTOS, TEXTS, pairwise=True)
    np.testing.assert_allclose(found.scores, exact.scores, rtol=0, atol=0.03)
    with pytest.raises(OptionError, match=r"int8.*choose 'bfloat16'"):
        DescriptionScore(folder, dtype="int8")


def test_a_model_of_open_clip_is_described_and_has_no_purpose(folder: Path) -> None:
    described = describe(resolve_checkpoint(folder))
    assert described["kind"] == "model of open_clip"
    assert described["parameters"] > 49408 * 32
    with pytest.raises(OptionError, match="'open_clip' have no site"):
        DescriptionScore(folder).explain(PHOTOS[0], "a dog")


@pytest.mark.parametrize(
    "settings",
    [
        {"resize_mode": "longest"},
        {"interpolation": "random"},
        {"std": [0, 0, 0]},
    ],
    ids=str,
)
def test_settings_of_other_steps_are_refused(
    folder: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    path = copy / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["preprocess_cfg"] |= {"resize_mode": "shortest"} | settings
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError), np.errstate(all="ignore"):
        DescriptionScore(copy)


@pytest.mark.parametrize("file", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_missing_files_are_named_without_the_library(tmp_path: Path, file: str) -> None:
    for name in {"open_clip_config.json", "open_clip_model.safetensors"} - {file}:
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        resolve_checkpoint(f"open_clip:{tmp_path}")
