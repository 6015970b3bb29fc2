"""Peak memory of scoring a short and a long table: `python tests/benchmarks/memory.py PHOTOS`.

The tables repeat the same photos with distinct texts, so that only the number of rows differs. Each
is scored by `descscore score` in a process of its own, whose peak resident memory is reported.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import csv
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png"}

# `ru_maxrss` counts bytes on macOS and kilobytes elsewhere.
PROGRAM = """
import resource, sys
from descscore.cli.app import app
try:
    app(sys.argv[1:], prog_name="descscore")
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / (2**20 if sys.platform == "darwin" else 2**10))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder with photos")
    parser.add_argument("--checkpoint", default="mini")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--distinct", type=int, default=64, help="photos that are repeated")
    parser.add_argument("--format", choices=["csv", "jsonl", "parquet"], default="csv")
    arguments = parser.parse_args()
    photos = sorted(p for p in arguments.photos.rglob("*") if p.suffix.lower() in SUFFIXES)
    photos = photos[: arguments.distinct]
    if not photos:
        parser.error(f"{arguments.photos} holds no photos ({', '.join(sorted(SUFFIXES))})")
    peaks = {}
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            pairs, out = Path(folder) / "pairs.csv", Path(folder) / f"out.{arguments.format}"
            write_table(pairs, photos, rows)
            start = time.perf_counter()
            peaks[rows] = peak_of(
                "score", pairs, "-o", out, "-q", "--checkpoint", arguments.checkpoint
            )
            seconds = time.perf_counter() - start
        print(
            json.dumps(
                {
                    "rows": rows,
                    "photos": len(photos),
                    "format": arguments.format,
                    "checkpoint": arguments.checkpoint,
                    "peak_mib": round(peaks[rows], 1),
                    "pairs_per_s_with_start": round(rows / seconds, 1),
                }
            ),
            flush=True,
        )
    print(f"peak of the last over the first: {peaks[rows] / peaks[arguments.rows[0]]:.3f}")


def write_table(path: Path, photos: list[Path], rows: int) -> None:
    """Photos in turn, each row with a text of its own."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text"])
        for row, photo in zip(range(rows), itertools.cycle(photos), strict=False):
            writer.writerow([photo.resolve(), f"Photo {row} of a long table, seen from close up."])


def peak_of(*arguments: object) -> float:
    """Peak resident memory of a command in MiB."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
