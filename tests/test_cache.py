"""The cache of embeddings: what is kept, checked, shared and bounded."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from descscore.errors import OptionError
from descscore.towers.cache import EmbeddingCache

WIDTH = 8


def made(start: int, stop: int, width: int = WIDTH) -> tuple[list[bytes], np.ndarray]:
    """Keys, and the values that any process would make for them."""
    keys = [f"key {i}".encode() for i in range(start, stop)]
    values = [np.random.default_rng(i).normal(size=width) for i in range(start, stop)]
    return keys, np.array(values, dtype=np.float32).reshape(len(keys), width)


def test_what_was_put_is_found_by_another_process(tmp_path: Path) -> None:
    keys, values = made(0, 5000)
    EmbeddingCache(tmp_path).put("images", keys, values)
    cache = EmbeddingCache(tmp_path)
    rows, found = cache.get("images", [*keys, b"new", keys[3]], WIDTH)
    assert rows.tolist() == [*range(5000), 5001]
    np.testing.assert_array_equal(found, np.vstack([values, values[3:4]]))
    assert (cache.hits, cache.misses) == (5001, 1)


def test_shards_are_arrays_that_numpy_loads(tmp_path: Path) -> None:
    _, values = made(0, 3)
    EmbeddingCache(tmp_path).put("images", *made(0, 3))
    [shard] = (tmp_path / "shards").glob("*.npy")
    np.testing.assert_array_equal(np.load(shard)[:3], values)


def test_spaces_and_widths_are_kept_apart(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    keys, values = made(0, 2)
    cache.put("float32", keys, values)
    cache.put("float16", keys, values + 1)
    np.testing.assert_array_equal(cache.get("float32", keys, WIDTH)[1], values)
    assert not len(cache.get("bfloat16", keys, WIDTH)[0])
    assert not len(cache.get("float32", keys, WIDTH + 1)[0])


def test_many_small_writes_share_a_shard(tmp_path: Path) -> None:
    for i in range(20):
        EmbeddingCache(tmp_path).put("images", *made(i, i + 1))
    assert len(list((tmp_path / "shards").glob("*.npy"))) == 1
    assert len(EmbeddingCache(tmp_path).get("images", made(0, 20)[0], WIDTH)[0]) == 20


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_rows_are_missed_and_can_be_put_again(tmp_path: Path, damage: str) -> None:
    keys, values = made(0, 3)
    cache = EmbeddingCache(tmp_path)
    cache.put("images", keys, values)
    [shard] = (tmp_path / "shards").glob("*.npy")
    content = bytearray(shard.read_bytes())
    row = content.index(values[1].tobytes())
    content[row] ^= 1
    if damage == "remove":
        shard.unlink()
    else:
        shard.write_bytes(content if damage == "flip" else content[: row + 3])
    kept = {"flip": [0, 2], "cut": [0], "remove": []}[damage]
    assert cache.get("images", keys, WIDTH)[0].tolist() == kept
    cache.put("images", keys, values)
    np.testing.assert_array_equal(cache.get("images", keys, WIDTH)[1], values)


def size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, max_bytes=2_000_000)
    width = 512
    often, values = made(0, 10, width)
    cache.put("images", often, values)
    for start in range(10, 3010, 100):
        cache.put("images", *made(start, start + 100, width))
        assert len(cache.get("images", often, width)[0]) == 10
    assert not len(cache.get("images", made(500, 600, width)[0], width)[0])
    assert len(cache.get("images", made(2910, 3010, width)[0], width)[0]) == 100
    cache.close()
    assert size(tmp_path) < 2_500_000
    assert len(list((tmp_path / "shards").glob("*.npy"))) <= 16


def test_files_are_known_by_their_identity_until_their_pixels_go(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, max_bytes=1_000_000)
    cache.put("images", *made(0, 1, 512))
    cache.remember_files({b"file": (b"key 0", "a.jpg"), b"other": (b"gone", "b.jpg")})
    assert cache.pixels_of([b"file", b"unknown"]) == {b"file": b"key 0"}
    cache.put("images", *made(1, 2000, 512))
    assert cache.pixels_of([b"file", b"other"]) == {}


_WRITER = """
import sys
from descscore.towers.cache import EmbeddingCache
from tests.test_cache import WIDTH, made

cache = EmbeddingCache(sys.argv[1])
print("ready", flush=True)
for start in range(int(sys.argv[2]), int(sys.argv[3]), 7):
    cache.put("images", *made(start, start + 7))
    rows, found = cache.get("images", made(start, start + 7)[0], WIDTH)
    assert len(rows) == 7, rows
"""


def start_writer(folder: Path, start: int, stop: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(folder), str(start), str(stop)]
    root = Path(__file__).parents[1]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def assert_whole(folder: Path, stop: int, least: int) -> None:
    keys, values = made(0, stop)
    rows, found = EmbeddingCache(folder).get("images", keys, WIDTH)
    assert len(rows) >= least
    np.testing.assert_array_equal(found, values[rows])
    with contextlib.closing(sqlite3.connect(folder / "index.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_processes_share_a_folder(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, start, 700) for start in (0, 0, 350)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert_whole(tmp_path, 700, 700)


def test_killed_writers_leave_whole_rows(tmp_path: Path) -> None:
    for pause in (0.01, 0.05, 0.1):
        writer = start_writer(tmp_path, 0, 10**6)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert_whole(tmp_path, 3000, 7)


def test_orphaned_shards_are_removed_once_old(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).put("images", *made(0, 1))
    old, new = (tmp_path / "shards" / name for name in ("old.npy", "new.npy"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    EmbeddingCache(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)
    assert len(EmbeddingCache(tmp_path).get("images", [b"key 0"], WIDTH)[0]) == 1


def test_a_full_disk_ends_its_use_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EmbeddingCache(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_append", fail)
    with pytest.warns(UserWarning, match=r"failed \(.*No space left on device\); going on without"):
        cache.put("images", *made(0, 1))
    cache.put("images", *made(0, 1))
    assert not len(cache.get("images", [b"key 0"], WIDTH)[0])


def test_a_fork_opens_its_own_connection(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache._process = -1
    cache.put("images", *made(0, 1))
    assert cache._process == os.getpid()
    assert len(cache.get("images", [b"key 0"], WIDTH)[0]) == 1


def test_a_folder_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.sqlite").write_text("no database" * 100)
    newer = tmp_path / "newer"
    EmbeddingCache(newer).close()
    with contextlib.closing(sqlite3.connect(newer / "index.sqlite")) as database:
        database.execute("PRAGMA user_version = 9")
    for name, message in {
        "file": "File exists|Not a directory",
        "other": "not a database",
        "newer": "its format is 9, not 1",
    }.items():
        with pytest.raises(OptionError, match=message):
            EmbeddingCache(tmp_path / name)
    with pytest.raises(OptionError, match="may take 10 bytes; allow at least 1,000,000"):
        EmbeddingCache(tmp_path / "small", max_bytes=10)


def test_a_full_disk_is_answered_with_room(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OptionError, match=r"cannot be used: .*; free some space"):
            EmbeddingCache(tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    EmbeddingCache(tmp_path / "cache").close()
