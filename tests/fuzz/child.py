"""One command in a child process with little memory, and what became of it."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from tqdm import tqdm

MEMORY = 2 * 1024**3
"""Address space that a child may take beyond that of its parent."""

CPU_SECONDS = 40
WALL_SECONDS = 300
DEFECT = 70


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a child ended: its exit code, negative for a signal, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def problem(self) -> str | None:
        """What is wrong whatever the input was; None if nothing is."""
        if self.code in (-signal.SIGXCPU, -signal.SIGKILL):
            return "hang"
        if self.code < 0:
            return f"signal {-self.code}"
        if self.code not in {0, 1, 2}:
            return f"exit {self.code}"
        if "Traceback" in self.err or "Traceback" in self.out:
            return "traceback"
        if self.code == 2 and "Error:" not in self.err:
            return "no error"
        if any(ord(sign) < 32 and sign not in "\n\r\t" for sign in self.err):
            return "control character"
        return None


def preload() -> None:
    """Import what commands import, so that children need not, and compute in one thread.

    A fork has none of its parent's threads: OpenMP in a child would wait for them without end. It
    shares its parent's semaphores: one that a killed child held, as tqdm's, would never be free.
    """
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())
    for module in (
        "peft",
        "pyarrow.parquet",
        "transformers.models.clip.modeling_clip",
        "transformers.models.clip.image_processing_pil_clip",
        "descscore.cli.app",
        "descscore.metric",
        "descscore.tables.scoring",
        "descscore_training.finetune_recipe",
    ):
        import_module(module)


def run_child(work: Callable[[], object], folder: Path) -> Outcome:
    """Run something in a forked child, in a folder.

    Args:
        work: exits as a command does.
        folder: where it runs; what it prints goes beside it.
    """
    return finish_child(start_child(work, folder), folder)


def start_child(work: Callable[[], object], folder: Path) -> int:
    """Start something in a forked child, as `run_child` does; its process id."""
    pid = os.fork()
    if pid == 0:
        os._exit(_child(work, folder, _printed(folder)))
    return pid


def finish_child(pid: int, folder: Path) -> Outcome:
    """Wait for a child that runs in a folder, and tell how it ended."""
    status = _wait(pid)
    out, err = (path.read_text("utf-8", errors="backslashreplace") for path in _printed(folder))
    return Outcome(code=os.waitstatus_to_exitcode(status), out=out, err=err)


def _printed(folder: Path) -> list[Path]:
    return [folder.with_name(f"{folder.name}{suffix}") for suffix in (".out", ".err")]


def _child(work: Callable[[], object], folder: Path, printed: list[Path]) -> int:
    code = DEFECT
    try:
        os.chdir(folder)
        for stream, path in zip((1, 2), printed, strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        spent = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS, spent + CPU_SECONDS + 5))
        work()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def _wait(pid: int) -> int:
    end = time.monotonic() + WALL_SECONDS
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]
