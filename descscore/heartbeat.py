"""A line at regular intervals, for progress where there is no terminal to draw a bar on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

SECONDS = 30.0


class Heartbeat:
    """Prints a line every half a minute while its block runs, however long a step takes.

    Args:
        line: gives the line, or None for none.
        say: prints it.
        shown: whether to print at all.
        seconds: between two lines; by default 30.
    """

    def __init__(
        self,
        line: Callable[[], str | None],
        say: Callable[[str], object],
        *,
        shown: bool = True,
        seconds: float | None = None,
    ) -> None:
        self._line, self._say = line, say
        self._seconds = SECONDS if seconds is None else seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True) if shown else None

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Print no more lines."""
        self._over.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            line = self._line()
            if line is not None:
                self._say(line)
