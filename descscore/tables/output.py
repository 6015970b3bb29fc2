"""Where scored rows go: a file that can be resumed, or a stream."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from descscore.errors import OptionError, TableError
from descscore.tables import journal
from descscore.tables.formats import writer_for
from descscore.tables.jsonl import JsonlWriter
from descscore.tables.parquet import ParquetWriter
from descscore.writing import check_apart, run_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from descscore.tables.columns import Cells
    from descscore.tables.table import Row, Table


class FileOutput:
    """A file that rows are appended to, with a record beside it that lets an interrupted run go on.

    A parquet file cannot be appended to: results gather in a file `OUT.partial` and are joined to
    the table's rows at the end.

    Args:
        out: the file; its name tells the format.
        table: the table whose rows come.
        added: names of the columns that are added in any case.
        resume: go on where an earlier run stopped; begin if there was none.
        overwrite: replace what is there.

    Raises:
        TableError: the output exists, its folder cannot be written to, or it cannot keep the
            table's columns.
        OptionError: both `resume` and `overwrite`.
    """

    def __init__(
        self, out: Path, table: Table, added: Sequence[str], *, resume: bool, overwrite: bool
    ) -> None:
        self._out = out
        _check_place(out, resume=resume, overwrite=overwrite)
        self._writer = writer_for(out, table, added)
        joined_later = isinstance(self._writer, ParquetWriter)
        self._work = out.with_name(f"{out.name}.partial") if joined_later else out
        self._resume, self._overwrite = resume, overwrite
        lock = lock_path(out)
        check_apart([out, self._work, lock, journal.record_path(out)], [table.path])
        self._check()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out.

        Raises:
            OptionError: another process writes this output.
            TableError: another process has just written it.
        """
        with run_lock(lock_path(self._out), f"another process writes {self._out}; wait for it"):
            self._check()
            yield

    def _check(self) -> None:
        journal.check_record(self._out)
        if self._resume or self._overwrite:
            return
        if self._out.exists():
            raise TableError(
                f"{self._out} exists; go on with it (--resume), replace it (--overwrite) or name "
                "another"
            )
        if self._work.exists():
            raise TableError(
                f"an interrupted run left {self._work}; go on with it (--resume) or start over "
                "(--overwrite)"
            )

    def begin(
        self, settings: dict[str, Any], added: Sequence[str]
    ) -> tuple[int, dict[str, Any] | None]:
        """Start the file or go on with it; the rows that are there and the state they left.

        Args:
            settings: all that the output depends on.
            added: names of all added columns, which are known once the checkpoint is loaded.

        Raises:
            TableError: it was begun with other settings, or changed after it was finished.
        """
        earlier = journal.resume(self._out, self._work, settings) if self._resume else None
        self._writer.added = tuple(added)
        header = self._writer.header()
        self._journal = earlier or journal.start(self._out, self._work, settings, header)
        return self._journal.rows, self._journal.state

    def append(self, rows: Sequence[Row], results: Sequence[Cells], state: dict[str, Any]) -> None:
        """Add rows, and note the state to go on from."""
        data = self._writer.encode(rows, results)
        self._journal.append(data, rows=len(rows), state=state)

    def finish(self, summary: dict[str, Any]) -> None:
        """Complete the file; what is complete already stays as it is."""
        if self._journal.summary is None:
            if isinstance(self._writer, ParquetWriter):
                self._writer.finish(self._work, self._out)
            self._journal.finish(summary)
        if self._work != self._out:
            self._work.unlink(missing_ok=True)

    def discard(self) -> None:
        """Leave nothing of what was begun; what is complete already stays as it is."""
        if self._journal.summary is None:
            self._journal.discard()


class StreamOutput:
    """An open file that is given jsonl as rows come, standard output for one.

    Raises:
        OptionError: `resume`.
    """

    def __init__(self, stream: BinaryIO, *, resume: bool) -> None:
        if resume:
            raise OptionError("a stream cannot be resumed; write to a file with -o FILE")
        self._stream = stream

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A stream is its process's own."""
        yield

    def begin(
        self, settings: dict[str, Any], added: Sequence[str]
    ) -> tuple[int, dict[str, Any] | None]:
        """A stream has no rows yet."""
        self._writer = JsonlWriter(added)
        return 0, None

    def append(self, rows: Sequence[Row], results: Sequence[Cells], state: dict[str, Any]) -> None:
        """Write rows through to the reader."""
        self._stream.write(self._writer.encode(rows, results))
        self._stream.flush()

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing: a stream keeps no record."""

    def discard(self) -> None:
        """Nothing: what is written is with the reader."""


def _check_place(out: Path, *, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise OptionError("--resume keeps what is there, --overwrite replaces it; give one of them")
    check_folder(out.parent)
    if out.is_dir():
        raise TableError(f"{out} is a folder; name a file in it, such as {out / 'scores.csv'}")


def lock_path(out: Path) -> Path:
    """The file that the one process which writes an output locks."""
    return out.with_name(f".{out.name}.lock")


def check_new_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made; for one to be made, that which will hold it.

    Raises:
        TableError: it cannot be written to.
    """
    check_folder(next(place for place in (folder, *folder.absolute().parents) if place.exists()))


def check_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made, by making one that has no name."""
    if not folder.exists():
        raise TableError(
            f"the folder {folder} for the output does not exist; create it, or choose another "
            "for -o"
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TableError(
            f"the folder {folder} cannot be written to ({error.strerror or error}); "
            "choose another for -o"
        ) from None
