"""The purpose subspace: where a text tower encodes whether a text is a description or a caption."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOME = {
    "Purpose": "probe",
    "Site": "subspace",
    "complement": "subspace",
    "identity_basis": "subspace",
    "interchange": "subspace",
    "load_purpose": "files",
    "random_basis": "subspace",
    "save_purpose": "files",
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


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, since torch takes seconds."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
