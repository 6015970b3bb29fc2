"""Words and texts that images and names are compared with; `vocabulary.toml` explains each."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from descscore.strings import names

_TABLE = tomllib.loads(
    files("descscore.audit").joinpath("vocabulary.toml").read_text(encoding="utf-8")
)

MEDIUM = names(_TABLE["medium"])
FURNITURE = names(_TABLE["furniture"])
LINKING = names(_TABLE["linking"])
NEVER_WRITTEN = names(_TABLE["never_written"])
ABOUT_WRITING = names(_TABLE["about_writing"])
WITHOUT = names(_TABLE["without"])
AGENCIES = names(_TABLE["agencies"])
HOSTS = names(_TABLE["hosts"])
AGENCY_WORDS = names(_TABLE["agency_words"])
CREDIT_KEYS = f"(?:{'|'.join(sorted(names(_TABLE['credit_keys'])))})"
PREFIXES: tuple[str, ...] = tuple(_TABLE["prefixes"])
UNRELATED: tuple[str, ...] = tuple(_TABLE["unrelated"])
INFORMATIVE: tuple[str, ...] = tuple(_TABLE["informative"])
DECORATIVE: tuple[str, ...] = tuple(_TABLE["decorative"])
