"""What data are, as a short digest: equal for equal data, quick for large ones."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.checkpoints.files import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHOLE = 64 * 2**20


@cache
def fingerprint(path: Path) -> str:
    """SHA-256 of what a file or folder holds.

    A folder is its files' names and sizes, and the content of its tables (csv and json) up to 64
    MiB; a zip file its members' names and checksums. Asked for again it is not read again.
    """
    lines = _of_folder(path) if path.is_dir() else [_of_file(path)]
    total = hashlib.sha256()
    for line in lines:
        total.update(f"{line}\n".encode())
    return total.hexdigest()


def digest(values: object) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 if it does not exist."""
    if path.is_dir():
        return sum(Path(entry).stat().st_size for entry in _files(path))
    return path.stat().st_size if path.exists() else 0


def _of_folder(folder: Path) -> Iterator[str]:
    for name in sorted(_files(folder)):
        path = Path(name)
        table = path.suffix in {".csv", ".json"} and path.stat().st_size <= _WHOLE
        content = file_digest(path) if table else path.stat().st_size
        yield f"{path.relative_to(folder).as_posix()} {content}"


def _of_file(path: Path) -> str:
    if path.suffix == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = sorted((info.filename, info.CRC) for info in archive.infolist())
        return digest(members)
    return file_digest(path) if path.stat().st_size <= _WHOLE else str(path.stat().st_size)


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)
