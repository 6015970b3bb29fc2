"""A line at regular intervals, for progress where there is no terminal to draw a bar on."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 30.0


@contextmanager
def heartbeat(
    line: Callable[[], str], say: Callable[[str], object], *, shown: bool = True
) -> Iterator[None]:
    """Print a line every half a minute while the block runs, however long a step takes.

    Args:
        line: gives the line.
        say: prints it.
        shown: whether to print at all.
    """
    over = threading.Event()

    def run() -> None:
        while not over.wait(SECONDS):
            say(line())

    if not shown:
        yield
        return
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
