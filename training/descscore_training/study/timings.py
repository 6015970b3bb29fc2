"""How long each step of a study took, apart from its results, which must not depend on it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from descscore.atomic import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Timings:
    """Seconds by step, in a JSON file that is written after each.

    Args:
        path: of the file; what it holds is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = {}
        try:
            self.seconds = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Add what passes inside to a step's seconds; nothing if it fails."""
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.seconds[step] = round(self.seconds.get(step, 0.0) + took, 3)
        write_json(self._path, self.seconds)
