"""DescriptionScoreMetric: values equal DescriptionScore's wherever torchmetrics takes it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection
from torchmetrics.utilities import dim_zero_cat

from descscore import DescriptionScore
from descscore.errors import ImageNotFoundError
from descscore.integrations.torchmetrics import DescriptionScoreMetric
from tests.conftest import ROOT

PHOTOS = sorted(map(str, (ROOT / "examples" / "photos").glob("*.jpg")))
TEXTS = [["a dog on the beach", "a cat"], ["a red cup"], ["a rocket", "", "two clocks"], ["an owl"]]


@pytest.fixture(scope="module")
def scorer(tiny_clip: Path) -> DescriptionScore:
    return DescriptionScore(tiny_clip, scale="cosine", on_error="record", num_workers=0)


def test_the_value_is_the_mean_of_descriptionscore(scorer: DescriptionScore) -> None:
    metric = DescriptionScoreMetric(scorer, samples=True)
    images = [*PHOTOS[:3], "missing.jpg"]
    for start in (0, 2):
        metric.update(images[start : start + 2], TEXTS[start : start + 2])
    result = scorer(images, TEXTS)
    assert metric.compute().item() == pytest.approx(result.mean, abs=1e-6)
    assert metric.total.dtype == torch.float64
    assert (metric.n.item(), metric.failed.item()) == (5, 2)
    np.testing.assert_allclose(dim_zero_cat(metric.samples), result.scores, atol=1e-6)


def test_a_batch_tensor_and_references_are_taken(scorer: DescriptionScore) -> None:
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    texts, references = ["a red cup", "a dog"], [["a cup"], ["a dog on the beach", "a cat"]]
    scorer = DescriptionScore(scorer.checkpoint.folder)
    metric = DescriptionScoreMetric(scorer)
    metric.update(images, texts, references=references)
    assert metric.compute().item() == pytest.approx(scorer(images, texts, references).mean)


def test_forward_gives_the_value_of_the_batch(scorer: DescriptionScore) -> None:
    metric = DescriptionScoreMetric(scorer, samples=True)
    batches = [(PHOTOS[:2], TEXTS[:2]), (PHOTOS[2:3], TEXTS[2:3])]
    of_batches = [metric(*batch).item() for batch in batches]
    assert of_batches == pytest.approx([scorer(*batch).mean for batch in batches], abs=1e-6)
    assert metric.compute().item() == pytest.approx(scorer(PHOTOS[:3], TEXTS[:3]).mean, abs=1e-6)
    assert sum(map(len, metric.samples)) == 6


def test_reset_forgets_the_pairs(scorer: DescriptionScore) -> None:
    metric = DescriptionScoreMetric(scorer, samples=True)
    metric.update(PHOTOS[:2], TEXTS[:2])
    metric.reset()
    metric.update(PHOTOS[0], "")
    assert (metric.n.item(), metric.failed.item(), len(metric.samples)) == (0, 1, 1)
    assert metric.compute().isnan()


def test_errors_are_those_of_the_scorer(tiny_clip: Path) -> None:
    metric = DescriptionScoreMetric(DescriptionScore(tiny_clip))
    with pytest.raises(ImageNotFoundError, match=r"image 0 \('missing.jpg'\)"):
        metric.update("missing.jpg", "a cat")


def test_a_misspelt_option_is_refused(scorer: DescriptionScore) -> None:
    with pytest.raises(ValueError, match="sample"):
        DescriptionScoreMetric(scorer, sample=True)


def test_checkpoints_stay_empty(scorer: DescriptionScore) -> None:
    module = torch.nn.ModuleList([DescriptionScoreMetric(scorer, samples=True)])
    module[0].update(PHOTOS[0], "a cat")
    assert not module.state_dict()
    assert not list(module.parameters())
    module.load_state_dict({})


def test_a_clone_shares_the_model_and_not_the_states(scorer: DescriptionScore) -> None:
    metric = DescriptionScoreMetric(scorer, samples=True)
    metric.update(PHOTOS[:2], TEXTS[:2])
    value = metric.compute()
    copied = metric.clone()
    copied.update(PHOTOS[2], "a red cup")
    assert copied.scorer is scorer
    assert (metric.n.item(), copied.n.item(), len(copied.samples)) == (3, 4, 2)
    assert metric.compute() == value


def test_a_pickled_metric_goes_on(scorer: DescriptionScore) -> None:
    metric = DescriptionScoreMetric(scorer)
    metric.update(PHOTOS[:2], TEXTS[:2])
    loaded = pickle.loads(pickle.dumps(metric))
    for each in (metric, loaded):
        each.update(PHOTOS[2], "a red cup")
    assert loaded.compute().item() == pytest.approx(metric.compute().item(), abs=1e-6)


def test_a_collection_keeps_metrics_apart_whose_first_batches_agree(tiny_clip: Path) -> None:
    metrics = {
        scale: DescriptionScoreMetric(
            DescriptionScore(tiny_clip, scale=scale, on_error="record", num_workers=0)
        )
        for scale in ("cosine", "clip100")
    }
    collection: Any = MetricCollection(metrics).clone(prefix="val_")
    collection.update("missing.jpg", "a cat")
    collection.update(images=PHOTOS[:2], texts="a dog on the beach")
    values = collection.compute()
    assert {name: value.item() for name, value in values.items()} == {
        f"val_{scale}": pytest.approx(
            metric.scorer(PHOTOS[:2], "a dog on the beach").mean, abs=1e-5
        )
        for scale, metric in metrics.items()
    }


def test_a_collection_scores_once_for_metrics_with_one_scorer(scorer: DescriptionScore) -> None:
    collection: Any = MetricCollection(
        {"a": DescriptionScoreMetric(scorer), "b": DescriptionScoreMetric(scorer)}
    )
    collection.update(PHOTOS[0], "a cat")
    assert list(collection.compute_groups.values()) == [["a", "b"]]


def test_values_can_be_plotted(scorer: DescriptionScore, monkeypatch: pytest.MonkeyPatch) -> None:
    mpl.use("agg")
    metric = DescriptionScoreMetric(scorer)
    values = [metric(PHOTOS[0], "a cat"), metric(PHOTOS[1], "a cup")]
    _, axis = metric.plot(values)
    assert axis.lines[0].get_ydata().tolist() == [value.item() for value in values]
    _, axis = metric.plot()
    assert axis.lines[0].get_ydata().item() == metric.compute().item()


_RANK = """
import sys
import torch
import torch.distributed as dist
from torchmetrics.utilities import dim_zero_cat
from descscore import DescriptionScore
from descscore.integrations.torchmetrics import DescriptionScoreMetric

checkpoint, store, rank, *photos = sys.argv[1:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)
scorer = DescriptionScore(checkpoint, scale="cosine", on_error="record", num_workers=0)
metric = DescriptionScoreMetric(scorer, samples=True)
idle = DescriptionScoreMetric(scorer, samples=True)
if rank == "0":
    metric.update(photos[:2], [["a dog", ""], ["a red cup"]])
    metric.update(photos[2], "a rocket")
    idle.update(photos[0], "a dog")
else:
    metric.update("missing.jpg", ["an owl", "a cat"])
with metric.sync_context():
    samples = dim_zero_cat(metric.samples).tolist()
print(metric.compute().item(), idle.compute().item(), samples, metric.n.item(), sep="\\n")
dist.destroy_process_group()
"""


def test_two_processes_with_uneven_shares_give_the_value_of_one(
    scorer: DescriptionScore, tmp_path: Path
) -> None:
    arguments = [str(scorer.checkpoint.folder), str(tmp_path / "store")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _RANK, *arguments, rank, *PHOTOS],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    found = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    expected = scorer(
        [*PHOTOS[:3], "missing.jpg"],
        [["a dog", ""], ["a red cup"], ["a rocket"], ["an owl", "a cat"]],
    )
    for rank, (value, idle, samples, n) in enumerate(found):
        assert float(value) == pytest.approx(expected.mean, abs=1e-6)
        assert float(idle) == pytest.approx(expected.scores[0], abs=1e-6)
        assert int(n) == (3, 0)[rank]
        listed = [float(part) for part in samples.strip("[]").split(",")]
        np.testing.assert_allclose(listed, expected.scores, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice about loaders and loggers
def test_lightning_logs_the_value_of_the_epoch(scorer: DescriptionScore, tmp_path: Path) -> None:
    from lightning import LightningModule, Trainer

    class Captioner(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.metrics: Any = MetricCollection({"score": DescriptionScoreMetric(scorer)})

        def validation_step(self, batch: Any, index: int) -> None:
            images, texts = batch
            self.metrics.update(images, texts)
            self.log_dict(self.metrics, batch_size=len(images))

    batches = [(PHOTOS[:2], ["a dog", "a red cup"]), (PHOTOS[2:3], ["a rocket"])]
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    module = Captioner()
    [logged] = trainer.validate(module, loader, verbose=False)
    expected = scorer(PHOTOS[:3], ["a dog", "a red cup", "a rocket"]).mean
    assert logged == {"score": pytest.approx(expected, abs=1e-6)}
    assert not module.state_dict()
