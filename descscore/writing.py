"""Outputs: written whole or not at all, by one process, and never over an input."""

# universal-pathlib may be absent.
# pyright: reportMissingImports=false

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from descscore.errors import (
    DescscoreError,
    MissingExtraError,
    OptionError,
    TableError,
    WriteError,
)
from descscore.extras import imports_of
from descscore.printable import is_valid_unicode, valid_unicode
from descscore.strict_json import dump_indented
from descscore.strings import quoted

try:
    import fcntl
except ModuleNotFoundError:  # on Windows
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_ABANDONED_SECONDS = 86_400


def as_path(name: str | os.PathLike[str]) -> Path:
    """A path of this system, or of a file system that `fsspec` knows, such as s3://bucket/folder.

    Raises:
        MissingExtraError: universal-pathlib, or what it needs for this system, is not installed.
        OptionError: the address is of no file system that is known.
    """
    if isinstance(name, str) and "://" in name:
        with imports_of("remote"):
            from upath import UPath

        try:
            path = UPath(name)
            _ = path.fs  # imports what reaches it
        except ImportError as error:
            raise MissingExtraError(f"{quoted(name)} needs another package: {error}") from error
        except (OSError, ValueError) as error:
            raise OptionError(f"{quoted(name)} is no address of a file: {error}") from error
        return cast("Path", path)
    return Path(name) if isinstance(name, str) else cast("Path", name)


def is_remote(path: Path) -> bool:
    """Whether a path is on another file system, where a file appears once it is whole."""
    return not isinstance(path, Path)


@contextmanager
def replacing(path: Path, *, sole: bool = False) -> Iterator[Path]:
    """Give a temporary path beside a file, and rename it to the file once the block succeeds.

    The temporary name is new each time, so that two processes that write one file do not meet, and
    no file of someone else's is touched.

    Args:
        path: the file.
        sole: no other process writes it, so the temporary name is fixed, and what a killed process
            left under it is removed first: large files would soon fill a disk.

    Raises:
        WriteError: the system cannot write the file.
    """
    if is_remote(path):
        with naming(path):
            yield path
        return
    unique = "" if sole else f".{_MACHINE}{secrets.token_hex(4)}"
    unfinished = path.with_name(f".{path.name[:200]}{unique}.tmp")
    try:
        with naming(path):
            unfinished.unlink(missing_ok=True)
            with nullcontext() if sole else _held(unfinished):
                yield unfinished
                with unfinished.open("rb+") as file:
                    os.fsync(file.fileno())
                unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Lock a file while the block writes it, so that others see that its process lives."""
    if fcntl is None:
        yield
        return
    file = path.open("wb")
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)
        # Whoever clears a folder may have come between: then it is gone, and made again.
        while not path.exists():
            gone, file = file, path.open("wb")
            gone.close()
            fcntl.flock(file, fcntl.LOCK_EX)
    with file:
        yield


def clear_unfinished(folder: Path, names: str) -> None:
    """Remove what killed processes left of files that they wrote with `replacing`.

    A file that a live process writes is locked, and stays. Locks may not reach other machines: what
    one of them wrote goes after a day in which nobody wrote to it.

    Args:
        folder: where the files are.
        names: a pattern of their names.
    """
    if fcntl is None or is_remote(folder):
        return
    for path in folder.glob(f".{names}.*.tmp"):
        with suppress(OSError), path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            own = path.suffixes[-2].startswith(f".{_MACHINE}")
            if own or time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an error of the system, which says "No space left on device" of none.

    Raises:
        WriteError: the system cannot write it.
    """
    try:
        yield
    except DescscoreError:
        raise
    except OSError as error:
        raise _write_error(path, error.strerror or str(error)) from error


def write_whole(
    path: Path, content: bytes | str | Callable[[Path], object], *, sole: bool = False
) -> None:
    """Write a file, whole or not at all.

    Args:
        path: the file.
        content: bytes; text, written as UTF-8 with what UTF-8 cannot hold escaped; or a function
            that writes to the path that it is given, such as one that calls `torch.save`.
        sole: as for `replacing`.

    Raises:
        WriteError: the system cannot write it.
    """
    with replacing(path, sole=sole) as unfinished:
        if not callable(content):
            unfinished.write_bytes(
                valid_unicode(content).encode() if isinstance(content, str) else content
            )
            return
        from safetensors import SafetensorError

        try:
            content(unfinished)
        # What PyTorch and safetensors raise on a full disk.
        except (RuntimeError, SafetensorError) as error:
            raise _write_error(path, str(error).partition("\n")[0]) from error


def write_json(path: Path, content: object) -> None:
    """Write plain values as JSON.

    Raises:
        WriteError: the file cannot be written.
    """
    write_whole(path, dump_indented(content))


def _write_error(path: Path, reason: str) -> WriteError:
    return WriteError(
        f"{path} cannot be written ({reason}); free some space and repeat the command"
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

    if is_remote(path):
        yield
        return
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
    if is_remote(path):
        return str(path)
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def check_new_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made; for one to be made, that which will hold it.

    Raises:
        TableError: it cannot be written to.
    """
    check_folder(next(place for place in (folder, *folder.absolute().parents) if place.exists()))


def check_utf8(*folders: Path) -> None:
    """Refuse folders for checkpoints whose names are not UTF-8: safetensors cannot open them.

    Raises:
        OptionError: a name is not.
    """
    for folder in folders:
        if not is_valid_unicode(str(folder)):
            raise OptionError(
                f"the name of the folder {folder} is not valid UTF-8, so no checkpoint can be "
                "written to it; choose another"
            )


def check_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made, by making one that has no name.

    Raises:
        TableError: it does not exist or cannot be written to.
    """
    if is_remote(folder):
        return
    if not folder.exists():
        raise TableError(
            f"the folder {folder} for the output does not exist; create it, or choose another"
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TableError(
            f"the folder {folder} cannot be written to ({error.strerror or error}); "
            "choose another for the output"
        ) from None
