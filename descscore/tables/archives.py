"""Tables in archives and folders: WebDataset tar files, and what `datasets` saves to disk."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from descscore.errors import TableError
from descscore.extras import imports_of
from descscore.strict_json import parse
from descscore.tables.parquet import ArrowTable, one_batch
from descscore.tables.table import Mark, MarkedTable, Row, scan

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

KEY, IMAGE, TEXT = "__key__", "image", "text"
LARGEST_MEMBER = 2**30
"""Bytes of a file in an archive at most."""

_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm"})
_DATASET_FILES = ("state.json", "dataset_info.json")


@dataclass(frozen=True, kw_only=True)
class TarTable(MarkedTable):
    """A tar file of samples: members of one name, with an image, a text or an object in JSON.

    Images are read and not written.
    """

    left_out: tuple[str, ...] = (IMAGE,)

    def rows_from(self, mark: Mark) -> Iterator[Row]:
        """The rows from a mark on."""
        return (row for row, _ in _samples(self.path, mark[0], images=True))


def open_tar(path: Path) -> TarTable:
    """Read the index and the texts of a tar file through once.

    Raises:
        TableError: it is not a tar file, or is compressed, or holds no sample.
    """
    return TarTable(path=path, **scan(_samples(path, 0, images=False), path))


def _samples(path: Path, offset: int, *, images: bool) -> Iterator[tuple[Row, Mark]]:
    """Each sample as a row, and where it begins; without `images`, these are None."""
    with path.open("rb") as file:
        file.seek(offset)
        try:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                members = (member for member in archive if member.isfile())
                for key, group in itertools.groupby(members, key=_key):
                    values: dict[str, object] = {KEY: key}
                    problem, first = None, None
                    for member in group:
                        first = member.offset if first is None else first
                        problem = _read(archive, member, values, images=images) or problem
                    yield Row(values, problem), (offset + (first or 0), 0)
        except tarfile.TarError as error:
            raise TableError(
                f"{path} is not a complete tar file ({error}); compressed ones must be unpacked to "
                ".tar first"
            ) from None


def _key(member: tarfile.TarInfo) -> str:
    path = PurePosixPath(member.name)
    return str(path.with_name(path.name.partition(".")[0] or path.name))


def _read(
    archive: tarfile.TarFile, member: tarfile.TarInfo, values: dict[str, object], *, images: bool
) -> str | None:
    """Take a member into a row; what is wrong with it."""
    kind = member.name.rpartition(".")[2].lower()
    if kind in _IMAGES and not images:
        values[IMAGE] = None
        return None
    if kind not in {*_IMAGES, "txt", "json"}:
        return None
    if member.size > LARGEST_MEMBER:
        return f"{member.name} has {member.size:,} bytes; the limit is {LARGEST_MEMBER:,}"
    source = archive.extractfile(member)
    content = b"" if source is None else source.read()
    if kind in _IMAGES:
        values[IMAGE] = content
        return None
    try:
        if kind == "txt":
            values[TEXT] = content.decode("utf-8-sig").strip("\r\n")
            return None
        found = parse(content)
    except ValueError as error:
        return f"{member.name} is {error if kind == 'json' else 'not UTF-8'}"
    if not isinstance(found, dict):
        return f"{member.name} is not a JSON object"
    for name, value in found.items():
        values.setdefault(str(name), value)
    return None


def is_dataset(path: Path) -> bool:
    """Whether a folder is what `datasets` saves to disk."""
    return path.is_dir() and all((path / name).is_file() for name in _DATASET_FILES)


@dataclass(frozen=True, kw_only=True)
class DatasetTable(ArrowTable):
    """What `Dataset.save_to_disk` wrote; images stay as the bytes of their files."""

    def schema(self) -> pa.Schema:
        """As Arrow keeps it."""
        return self._load().features.arrow_schema

    def batches(self, size: int, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Rows in batches of `size`, whatever the dataset's files are."""
        dataset = self._load().with_format("arrow")
        schema = self.schema()
        for first in range(start, stop, size):
            found: pa.Table = dataset[first : min(first + size, stop)].cast(schema)
            yield one_batch(found.combine_chunks().to_batches())

    def digest(self) -> str:
        """The dataset's own fingerprint, which changes with every transformation."""
        return str(parse((self.path / "state.json").read_bytes())["_fingerprint"])  # pyright: ignore[reportIndexIssue]

    fingerprint = digest

    def _load(self) -> Any:
        return _load_dataset(self.path)


def open_dataset(path: Path) -> DatasetTable:
    """Open a folder that `Dataset.save_to_disk` wrote.

    Raises:
        MissingExtraError: `datasets` is not installed.
        TableError: it cannot be read.
    """
    dataset = _load_dataset(path)
    features = dataset.features
    # An image is a struct of its file's bytes and its path.
    holds = tuple(n for n in features if "bytes" in str(features.arrow_schema.field(n).type))
    return DatasetTable(path=path, columns=tuple(features), n_rows=len(dataset), holds_bytes=holds)


def _load_dataset(path: Path) -> Any:
    with imports_of("datasets"):
        import datasets
    try:
        dataset: Any = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read as a saved dataset: {error}") from None
    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset
