"""How far a table is, on stderr: a bar in a terminal, a line every half a minute elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from descscore.cli.console import print_line
from descscore.heartbeat import heartbeat

if TYPE_CHECKING:
    from typing import Self


class TableProgress:
    """A bar with rate and time left; call it with the rows done and their total.

    Args:
        shown: whether to show it.
        doing: what is done with the rows.

    Attributes:
        done: rows that are done and written.
        total: rows in the table; None until the checkpoint is loaded.
    """

    def __init__(self, *, shown: bool, doing: str = "scoring") -> None:
        from tqdm import tqdm

        self._doing = doing
        self.done = 0
        self.total: int | None = None
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            desc="loading the checkpoint",
            unit=" pairs",
            leave=False,
            # The mean rate: a chunk may take minutes on a slow machine.
            smoothing=0,
            disable=not (shown and terminal),
        )
        self._began = (0.0, 0)
        self._lines = ExitStack()
        self._shows_lines = shown and not terminal

    def __enter__(self) -> Self:
        say = partial(print_line, stderr=True)
        self._lines.enter_context(heartbeat(self._line, say, shown=self._shows_lines))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is."""
        if self.total is None:
            # What an earlier run did says nothing about this one's speed.
            self._began = (time.monotonic(), done)
            self._bar.set_description(self._doing, refresh=False)
            self._bar.reset(total)
            self._bar.initial = done
        self.done, self.total = done, total
        self._bar.n = done
        self._bar.refresh()

    def stop(self) -> None:
        """Take the bar off the terminal."""
        self._lines.close()
        self._bar.close()

    def _line(self) -> str:
        if self.total is None:
            return "loading the checkpoint"
        line = f"{self._doing}: {self.done:,} of {self.total:,} rows"
        began, first = self._began
        if rate := (self.done - first) / max(time.monotonic() - began, 1e-9):
            minutes = (self.total - self.done) / rate / 60
            line += f", {rate:,.1f} pairs/s, about {minutes:,.0f} min left"
        return line
