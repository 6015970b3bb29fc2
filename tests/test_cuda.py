"""On a GPU: the scores of the CPU in every dtype, and training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from descscore import DescriptionScore
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TEXTS = ["an astronaut", "a cat looks at the camera", "a cup of espresso", "a rocket at dusk"]


@pytest.fixture(params=[False, True], ids=["exact", "TF32"])
def tf32(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether float32 products may round their factors to TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = request.param
    yield request.param
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("dtype", "apart"), [("float32", 1e-5), ("float16", 3e-3), ("bfloat16", 2e-2)]
)
def test_cosines_are_those_of_the_cpu(
    tiny_clip: Path, tf32: bool, dtype: str, apart: float
) -> None:
    exact = DescriptionScore(tiny_clip, scale="cosine", device="cpu")(PHOTOS, TEXTS)
    metric = DescriptionScore(tiny_clip, scale="cosine", device="cuda", dtype=dtype)
    found = metric(PHOTOS, TEXTS)
    np.testing.assert_allclose(
        found.scores, exact.scores, atol=2e-3 if tf32 and apart < 2e-3 else apart
    )


def test_auto_is_float16(tiny_clip: Path) -> None:
    metric = DescriptionScore(tiny_clip)
    assert (metric.device.type, metric.dtype) == ("cuda", torch.float16)


def test_readouts_and_explanations_are_those_of_the_cpu() -> None:
    readouts = ["purpose", "subspace", "purpose_effect"]
    metrics = [
        DescriptionScore(device=device, dtype="float32", readouts=readouts)
        for device in ("cpu", "cuda")
    ]
    exact, found = (metric(PHOTOS, TEXTS) for metric in metrics)
    for name in readouts:
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), atol=2e-3)
    on_cpu, on_gpu = (metric.explain(PHOTOS[0], TEXTS[0], n_steps=8) for metric in metrics)
    assert on_gpu.score == pytest.approx(on_cpu.score, rel=1e-3)


@pytest.mark.parametrize("kind", ["behavioral", "iit-das", "iit", "joint"])
def test_training_chooses_a_step(tiny_clip: Path, tmp_path: Path, kind: str) -> None:
    from descscore_training.trainer import train
    from tests.training_made import made_data, made_recipe

    recipe = made_recipe(tiny_clip, objective={"kind": kind}, duration={"epochs": 1})
    chosen = train(
        recipe, made_data(tmp_path / "data"), tmp_path / "run", device="cuda", progress=False
    )
    assert chosen.step > 0


def test_embeddings_of_both_devices_are_kept_apart(tiny_clip: Path, tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        metric = DescriptionScore(tiny_clip, device=device, dtype="float32", cache=tmp_path / "c")
        plain = DescriptionScore(tiny_clip, device=device, dtype="float32")
        np.testing.assert_array_equal(metric(PHOTOS, TEXTS).scores, plain(PHOTOS, TEXTS).scores)
