"""Outputs: written whole or not at all, by one process, and never over an input."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import DescscoreError, OptionError, WriteError
from descscore.printable import valid_unicode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file, and rename it to the file once the block succeeds.

    The temporary name is new each time, so that two processes that write one file do not meet, and
    no file of someone else's is touched.

    Raises:
        WriteError: the system cannot write the file.
    """
    unfinished = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        with naming(path):
            yield unfinished
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an error of the system, which says "No space left on device" of none.

    Raises:
        WriteError: the system cannot write it.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, DescscoreError):
            raise
        raise WriteError(
            f"{path} cannot be written ({error.strerror or error}); make it possible and repeat "
            "the command"
        ) from error


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, whole or not at all; text as UTF-8, with what UTF-8 cannot hold escaped.

    Raises:
        WriteError: the system cannot write it.
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(
            valid_unicode(content).encode() if isinstance(content, str) else content
        )


@contextmanager
def run_lock(path: Path, busy: str) -> Iterator[None]:
    """Keep other processes out for as long as the block lasts; a killed process keeps none out.

    Args:
        path: the lock's file, which is removed at the end.
        busy: what to say if another process holds it.

    Raises:
        OptionError: another process holds it.
    """
    from filelock import FileLock, Timeout

    try:
        held = FileLock(path).acquire(timeout=0)
    except Timeout:
        raise OptionError(busy) from None
    with held:
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def check_apart(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuse to write over a file that is read.

    Raises:
        OptionError: a path that is written leads to a file that is read.
    """
    inputs = {_identity(path): path for path in read}
    for path in written:
        if (found := inputs.get(_identity(path))) is not None:
            raise OptionError(
                f"{found} is read, and writing {path} would replace it; give the output another "
                "name"
            )


def _identity(path: Path) -> object:
    """What two names of one file have in common, links included."""
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino
