"""Which device a run gets in a Python process, and processes that would train alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized

from descscore.errors import OptionError
from descscore_training.processes import accelerated


def device(out: Path, name: str) -> str:
    """The device that a run gets."""
    with accelerated(name, 1, (), out) as accelerator:
        return accelerator.device.type


def test_workers_end_with_the_process_that_started_them(tmp_path: Path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from descscore_training.processes import worker_pool\n"
        "from tests.test_processes import write_forever\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(1) as pool:\n"
        "        pool.submit(write_forever, Path(sys.argv[1])).result()\n"
    )
    program, written = tmp_path / "program.py", tmp_path / "written"
    program.write_text(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, program, written], env=environment) as process:
        until = time.monotonic() + 120
        while not written.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
    time.sleep(0.5)
    found = written.read_text()
    time.sleep(0.3)
    assert written.read_text() == found


def write_forever(path: Path) -> None:
    """Work that shows that its process is alive."""
    while True:
        path.write_text(str(time.monotonic()))
        time.sleep(0.02)


@pytest.fixture
def kept() -> Iterator[None]:
    """Reset what a test has accelerate keep."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_each_run_in_a_python_process_gets_the_device_that_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # A device that accelerate takes for a GPU.
    with monkeypatch.context() as patch:
        patch.setenv("ACCELERATE_TORCH_DEVICE", "meta")
        assert device(tmp_path, "auto") == "meta"
    assert device(tmp_path, "cpu") == "cpu"
    with monkeypatch.context() as patch:
        patch.setenv("ACCELERATE_TORCH_DEVICE", "meta")
        assert device(tmp_path, "auto") == "meta"


def test_a_run_that_fails_leaves_the_device_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setenv("ACCELERATE_TORCH_DEVICE", "meta")
        with pytest.raises(KeyError), accelerated("auto", 1, (), tmp_path):
            raise KeyError
    assert device(tmp_path, "cpu") == "cpu"


@pytest.mark.usefixtures("kept")
def test_a_callers_accelerator_stays_as_it_is(tmp_path: Path):
    own = Accelerator(cpu=True)
    assert device(tmp_path, "cpu") == "cpu"
    assert is_initialized()
    assert own.is_main_process


def test_processes_that_would_each_train_alone_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = "WORLD_SIZE says that 2 processes train together, .*; set device to 'cpu'"
    with pytest.raises(OptionError, match=message):
        device(tmp_path, "auto")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert device(tmp_path, "cpu") == "cpu"
