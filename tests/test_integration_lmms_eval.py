"""The task file for lmms-eval: its functions by themselves, and in lmms-eval where it is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from descscore import DescriptionScore
from descscore.integrations import lmms_eval
from tests.conftest import ROOT

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TASK = lmms_eval.TASKS / "descscore_flickr30k.yaml"


@pytest.fixture
def scorer(tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> DescriptionScore:
    monkeypatch.setenv("DESCSCORE_CHECKPOINT", str(tiny_clip))
    lmms_eval._scorer.cache_clear()
    return DescriptionScore(tiny_clip, num_workers=0)


def test_a_text_is_scored_beside_its_image(scorer: DescriptionScore) -> None:
    with Image.open(PHOTOS[0]) as image:
        found = lmms_eval.process_results({"image": image}, ["a red cup"])
        expected = scorer(image, "a red cup").scores.item()
    assert found == {"descscore": expected, "descscore_purpose": None}


def test_purpose_is_reported_by_a_checkpoint_that_has_it() -> None:
    lmms_eval._scorer.cache_clear()
    with Image.open(PHOTOS[0]) as image:
        found = lmms_eval.process_results({"image": image}, ["a red cup"])
    assert 0 <= (found["descscore_purpose"] or -1) <= 1


@pytest.mark.parametrize("text", ["", " ", None])
def test_a_model_that_writes_nothing_scores_nothing(scorer: DescriptionScore, text: Any) -> None:
    found = lmms_eval.process_results({"image": Image.new("RGB", (9, 9))}, [text])
    assert found == {"descscore": 0.0, "descscore_purpose": None}


def test_the_mean_leaves_out_what_has_no_value() -> None:
    assert lmms_eval.mean([1.0, None, 0.0]) == 0.5
    assert math.isnan(lmms_eval.mean([None]))


def test_the_functions_that_the_task_names_exist() -> None:
    class Loader(yaml.SafeLoader):
        pass

    named: list[str] = []
    Loader.add_constructor("!function", lambda _, node: named.append(node.value))
    task = yaml.load(TASK.read_text("utf-8"), Loader)
    assert {each["metric"] for each in task["metric_list"]} == {"descscore", "descscore_purpose"}
    for name in named:
        module, _, function = name.rpartition(".")
        assert module == lmms_eval.__name__
        assert callable(getattr(lmms_eval, function))


@pytest.mark.filterwarnings("ignore")  # lmms-eval's and its libraries'
def test_lmms_eval_runs_the_task(
    scorer: DescriptionScore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs where lmms-eval is installed, which wants an environment of its own."""
    tasks = pytest.importorskip("lmms_eval.tasks", exc_type=ImportError)
    import datasets

    rows = {"image": [*map(str, PHOTOS)], "caption": [["a"]] * len(PHOTOS)}
    data = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    data.to_parquet(tmp_path / "test.parquet")
    local = yaml_with(
        dataset_path="parquet", dataset_kwargs={"data_files": {"test": "test.parquet"}}
    )
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / TASK.name).write_text(local, "utf-8")
    monkeypatch.chdir(tmp_path)
    manager = tasks.TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    task = tasks.get_task_dict(["descscore_flickr30k"], manager)["descscore_flickr30k"]
    found = [task.process_results(doc, ["a red cup"]) for doc in task.test_docs()]
    values = [each["descscore"] for each in found]
    expected = scorer([*PHOTOS], "a red cup")
    assert values == pytest.approx(expected.scores.tolist(), abs=1e-6)
    assert task.aggregation()["descscore"](values) == pytest.approx(expected.mean, abs=1e-6)


def yaml_with(**changes: Any) -> str:
    lines = TASK.read_text("utf-8").splitlines()
    kept = [line for line in lines if line.split(":")[0] not in changes]
    return "\n".join([*kept, yaml.safe_dump(changes)])
