"""Words and texts that images and names are compared with; `vocabulary.toml` explains each."""

from __future__ import annotations

import tomllib
from importlib.resources import files

_TABLE = tomllib.loads(
    files("descscore.audit").joinpath("vocabulary.toml").read_text(encoding="utf-8")
)


def _set(name: str) -> frozenset[str]:
    return frozenset(_TABLE[name].split())


MEDIUM = _set("medium")
FURNITURE = _set("furniture")
LINKING = _set("linking")
NEVER_WRITTEN = _set("never_written")
ABOUT_WRITING = _set("about_writing")
WITHOUT = _set("without")
AGENCIES = _set("agencies")
HOSTS = _set("hosts")
AGENCY_WORDS = _set("agency_words")
CREDIT_KEYS = f"(?:{'|'.join(sorted(_set('credit_keys')))})"
PREFIXES: tuple[str, ...] = tuple(_TABLE["prefixes"])
UNRELATED: tuple[str, ...] = tuple(_TABLE["unrelated"])
INFORMATIVE: tuple[str, ...] = tuple(_TABLE["informative"])
DECORATIVE: tuple[str, ...] = tuple(_TABLE["decorative"])
