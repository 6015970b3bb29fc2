"""The processes that train together or side by side, and the devices they train on."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState, PartialState

from descscore.errors import MissingExtraError, OptionError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


TRACKERS = ("tensorboard", "wandb")


@contextmanager
def accelerated(
    device: str, accumulate: int, trackers: Sequence[str], out: Path
) -> Iterator[Accelerator]:
    """Accelerate's view of a run's processes.

    Accelerate keeps the first device of a Python process until its state is reset. A run by one
    process does so at its end, if the state is its own.

    Args:
        device: "auto" or "cpu".
        accumulate: parts that a batch is computed in.
        trackers: where metrics are sent to.
        out: the run's folder.

    Raises:
        OptionError: the device is another one, or processes that were launched together would
            each train alone.
        RecipeError: there is no such tracker.
        MissingExtraError: a tracker is not installed.
    """
    if device not in {"auto", "cpu"}:
        raise OptionError(
            f"device is {device!r}; training takes 'auto' or 'cpu' (choose among several GPUs with "
            "CUDA_VISIBLE_DEVICES)"
        )
    for tracker in trackers:
        if tracker not in TRACKERS:
            raise RecipeError(f"there is no tracker {tracker!r}; choose {' or '.join(TRACKERS)}")
        if find_spec(tracker) is None:
            raise MissingExtraError(
                f"the tracker {tracker!r} is not installed: pip install {tracker}"
            )
    kept = bool(PartialState._shared_state)
    accelerator = Accelerator(
        cpu=device == "cpu",
        # Kept as the device is; each run's own precision is set at its steps.
        mixed_precision="no",
        gradient_accumulation_steps=accumulate,
        log_with=list(trackers) or None,
        project_dir=out,
        # While one process evaluates the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=6))],
    )
    alone = accelerator.num_processes == 1
    try:
        launched = int(os.environ.get("WORLD_SIZE") or 1)
        if alone and launched > 1:
            raise OptionError(
                f"WORLD_SIZE says that {launched} processes train together, but without GPUs each "
                "would train alone; set device to 'cpu', or start one process without a launcher"
            )
        yield accelerator
    finally:
        if alone and not kept:
            AcceleratorState._reset_state(reset_partial_state=True)


@contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for trainings side by side, which end with this one, however it ends.

    Args:
        jobs: how many.
    """
    context = get_context("spawn")
    before = set(active_children())
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_follow_parent) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(active_children()) - before:
                process.terminate()
            raise


def _follow_parent() -> None:
    """Leave Ctrl-C, which reaches all processes of a terminal, to the parent; end as it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
