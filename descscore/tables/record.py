"""The record beside an output: the settings that it was written with, its summary, its checksum."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from descscore.changes import changes
from descscore.errors import TableError
from descscore.signature import signature_parts
from descscore.strict_json import dump, parse
from descscore.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path


def record_path(out: Path) -> Path:
    """Where the record of an output is."""
    return out.with_name(f"{out.name}.run.jsonl")


def recorded_settings(out: Path) -> dict[str, Any] | None:
    """The settings that an output was written with; None without a record beside it."""
    record = record_path(out)
    if not record.is_file():
        return None
    with record.open("rb") as lines:
        return _object(lines.readline(2**20))


def check_record(out: Path) -> None:
    """Refuse to write over a file that has a record's name and is none.

    Raises:
        TableError: there is one.
    """
    record = record_path(out)
    if record.exists() and "signature" not in (recorded_settings(out) or {}):
        raise TableError(
            f"{record} is not the record of a run, and a record of {out} would replace it; give "
            "the output another name"
        )


def write_record(out: Path, settings: dict[str, Any], summary: dict[str, Any]) -> None:
    """Record that an output is finished."""
    finished = {"summary": summary, **checksum(out)}
    write_whole(record_path(out), f"{dump(settings)}\n{dump(finished)}\n")


def recorded_summary(out: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of a finished output; None if it is not finished.

    Raises:
        TableError: it was written with other settings, or changed since.
    """
    before = recorded_settings(out)
    if before is None:
        return None
    check_settings(out, before, settings)
    if not out.exists():
        return None
    finished = _object(record_path(out).read_bytes().partition(b"\n")[2]) or {}
    if any(finished.get(name) != value for name, value in checksum(out).items()):
        raise TableError(
            f"{out} was changed after it was finished, so it is kept; start over with `overwrite`"
        )
    return finished["summary"]


def check_settings(out: Path, before: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse to resume with other settings.

    Raises:
        TableError: they differ; the message names the differences.
    """
    before = {name: before.get(name) for name in settings}
    if before == settings:
        return
    if before.get("table_sha256") != settings.get("table_sha256"):
        changed = "the table was changed"
    else:
        signatures = [str(found.get("signature", "")) for found in (before, settings)]
        parts = [signature_parts(signature) for signature in signatures]
        rest = [found | {"signature": None} for found in (before, settings)]
        changed = ", ".join(filter(None, (changes(*parts), changes(*rest))))
    raise TableError(
        f"{out} cannot be resumed: {changed}; resume with what it was started with, or start over "
        "with `overwrite`"
    )


def checksum(path: Path) -> dict[str, int]:
    """Size and CRC-32 of a file."""
    size, crc = 0, 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return {"bytes": size, "crc32": crc}


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = parse(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
