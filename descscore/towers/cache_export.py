"""Cached embeddings of images as a parquet file, for search indexes such as faiss."""

from __future__ import annotations

import os
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import OptionError
from descscore.extras import imports_of
from descscore.towers.cache_shards import read_rows
from descscore.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from descscore.towers.cache import EmbeddingCache

_ROWS = 4096
_IMAGES = "images|"


def export_images(
    cache: EmbeddingCache, out: str | os.PathLike[str], *, checkpoint: str | None = None
) -> int:
    """Write the embeddings of all images of one checkpoint.

    The columns are `path`, where the image lay (null for one that came without a path, and several
    rows for one that lay in several places), `pixels`, a digest in hexadecimal, and `embedding`, a
    list of fixed size with unit length in float32.

    Args:
        cache: where the embeddings are.
        out: a parquet file.
        checkpoint: part of the name of the one wanted, if the cache serves several.

    Returns:
        How many rows were written.

    Raises:
        OptionError: there are no images, or images of several checkpoints that fit.
        MissingExtraError: pyarrow is not installed.
    """
    with imports_of("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    with cache.reading() as database:
        named = database.execute("SELECT name, id, width FROM spaces WHERE name LIKE 'images|%'")
        spaces = {name.removeprefix(_IMAGES): (number, width) for name, number, width in named}
        fitting = [name for name in spaces if (checkpoint or "") in name]
        if len(fitting) != 1:
            raise OptionError(
                f"the cache has images of {len(spaces)} checkpoints ({', '.join(spaces)}), and "
                f"{len(fitting)} of them fit {checkpoint!r}; name one"
            )
        number, width = spaces[fitting[0]]
        schema = pa.schema(
            {"path": pa.string(), "pixels": pa.string(), "embedding": pa.list_(pa.float32(), width)}
        )
        rows = database.execute(
            "SELECT file, capacity, key, row, checksum, path FROM embeddings"
            " JOIN shards ON shards.id = shard LEFT JOIN files ON pixels = key"
            " WHERE embeddings.space = ? ORDER BY file, row, path",
            (number,),
        )
        written = 0
        with replacing(Path(out)) as unfinished, pq.ParquetWriter(unfinished, schema) as writer:
            while part := list(islice(rows, _ROWS)):
                entries = list(_read(cache, part, width))
                flat = np.concatenate([values for *_, values in entries]) if entries else []
                columns = [
                    pa.array([path for path, *_ in entries], pa.string()),
                    pa.array([key.hex() for _, key, _ in entries], pa.string()),
                    pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), width),
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                written += len(entries)
    return written


def _read(
    cache: EmbeddingCache, part: list[tuple[str, int, bytes, int, bytes, str | None]], width: int
) -> Iterator[tuple[str | None, bytes, np.ndarray]]:
    """The path, key and embedding of each row that is whole."""
    for (file, capacity), group in groupby(part, key=lambda row: row[:2]):
        entries = list(group)
        places = [(key, row, checksum) for _, _, key, row, checksum, _ in entries]
        found = read_rows(cache.folder / "shards" / file, capacity, width, places)
        for (_, _, key, _, _, path), values in zip(entries, found, strict=True):
            if values is not None:
                yield path or None, key, values
