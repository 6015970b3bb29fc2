"""Scores depend on the arguments alone, and what would be read wrongly is refused."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPProcessor

from descscore import DescriptionScore
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    ImageError,
    InputError,
    MissingExtraError,
)
from descscore.inputs.decode import decode
from tests.conftest import ROOT

PHOTOS = sorted(str(path) for path in (ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = ["a cat", "a red cup of coffee", "a rocket at dusk", "a smiling woman"]


@pytest.fixture
def folder(tiny_clip: Path, tmp_path: Path) -> Path:
    """A copy of the tiny CLIP that a test may spoil."""
    return Path(shutil.copytree(tiny_clip, tmp_path / "clip"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_a_call_changes_nothing(tiny_clip: Path, dtype: torch.dtype) -> None:
    metric = DescriptionScore(tiny_clip, scale="cosine")
    paired, crossed = metric(PHOTOS, TEXTS), metric(PHOTOS, TEXTS, pairwise=True)
    with torch.autocast("cpu", dtype=dtype):
        np.testing.assert_array_equal(metric(PHOTOS, TEXTS).scores, paired.scores)
        within = metric(PHOTOS, TEXTS, pairwise=True)
    np.testing.assert_array_equal(within.scores, crossed.scores)


def test_the_default_dtype_of_tensors_changes_nothing(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, scale="cosine")
    expected = metric(PHOTOS, TEXTS).scores
    explained = metric.explain(PHOTOS[0], TEXTS[0], n_steps=2).of_tokens.total
    torch.set_default_dtype(torch.float64)
    try:
        found = metric(PHOTOS, TEXTS).scores
        again = metric.explain(PHOTOS[0], TEXTS[0], n_steps=2).of_tokens.total
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(again, explained)


def test_a_score_that_is_not_finite_is_a_failure(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"] *= 1e30
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    result = DescriptionScore(folder, on_error="record")(PHOTOS, TEXTS)
    assert np.isnan(result.scores).all()
    assert result.failed == len(PHOTOS)
    assert "image 2 has no finite embedding" in result.errors[2]
    with pytest.raises(InputError, match="image 0 has no finite embedding"):
        DescriptionScore(folder)(PHOTOS, TEXTS)


def test_weights_that_the_configuration_leaves_out_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"the text tower has 1 layers"):
        DescriptionScore(folder)


def test_constants_that_old_checkpoints_keep_are_no_obstacle(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert DescriptionScore(folder)(PHOTOS[0], "a cat").failed == 0


def test_a_clip_saved_with_its_processor_is_a_checkpoint(tiny_clip: Path, tmp_path: Path) -> None:
    CLIPModel.from_pretrained(tiny_clip).save_pretrained(tmp_path)
    CLIPProcessor.from_pretrained(tiny_clip).save_pretrained(tmp_path)
    expected = DescriptionScore(tiny_clip)(PHOTOS, TEXTS).scores
    np.testing.assert_allclose(DescriptionScore(tmp_path)(PHOTOS, TEXTS).scores, expected)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"base": {"name": "x/base"}}, "has format None .* upgrade descscore"),
        ({"format": 99, "base": {"name": "x/base"}}, "has format 99"),
        ({"format": 1, "base": {"name": "x/base"}, "digests": ["x"]}, "has digests"),
    ],
)
def test_a_configuration_that_would_be_misread_is_refused(
    tmp_path: Path, config: dict[str, object], message: str
) -> None:
    (tmp_path / "descscore_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        resolve_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("adapter_model.safetensors", "has half an adapter"),
        ("das.safetensors", "changes its base by nothing"),
    ],
)
def test_an_adapter_that_would_be_ignored_is_refused(
    tiny_clip: Path, tmp_path: Path, file: str, message: str
) -> None:
    shutil.copytree(tiny_clip, tmp_path / "base")
    config = {"format": 1, "base": {"name": "some/base"}}
    (tmp_path / "descscore_config.json").write_text(json.dumps(config))
    assert resolve_checkpoint(tmp_path).base_folder == tmp_path / "base"
    (tmp_path / file).touch()
    with pytest.raises(CheckpointError, match=message):
        resolve_checkpoint(tmp_path)


def test_a_checkpoint_that_is_its_own_base_is_refused(tmp_path: Path) -> None:
    config = {"format": 1, "base": {"name": str(tmp_path)}}
    (tmp_path / "descscore_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="changes its base by nothing"):
        resolve_checkpoint(tmp_path)


def test_a_path_with_a_shipped_name_is_a_folder(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointNotFoundError):
        resolve_checkpoint(Path("mini"))
    shutil.copytree(tiny_clip, tmp_path / "mini")
    assert resolve_checkpoint(Path("mini")).folder == tmp_path / "mini"


def test_files_that_lie_beside_a_checkpoint_are_no_part_of_its_identity(folder: Path) -> None:
    before = resolve_checkpoint(folder).identity
    (folder / "scores.json").write_text("{}")
    assert resolve_checkpoint(folder).identity == before
    (folder / "merges.txt").write_text("#version: 0.2\n")
    assert resolve_checkpoint(folder).identity != before


def test_a_long_text_is_its_own_best_reference(tiny_clip: Path) -> None:
    long = "A dog sleeps on the beach. " * 20 + "Two cats watch the sea. " * 10
    metric = DescriptionScore(tiny_clip, long_text="sentences")
    result = metric([PHOTOS[0]], [long], references=[[long, "an old clock"]])
    assert result.reference_scores == pytest.approx([1.0], abs=1e-6)


def test_positions_are_counted_through_batches_in_messages_too(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip, on_error="record")
    metric.update(PHOTOS[:2], TEXTS[:2])
    metric.update([PHOTOS[0], "nowhere.jpg"], ["a cat", "a dog"])
    metric.update([PHOTOS[0]], [""])
    result = metric.compute()
    assert result.image_index.tolist() == [0, 1, 2, 3, 4]
    assert result.text_index.tolist() == [0, 1, 2, 3, 4]
    assert result.errors[:3] == (None, None, None)
    assert result.errors[3].startswith("image 3 ('nowhere.jpg')")
    assert result.errors[4].startswith("text 4 is empty")
    metric.reset()
    metric.update([PHOTOS[0]], ["a cat"])
    assert metric.compute().image_index.tolist() == [0]


def test_drawings_are_refused_before_another_program_sees_them(tmp_path: Path) -> None:
    path = tmp_path / "drawing.png"
    Image.new("RGB", (4, 4)).save(path, "EPS")
    with pytest.raises(ImageError, match="a drawing in EPS; export it as PNG"):
        decode(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="only POSIX has named pipes")
def test_pipes_and_devices_are_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(ImageError, match="a device or a pipe"):
            decode(path)


def test_a_missing_extra_says_how_to_install_it(
    tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = DescriptionScore(tiny_clip)(PHOTOS, TEXTS)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r'pip install "descscore\[pandas\]"'):
        result.to_pandas()
