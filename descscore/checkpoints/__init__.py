"""Checkpoints: where they are and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.checkpoints.attach import load_clip

_NAMES = {"attach": ("load_clip",)}

__all__ = ["load_clip"]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
