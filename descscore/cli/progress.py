"""How far a table is, on stderr: a bar in a terminal, a line every half a minute elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from descscore.cli.console import print_line
from descscore.heartbeat import Heartbeat

if TYPE_CHECKING:
    from types import TracebackType
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
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._doing = doing
        self.done = 0
        self.total: int | None = None
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
            # A chunk may take minutes on a slow machine, and its rate must outlive it.
            speed_estimate_period=3600,
        )
        self._task = self._bar.add_task("loading the checkpoint", total=None, count="")
        self._began = (0.0, 0)
        self._lines = Heartbeat(
            self._line,
            lambda line: print_line(line, stderr=True),
            shown=shown and not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        self._lines.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if self.total is None:
            # What an earlier run did says nothing about this one's speed.
            self._began = (now, done)
            self._bar.reset(self._task, description=self._doing, total=total, completed=done)
        self.done, self.total = done, total
        rate = self._rate(now)
        shown = f", {rate:,.1f} pairs/s" if rate else ""
        self._bar.update(self._task, completed=done, count=f"{done:,} of {total:,}{shown}")

    def stop(self) -> None:
        """Take the bar off the terminal."""
        self._lines.stop()
        self._bar.stop()

    def _rate(self, now: float) -> float:
        began, first = self._began
        return (self.done - first) / max(now - began, 1e-9)

    def _line(self) -> str:
        if self.total is None:
            return "loading the checkpoint"
        line = f"{self._doing}: {self.done:,} of {self.total:,} rows"
        if rate := self._rate(time.monotonic()):
            minutes = (self.total - self.done) / rate / 60
            line += f", {rate:,.1f} pairs/s, about {minutes:,.0f} min left"
        return line
