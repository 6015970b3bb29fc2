"""An output in parts: a plan, one part per shard, and a file that joins them.

Each part is written under a temporary name and renamed, and counts once the entry beside it is
there, so that a killed process leaves whole parts only. Names carry a digest of the plan, so parts
of different settings do not mix; two processes that write the same part write the same bytes.
"""

from __future__ import annotations

import glob
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from descscore.errors import OptionError, TableError
from descscore.strict_json import dump, parse
from descscore.tables.record import (
    check_record,
    check_settings,
    checksum,
    record_path,
    recorded_summary,
    write_record,
)
from descscore.writing import (
    check_apart,
    check_folder,
    check_new_folder,
    clear_unfinished,
    replacing,
    run_lock,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

PLAN = "_plan.json"
MANIFEST = "_manifest.json"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Rows that one worker takes at a time.

    Attributes:
        number: of the shard, from 0.
        table: which of the tables, from 0.
        start: the first row.
        stop: the row after the last.
    """

    number: int
    table: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.stop - self.start


def shards_of(sizes: Sequence[int], rows: int) -> list[Shard]:
    """Tables of some sizes in shards of at most `rows` rows."""
    ranges = [
        (table, start, min(start + rows, size))
        for table, size in enumerate(sizes)
        for start in range(0, size, rows)
    ]
    return [
        Shard(number=number, table=table, start=start, stop=stop)
        for number, (table, start, stop) in enumerate(ranges)
    ]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        settings: everything that the rows depend on.
        suffix: of the parts' format.
        chunk: rows that are scored together.
        shards: all of them.
        tables: what is known of the tables.
        more: what workers need besides.
    """

    settings: dict[str, Any]
    suffix: str
    chunk: int
    shards: list[Shard]
    tables: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A digest of the plan."""
        return hashlib.sha256(dump(asdict(self)).encode()).hexdigest()[:8]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(shard.rows for shard in self.shards)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The plan in a folder, if there is one.

        Raises:
            TableError: it cannot be read.
        """
        path = folder / PLAN
        if not path.exists():
            return None
        try:
            found: Any = parse(path.read_bytes())
            shards = [Shard(**shard) for shard in found.pop("shards")]
            return cls(shards=shards, **found)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TableError(
                f"{path} is not the plan of a run ({error}); name another folder"
            ) from None


class Parts:
    """The parts of a plan in a folder.

    Args:
        folder: it is made if it is not there.
        plan: what is to be done; an earlier plan with the same settings is followed instead.

    Attributes:
        plan: the one that is followed.

    Raises:
        TableError: the folder holds parts of other settings.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        if (earlier := Plan.read(folder)) is not None:
            check_settings(folder, earlier.settings, plan.settings)
            self.plan = earlier
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / PLAN, dump(asdict(plan)))
        self._key = self.plan.key
        for path in folder.glob("part-*"):
            if f"-{self._key}." not in path.name:
                raise TableError(
                    f"{path} is a part of another run; name another folder, or remove it"
                )
        clear_unfinished(folder, f"*part-*-{self._key}.*")

    def path(self, shard: Shard) -> Path:
        """Where a shard's part is."""
        return self.folder / f"part-{shard.number:06d}-{self._key}{self.plan.suffix}"

    def entry(self, shard: Shard) -> dict[str, Any] | None:
        """What is recorded of a shard's part; None unless the part is there with its size."""
        try:
            entry: Any = parse(self._entry(shard).read_bytes())
            return entry if entry["bytes"] == self.path(shard).stat().st_size else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def state(self, shard: Shard) -> dict[str, Any] | None:
        """What was found of a shard; None unless its part is there, byte for byte."""
        entry = self.entry(shard)
        if entry is None or entry["crc32"] != checksum(self.path(shard))["crc32"]:
            return None
        return entry["state"]

    def write(self, shard: Shard, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """Write a part, and what was found.

        Args:
            shard: whose part it is.
            write: writes the part to the path that it is given, and says what was found.
        """
        path = self.path(shard)
        with replacing(path) as unfinished:
            state = write(unfinished)
            found = checksum(unfinished)
        write_whole(self._entry(shard), dump({"rows": shard.rows, **found, "state": state}))
        return state

    def fill(
        self,
        write: Callable[[Shard, Path, Callable[[int], None]], dict[str, Any]],
        *,
        shards: Sequence[Shard] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Write the parts that are not there yet; what was found of each shard.

        Args:
            write: says what was found of a shard, having written its part to a path; it may report
                how many of its rows are written so far.
            shards: those to write; all by default.
            progress: called with the rows done and their total.
        """
        listed = self.plan.shards if shards is None else shards
        found = {shard: state for shard in listed if (state := self.state(shard)) is not None}
        done, total = (sum(shard.rows for shard in some) for some in (found, listed))

        def report(rows: int) -> None:
            if progress is not None:
                progress(done + rows, total)

        report(0)
        for shard in listed:
            if shard not in found:
                found[shard] = self.write(
                    shard, lambda path, shard=shard: write(shard, path, report)
                )
                done += shard.rows
                report(0)
        return [found[shard] for shard in listed]

    def missing(self) -> list[Shard]:
        """Shards that have no part yet."""
        return [shard for shard in self.plan.shards if self.entry(shard) is None]

    def paths(self) -> Iterator[Path]:
        """All parts in order."""
        return map(self.path, self.plan.shards)

    def _entry(self, shard: Shard) -> Path:
        return self.folder / f"_part-{shard.number:06d}-{self._key}.json"


class Output:
    """A file that one process writes by way of parts, in a folder beside it until they are joined.

    Args:
        out: the file.
        read: files that must not be replaced.
        resume: keep the parts of an interrupted run; begin if there are none.
        overwrite: replace what is there.
        make_folder: make the output's folder if it is not there.

    Raises:
        OptionError: both `resume` and `overwrite`, or an input would be replaced.
        TableError: the output exists, or its folder cannot be written to.
    """

    def __init__(
        self,
        out: Path,
        read: Iterable[Path],
        *,
        resume: bool,
        overwrite: bool,
        make_folder: bool = False,
    ) -> None:
        if resume and overwrite:
            raise OptionError(
                "`resume` keeps what is there, `overwrite` replaces it; give one of them"
            )
        self.out = out
        self.folder = out.with_name(f"{out.name}.parts")
        self._resume, self._overwrite = resume, overwrite
        (check_new_folder if make_folder else check_folder)(out.parent)
        if out.is_dir():
            raise TableError(f"{out} is a folder; name a file in it, such as {out / 'scores.csv'}")
        check_apart([out, record_path(out)], read)
        self._check()

    def __enter__(self) -> Self:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        lock = self.out.with_name(f".{self.out.name}.lock")
        with ExitStack() as stack:
            stack.enter_context(run_lock(lock, f"another process writes {self.out}; wait for it"))
            self._check()
            clear_unfinished(self.out.parent, glob.escape(self.out.name))
            self._lock = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def begin(self, plan: Plan) -> dict[str, Any] | None:
        """Start, or find what an earlier run left; the summary if that run finished.

        Raises:
            TableError: it was started with other settings, or changed after it was finished.
        """
        self._settings = plan.settings
        if not self._resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif (summary := recorded_summary(self.out, plan.settings)) is not None:
            self.discard()
            return summary
        elif self.out.exists() and not self.folder.exists():
            raise TableError(
                f"{self.out} cannot be resumed: {record_path(self.out).name}, the record of its "
                "run, is not beside it; start over with `overwrite`"
            )
        self.parts = Parts(self.folder, plan)
        return None

    def finish(self, join: Callable[[Iterable[Path], Path], object], summary: Any) -> None:
        """Join the parts."""
        with replacing(self.out) as unfinished:
            join(self.parts.paths(), unfinished)
        write_record(self.out, self._settings, summary)
        self.discard()

    def discard(self) -> None:
        """Remove the parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check(self) -> None:
        check_record(self.out)
        if self.folder.exists() and not (
            self.folder.is_dir()
            and (Plan.read(self.folder) is not None or not any(self.folder.iterdir()))
        ):
            raise TableError(f"{self.folder} is not a run's; move it away, or name another output")
        if self._resume or self._overwrite:
            return
        if self.folder.exists():
            raise TableError(
                f"an interrupted run left {self.folder}; continue it (`resume`) or start over "
                "(`overwrite`)"
            )
        if self.out.exists():
            raise TableError(
                f"{self.out} exists; continue it (`resume`), replace it (`overwrite`) or name "
                "another"
            )
