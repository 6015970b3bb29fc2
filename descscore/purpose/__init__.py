"""The purpose subspace: where a text tower encodes whether a text is a description or a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.purpose.files import load_purpose, save_purpose
    from descscore.purpose.probe import Purpose
    from descscore.purpose.subspace import (
        Site,
        complement,
        identity_basis,
        interchange,
        random_basis,
    )

_NAMES = {
    "files": ("load_purpose", "save_purpose"),
    "probe": ("Purpose",),
    "subspace": ("Site", "complement", "identity_basis", "interchange", "random_basis"),
}

__all__ = [
    "Purpose",
    "Site",
    "complement",
    "identity_basis",
    "interchange",
    "load_purpose",
    "random_basis",
    "save_purpose",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
