"""Files of the cache that hold embeddings: npy arrays of a fixed size, filled from the front."""

from __future__ import annotations

import io
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float


def make_shard(path: Path, capacity: int, width: int) -> None:
    """Make a file of zeros, which takes no room before rows are written."""
    with path.open("xb") as file:
        file.write(_header(capacity, width))
        file.truncate(_offset(capacity, width, capacity))


def write_rows(path: Path, capacity: int, first: int, rows: Float[np.ndarray, "row width"]) -> None:
    """Write rows at a place; `rows` is contiguous, in little-endian float32."""
    with path.open("r+b") as file:
        file.seek(_offset(capacity, rows.shape[1], first))
        file.write(rows.data)


def read_rows(
    path: Path, capacity: int, width: int, wanted: Sequence[tuple[bytes, int, bytes]]
) -> list[Float[np.ndarray, " width"] | None]:
    """Read rows, each given by its key, its place and its checksum.

    Returns:
        Each row, or None for one that is gone or is not what was written.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:  # another process made room
        return [None] * len(wanted)
    rows: list[Float[np.ndarray, " width"] | None] = []
    with file:
        for key, place, expected in wanted:
            file.seek(_offset(capacity, width, place))
            content = file.read(4 * width)
            good = len(content) == 4 * width and checksum(key, content) == expected
            rows.append(np.frombuffer(content, "<f4") if good else None)
    return rows


def checksum(key: bytes, content: bytes | memoryview) -> bytes:
    """Of a row and the key that it belongs to."""
    digest = blake2b(key, digest_size=8)
    digest.update(content)
    return digest.digest()


def _offset(capacity: int, width: int, row: int) -> int:
    return len(_header(capacity, width)) + 4 * width * row


@lru_cache(maxsize=64)
def _header(capacity: int, width: int) -> bytes:
    written = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (capacity, width)}
    np.lib.format.write_array_header_1_0(written, about)
    return written.getvalue()
