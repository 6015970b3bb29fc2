"""The only room that knows model classes, and the cache of what they compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.towers.cache import EmbeddingCache
    from descscore.towers.cache_export import export_images

_NAMES = {
    "cache": ("EmbeddingCache",),
    "cache_export": ("export_images",),
}

__all__ = ["EmbeddingCache", "export_images"]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
