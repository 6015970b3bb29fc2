"""The script for a GPU runs through on a CPU, with towers of toy size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_the_gpu_script_measures_all_that_it_promises(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", ROOT / "tests" / "benchmarks" / "gpu.sh", tmp_path],
        env=os.environ | {"PATH": path, "DEVICE": "cpu", "SMALL": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for size in ("b32", "l14"):
        found = json.loads((tmp_path / f"score-{size}.txt").read_text())
        assert found["images float32"]["apart"] < 1e-5
        assert found["texts float32"]["apart"] < 1e-5
        assert found["images bfloat16"]["descscore per s"] > 0
    trained = json.loads((tmp_path / "train.txt").read_text())
    for kind in ("behavioral", "iit-das", "iit", "joint"):
        assert trained[f"{kind}, batch 12"]["hours for the paper"] > 0
        assert trained[f"{kind}, largest tried that fits"] >= 12
