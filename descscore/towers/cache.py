"""Embeddings on disk, so that each image and text is encoded only once.

The folder holds `index.sqlite` and `shards/*.npy`, arrays of float32 to which rows are appended.
One transaction reserves rows of a shard, writes them and adds them to the index: a process that is
killed leaves the index as it was, and several processes may share a folder on one machine (SQLite's
write-ahead log needs shared memory, so not over a network).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import OptionError
from descscore.towers.cache_shards import checksum, make_shard, read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float, Int

DEFAULT_BYTES = 10 * 10**9
SMALLEST_BYTES = 10**6

_VERSION = 1
_ROWS_PER_SHARD = 4096
_ASKED_AT_ONCE = 500
_ORPHAN_SECONDS = 3600

_INHERITED: list[sqlite3.Connection] = []

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spaces (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, width INTEGER NOT NULL, UNIQUE (name, width));
CREATE TABLE IF NOT EXISTS shards (
    id INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, file TEXT NOT NULL UNIQUE,
    filled INTEGER NOT NULL, capacity INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS embeddings (
    space INTEGER, key BLOB, shard INTEGER NOT NULL, row INTEGER NOT NULL, checksum BLOB NOT NULL,
    PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS embeddings_of_shard ON embeddings (shard);
CREATE TABLE IF NOT EXISTS files (
    identity BLOB PRIMARY KEY, pixels BLOB NOT NULL, path TEXT NOT NULL) WITHOUT ROWID;
"""


class EmbeddingCache:
    """Embeddings by a key within a space, such as the images of one checkpoint in float32.

    If something fails after opening (a full disk, a damaged index), a warning is given and
    embeddings are computed without the cache. Rows are checked against their checksum when read.

    Args:
        folder: the cache's folder, created if necessary.
        max_bytes: maximum size on disk; the least recently used shards are deleted first.

    Raises:
        OptionError: the folder cannot be used, or `max_bytes` is below a megabyte.
    """

    def __init__(self, folder: str | os.PathLike[str], *, max_bytes: int = DEFAULT_BYTES) -> None:
        if max_bytes < SMALLEST_BYTES:
            raise OptionError(
                f"the cache may take {max_bytes:,} bytes; allow at least {SMALLEST_BYTES:,}"
            )
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.hits = self.misses = 0
        self._lock = threading.RLock()
        self._failed = False
        try:
            (self.folder / "shards").mkdir(parents=True, exist_ok=True)
            self._connect()
            self._remove_orphans()
        except (OSError, sqlite3.Error) as error:
            # SQLite says the second where a file may not grow.
            full = any(said in str(error) for said in ("disk is full", "disk I/O error"))
            advice = (
                "free some space, or name another folder"
                if full
                else ("name another folder, or delete this one")
            )
            raise OptionError(
                f"the cache {os.fspath(folder)!r} cannot be used: {error}; {advice}"
            ) from error

    def get(
        self, space: str, keys: Sequence[bytes], width: int
    ) -> tuple[Int[np.ndarray, " found"], Float[np.ndarray, "found width"]]:
        """Look embeddings up.

        Args:
            space: all that embeddings depend on beside their keys, such as the checkpoint.
            keys: digests of what was embedded.
            width: values per embedding.

        Returns:
            The positions in `keys` of those that are here, and their embeddings.
        """
        found: dict[int, np.ndarray] = {}
        with self._tolerating():
            found = self._find(space, keys, width)
        self.hits += len(found)
        self.misses += len(keys) - len(found)
        rows = np.array(sorted(found), dtype=np.int64)
        values = [found[row] for row in rows.tolist()]
        return rows, np.array(values, dtype=np.float32).reshape(len(rows), width)

    def put(
        self, space: str, keys: Sequence[bytes], values: Float[np.ndarray, "key width"]
    ) -> None:
        """Keep embeddings, unless another process was quicker."""
        if not len(keys):
            return
        with self._tolerating():
            with self._write() as database:
                named = (space, values.shape[1])
                database.execute("INSERT OR IGNORE INTO spaces (name, width) VALUES (?, ?)", named)
                query = "SELECT id FROM spaces WHERE name = ? AND width = ?"
                (number,) = database.execute(query, named).fetchone()
                self._append(database, number, keys, np.ascontiguousarray(values, "<f4"))
            self._evict()

    def pixels_of(self, identities: Sequence[bytes]) -> dict[bytes, bytes]:
        """The digests of the pixels of files that were decoded before, by their identities."""
        known: dict[bytes, bytes] = {}
        with self._tolerating(), self.reading() as database:
            for part in _parts(identities):
                query = f"SELECT identity, pixels FROM files WHERE identity IN ({_marks(part)})"
                known.update(database.execute(query, part))
        return known

    def remember_files(self, files: Mapping[bytes, tuple[bytes, str]]) -> None:
        """Keep, for the identity of each file, the digest of its pixels and its path."""
        rows = [(identity, pixels, path) for identity, (pixels, path) in files.items()]
        if rows:
            with self._tolerating(), self._write() as database:
                database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._database.close()

    def __del__(self) -> None:
        # At the interpreter's end modules are gone before the last objects.
        if os is not None and getattr(self, "_process", None) == os.getpid():
            self._database.close()

    def _find(self, space: str, keys: Sequence[bytes], width: int) -> dict[int, np.ndarray]:
        positions: dict[bytes, list[int]] = {}
        for position, key in enumerate(keys):
            positions.setdefault(key, []).append(position)
        places: dict[tuple[int, str, int], list[tuple[bytes, int, bytes]]] = {}
        with self.reading() as database:
            for part in _parts([*positions]):
                query = (
                    "SELECT key, row, checksum, shards.id, file, capacity FROM embeddings"
                    " JOIN shards ON shards.id = shard JOIN spaces ON spaces.id = embeddings.space"
                    f" WHERE name = ? AND width = ? AND key IN ({_marks(part)})"
                )
                for *place, shard, file, capacity in database.execute(query, (space, width, *part)):
                    places.setdefault((shard, file, capacity), []).append(tuple(place))
        found: dict[int, np.ndarray] = {}
        damaged: list[tuple[int, int]] = []
        for (shard, file, capacity), wanted in places.items():
            rows = read_rows(self._shard(file), capacity, width, wanted)
            for (key, row, _), values in zip(wanted, rows, strict=True):
                if values is None:
                    damaged.append((shard, row))
                else:
                    found.update(dict.fromkeys(positions[key], values))
        if not places:
            return found
        with self._write() as database:
            query = "DELETE FROM embeddings WHERE shard = ? AND row = ?"
            database.executemany(query, damaged)
            used = [(time.time_ns(), shard) for shard, *_ in places]
            database.executemany("UPDATE shards SET used = ? WHERE id = ?", used)
        return found

    def _append(
        self,
        database: sqlite3.Connection,
        space: int,
        keys: Sequence[bytes],
        rows: Float[np.ndarray, "key width"],
    ) -> None:
        width, start = rows.shape[1], 0
        while start < len(keys):
            shard, file, filled, capacity = self._shard_with_room(database, space, width)
            stop = min(len(keys), start + capacity - filled)
            write_rows(self._shard(file), capacity, filled, rows[start:stop])
            database.executemany(
                "INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?, ?, ?)",
                [
                    (space, keys[i], shard, filled + i - start, checksum(keys[i], rows[i].data))
                    for i in range(start, stop)
                ],
            )
            database.execute(
                "UPDATE shards SET filled = ?, used = ? WHERE id = ?",
                (filled + stop - start, time.time_ns(), shard),
            )
            start = stop

    def _shard_with_room(
        self, database: sqlite3.Connection, space: int, width: int
    ) -> tuple[int, str, int, int]:
        query = (
            "SELECT id, file, filled, capacity FROM shards WHERE space = ? AND filled < capacity"
        )
        for shard in database.execute(query, (space,)):
            if self._shard(shard[1]).is_file():
                return shard
        # Small enough that a few make up the cache: what is least used goes by shards.
        capacity = max(1, min(_ROWS_PER_SHARD, self.max_bytes // (16 * 4 * width)))
        file = f"{uuid.uuid4().hex}.npy"
        make_shard(self._shard(file), capacity, width)
        made = database.execute(
            "INSERT INTO shards (space, file, filled, capacity, used) VALUES (?, ?, 0, ?, ?)",
            (space, file, capacity, time.time_ns()),
        )
        return int(made.lastrowid or 0), file, 0, capacity

    def _evict(self) -> None:
        """Delete the shards that were not used for longest, until what is left may stay."""
        removed: list[str] = []
        with self.reading() as database:
            if self._size(database) <= self.max_bytes:
                return
        with self._write() as database:
            while self._size(database) > self.max_bytes:
                query = "SELECT id, file FROM shards ORDER BY used LIMIT 1"
                if (oldest := database.execute(query).fetchone()) is None:
                    break
                shard, file = oldest
                database.execute("DELETE FROM embeddings WHERE shard = ?", (shard,))
                database.execute("DELETE FROM shards WHERE id = ?", (shard,))
                removed.append(file)
            database.execute("DELETE FROM files WHERE pixels NOT IN (SELECT key FROM embeddings)")
        for file in removed:
            with contextlib.suppress(OSError):
                self._shard(file).unlink()

    def _size(self, database: sqlite3.Connection) -> int:
        query = "SELECT TOTAL(filled * width * 4) FROM shards JOIN spaces ON spaces.id = space"
        pages, free, page = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int(database.execute(query).fetchone()[0]) + (pages - free) * page

    def _remove_orphans(self) -> None:
        """Delete shards of processes that were killed before the index knew of them."""
        with self.reading() as database:
            known = {file for (file,) in database.execute("SELECT file FROM shards")}
        for path in (self.folder / "shards").glob("*.npy"):
            with contextlib.suppress(FileNotFoundError):
                if path.name not in known and time.time() - path.stat().st_mtime > _ORPHAN_SECONDS:
                    path.unlink()

    def _shard(self, file: str) -> Path:
        return self.folder / "shards" / file

    def _connect(self) -> None:
        self._process = os.getpid()
        self._database = sqlite3.connect(
            self.folder / "index.sqlite",
            timeout=60,
            isolation_level=None,
            check_same_thread=False,
        )
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        with self._write() as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, _VERSION}:
                raise sqlite3.DatabaseError(f"its format is {version}, not {_VERSION}")
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {_VERSION}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The index, for this thread alone."""
        if self._failed:
            raise sqlite3.OperationalError("the cache failed before")
        with self._lock:
            if self._process != os.getpid():
                # A connection must be neither used nor closed after a fork.
                _INHERITED.append(self._database)
                self._connect()
            yield self._database

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    @contextlib.contextmanager
    def _tolerating(self) -> Iterator[None]:
        """When the cache fails, warn once and go on without it."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"the cache {os.fspath(self.folder)!r} failed ({error}); going on without it",
                    stacklevel=5,
                )


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _ASKED_AT_ONCE):
        yield keys[start : start + _ASKED_AT_ONCE]


def _marks(part: Sequence[bytes]) -> str:
    return ", ".join("?" * len(part))
