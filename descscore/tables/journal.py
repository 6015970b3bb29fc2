"""A file that grows chunk by chunk, with a record beside it from which an interrupted run goes on.

The record is jsonl: first the settings of the run, then a line for each chunk with its size, its
checksum and the state to go on from, and at the end the summary. A chunk counts if its line is
whole and its bytes are as recorded; what follows the last such chunk, a half-written row for one,
is cut off on resuming.
"""

from __future__ import annotations

import io
import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from descscore.changes import changes
from descscore.errors import TableError
from descscore.results import signature_parts
from descscore.tables.strict_json import dump, parse
from descscore.writing import naming, write_whole


@dataclass(kw_only=True)
class Journal:
    """An output in progress.

    Attributes:
        work: the file that is appended to.
        record: the file beside it.
        rows: rows in the work file.
        state: what the last chunk left to go on from.
        summary: of the whole run, once it is finished.
    """

    work: Path
    record: Path
    rows: int = 0
    state: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None

    def append(self, data: bytes, *, rows: int, state: dict[str, Any] | None) -> None:
        """Add a chunk and note it."""
        with naming(self.work), self.work.open("ab") as file:
            file.write(data)
        self.rows += rows
        self.state = state
        entry = {"rows": self.rows, "bytes": len(data), "crc32": zlib.crc32(data), "state": state}
        self._note(entry)

    def finish(self, summary: dict[str, Any]) -> None:
        """Note that all is done."""
        self.summary = summary
        self._note({"summary": summary})

    def discard(self) -> None:
        """Remove the work file and its record."""
        self.work.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def _note(self, entry: dict[str, Any]) -> None:
        with naming(self.record), self.record.open("ab") as file:
            file.write(_line(entry))


def record_path(out: Path) -> Path:
    """Where the record of an output is."""
    return out.with_name(f"{out.name}.run.jsonl")


def check_record(out: Path) -> None:
    """Refuse to write over a file that has a record's name and is none.

    Raises:
        TableError: there is one.
    """
    record = record_path(out)
    if record.exists():
        with record.open("rb") as lines:
            settings = _entry(lines.readline(2**20))
        if settings is None or "table_sha256" not in settings:
            raise TableError(
                f"{record} is not the record of a run, and a record of {out} would replace it; "
                "give the output another name"
            )


def recorded_settings(out: Path) -> dict[str, Any] | None:
    """The settings that an output was written with; None without a record beside it."""
    record = record_path(out)
    if not record.is_file():
        return None
    with record.open("rb") as lines:
        return _entry(lines.readline())


def start(out: Path, work: Path, settings: dict[str, Any], header: bytes) -> Journal:
    """Begin an output anew, in place of anything that an earlier run left."""
    record = record_path(out)
    for path in (out, work, record):
        path.unlink(missing_ok=True)
    # The record comes first and whole: an output that has none is not ours to go on with.
    write_whole(record, _line(settings))
    journal = Journal(work=work, record=record)
    journal.append(header, rows=0, state=None)
    return journal


def resume(out: Path, work: Path, settings: dict[str, Any]) -> Journal | None:
    """Go on with an earlier run's output; None if that run left nothing.

    Raises:
        TableError: the output was begun with other settings, or changed after it was finished.
    """
    record = record_path(out)
    if not record.exists():
        if out.exists():
            raise TableError(
                f"{out} cannot be resumed: {record.name}, the record of its run, is not beside it; "
                "start over with --overwrite"
            )
        return None
    with record.open("rb") as lines:
        _check_settings(out, _entry(lines.readline()) or {}, settings)
    found = _compare(record, work)
    journal = Journal(work=work, record=record, rows=found.rows, state=found.state)
    if found.summary is not None:
        if out != work and out.exists():
            return replace(
                journal, rows=found.last_rows, state=found.last_state, summary=found.summary
            )
        if found.changed:
            raise TableError(
                f"{out} was changed after it was finished, so it is left alone; start over with "
                "--overwrite"
            )
        if found.complete:
            return replace(journal, summary=found.summary)
    if not found.chunks or not work.exists():
        return None
    os.truncate(work, found.work_size)
    os.truncate(record, found.record_size)
    return journal


@dataclass
class _Found:
    """What a record says of a work file, and how much of it is there."""

    # Up to the last chunk that is as recorded:
    chunks: int = 0
    rows: int = 0
    state: dict[str, Any] | None = None
    work_size: int = 0
    record_size: int = 0
    # Of the whole record:
    recorded_chunks: int = 0
    last_rows: int = 0
    last_state: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    changed: bool = False
    """The file holds other bytes than recorded, or more."""

    @property
    def complete(self) -> bool:
        return self.chunks == self.recorded_chunks


def _compare(record: Path, work: Path) -> _Found:
    """Hold a work file against its record, a chunk at a time."""
    found = _Found()
    with record.open("rb") as lines, _open_or_empty(work) as written:
        found.record_size = len(lines.readline())  # the settings
        for line in lines:
            entry = _entry(line)
            if entry is None:
                break
            if "summary" in entry:
                found.summary = entry["summary"]
                continue
            if found.complete:
                data = written.read(entry["bytes"])
                if len(data) == entry["bytes"] and zlib.crc32(data) == entry["crc32"]:
                    found.chunks += 1
                    found.rows, found.state = entry["rows"], entry["state"]
                    found.work_size += len(data)
                    found.record_size += len(line)
                else:
                    found.changed = len(data) == entry["bytes"]
            found.recorded_chunks += 1
            found.last_rows, found.last_state = entry["rows"], entry["state"]
        found.changed = found.changed or bool(written.read(1))
    return found


def _check_settings(out: Path, recorded: dict[str, Any], settings: dict[str, Any]) -> None:
    before = {name: recorded.get(name) for name in settings}
    if before == settings:
        return
    if before.get("table_sha256") != settings.get("table_sha256"):
        changed = "the table was changed"
    else:
        changed = changes(_with_parts(before), _with_parts(settings)) or changes(before, settings)
    raise TableError(
        f"{out} cannot be resumed: {changed}; resume with what it was begun with, or start over "
        "with --overwrite"
    )


def _with_parts(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the parts of their signature in its place."""
    signature = settings.get("signature")
    if not isinstance(signature, str):
        return settings
    rest = {name: value for name, value in settings.items() if name != "signature"}
    parts = signature_parts(signature)
    # A signature's images are Pillow's version, a run's their folder.
    return {("pillow" if name == "images" else name): v for name, v in parts.items()} | rest


def _line(entry: dict[str, Any]) -> bytes:
    return dump(entry).encode() + b"\n"


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line of the record; None if it was cut off."""
    try:
        entry = parse(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and line.endswith(b"\n") else None


def _open_or_empty(path: Path) -> BinaryIO:
    return path.open("rb") if path.exists() else io.BytesIO()
