"""Scoring on Ray, in processes of its own: Ray's threads and warnings stay out of other tests."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from descscore.tables.shards import run_shards
from tests.conftest import ROOT
from tests.fake_metric import FakeMetric

pytest.importorskip("ray")
pytestmark = pytest.mark.ray

PHOTOS = ROOT / "examples" / "photos"

ENGINE = """
import os, sys
from pathlib import Path
from tests.fake_metric import FakeMetric
from descscore.tables.scoring import score_table
from descscore.integrations.ray import RayCluster
from descscore.tables.shards import run_shards

folder = Path(sys.argv[1])
seen = folder / "actors"
seen.mkdir()

class Dying(FakeMetric):
    def __call__(self, images, texts):
        (seen / str(os.getpid())).touch()
        if len(self.calls) == 5 and not (folder / "died").exists():
            (folder / "died").touch()
            os._exit(1)
        return super().__call__(images, texts)

lines = [f"{i % 7}.jpg,text {i}" for i in range(400)]
(folder / "in.csv").write_text("\\n".join(["image,text", *lines]))
done = []
summary = run_shards(
    Dying, [folder / "in.csv"], folder / "out", chunk=8, shard_rows=8, engine=RayCluster(workers=2),
    join=folder / "joined.csv", progress=lambda rows, total: done.append((rows, total)),
)
score_table(FakeMetric, folder / "in.csv", folder / "whole.csv", chunk=8)
assert (folder / "joined.csv").read_bytes() == (folder / "whole.csv").read_bytes()
assert summary.n == 400 and done[0] == (0, 400) and done[-1] == (400, 400), (summary, done)
"""

DRIVER = """
import os, sys
from pathlib import Path
from tests.fake_metric import FakeMetric
from descscore.integrations.ray import RayCluster
from descscore.tables.shards import run_shards

folder = Path(sys.argv[1])

class Killing(FakeMetric):
    def __call__(self, images, texts):
        if len(self.calls) == 6:
            os.kill(int((folder / "driver").read_text()), 9)
        return super().__call__(images, texts)

(folder / "driver").write_text(str(os.getpid()))
run_shards(
    Killing, [folder / "in.csv"], folder / "out", chunk=8, shard_rows=8,
    engine=RayCluster(workers=1), join=folder / "joined.csv",
)
"""

BATCHES = """
import json, sys
import ray
from descscore.integrations.ray import ScoreBatches

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    photo = sys.argv[1]
    items = [{"image": photo, "text": f"A red cup {i}."} for i in range(6)]
    items.append({"image": "none.jpg", "text": "A cup."})
    data = ray.data.from_items(items, override_num_blocks=2)
    actors = ray.data.ActorPoolStrategy(size=1)
    found = data.map_batches(ScoreBatches, compute=actors, batch_size=4, num_cpus=1)
    print(json.dumps(found.take_all()))
"""


def run(program: str, *arguments: object, killed: bool = False) -> str:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'training'}"}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    # A file, since Ray's own processes outlive a killed driver a while and keep a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(command, env=environment, stdout=output, stderr=output, timeout=600)
        output.seek(0)
        printed = output.read()
    assert done.returncode == (-signal.SIGKILL if killed else 0), printed
    return printed


def test_two_actors_score_every_row_once_though_one_dies(tmp_path: Path) -> None:
    run(ENGINE, tmp_path)
    assert len(list((tmp_path / "actors").iterdir())) == 3


def test_a_killed_driver_loses_no_row_and_scores_none_twice(tmp_path: Path) -> None:
    lines = [f"{i % 7}.jpg,text {i}" for i in range(200)]
    (tmp_path / "in.csv").write_text("\n".join(["image,text", *lines]))
    run(DRIVER, tmp_path, killed=True)
    assert 0 < len(list((tmp_path / "out").glob("part-*"))) < 25
    assert not (tmp_path / "joined.csv").exists()
    # The parts are those of any engine, and one start of Ray fewer saves half of the time.
    summary = run_shards(
        FakeMetric,
        [tmp_path / "in.csv"],
        tmp_path / "out",
        chunk=8,
        shard_rows=8,
        join=tmp_path / "joined.csv",
    )
    assert summary is not None
    assert summary.n == 200
    with (tmp_path / "joined.csv").open(newline="") as file:
        found = [f"{row['image']},{row['text']}" for row in csv.DictReader(file)]
    assert found == lines


def test_batches_of_a_pipeline_get_the_scores_of_the_metric() -> None:
    from descscore import DescriptionScore

    photo = str(PHOTOS / "coffee.jpg")
    rows = json.loads(run(BATCHES, photo).splitlines()[-1])
    expected = DescriptionScore()(photo, [f"A red cup {i}." for i in range(6)])
    found = {row["text"]: row["score"] for row in rows if row["image"] == photo}
    assert [found[f"A red cup {i}."] for i in range(6)] == pytest.approx(
        expected.scores.tolist(), abs=1e-5
    )
    assert {row["error"] for row in rows} == {
        None,
        "image ('none.jpg') does not exist; check the path",
    }
