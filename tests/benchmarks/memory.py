"""Peak memory of a short and a long input: `python -m tests.benchmarks.memory PHOTOS`.

Photos repeat and texts are distinct, so that only the number of rows differs. Each run is a process
of its own, whose peak resident memory is reported. `--what` chooses what runs:

- `score`: `descscore score` with a table of the format `--format`, in and out.
- `explain`: `descscore explain --pairs`, with few steps.
- `audit`: `descscore audit` of pages with 100 images each.
- `ragged`: one call in Python, with the rows' texts spread over the photos.

The checkpoint `tiny` is a CLIP with random weights of two blocks and width 32; `fake`, for `score`,
computes no embeddings, so that a million rows take a minute.
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

import pyarrow as pa
import pyarrow.parquet as pq

from tests.small_clip import save_tiny_clip

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


FAKE = """
import resource, sys
from descscore.tables.scoring import score_table
from tests.fake_metric import FakeMetric
score_table(FakeMetric, *sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / (2**20 if sys.platform == "darwin" else 2**10))
"""

RAGGED = """
import resource, sys
from pathlib import Path
from descscore import DescriptionScore
checkpoint, rows, *photos = sys.argv[1:]
text = "Photo {} of a long table, seen from close up."
texts = [[text.format(row) for row in range(i, int(rows), len(photos))] for i in range(len(photos))]
assert len(DescriptionScore(checkpoint)(photos, texts).scores) == int(rows)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / (2**20 if sys.platform == "darwin" else 2**10))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder with photos")
    parser.add_argument("--what", choices=["score", "explain", "audit", "ragged"], default="score")
    parser.add_argument("--checkpoint", default="mini", help="or tiny, or fake")
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
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            checkpoint = arguments.checkpoint
            if checkpoint == "tiny":
                checkpoint = str(save_tiny_clip(folder / "tiny"))
            start = time.perf_counter()
            peaks[rows] = run(arguments.what, folder, photos, rows, arguments.format, checkpoint)
            seconds = time.perf_counter() - start
        found = {
            "what": arguments.what,
            "rows": rows,
            "photos": len(photos),
            "format": arguments.format,
            "checkpoint": arguments.checkpoint,
            "peak_mib": round(peaks[rows], 1),
            "rows_per_s_with_start": round(rows / seconds, 1),
        }
        print(json.dumps(found), flush=True)
    first, last = peaks[arguments.rows[0]], peaks[arguments.rows[-1]]
    print(f"peak of the last over the first: {last / first:.3f}")


def run(
    what: str, folder: Path, photos: list[Path], rows: int, suffix: str, checkpoint: str
) -> float:
    """Peak memory in MiB of one run."""
    if what == "ragged":
        return peak_of(RAGGED, checkpoint, rows, *photos)
    if what == "audit":
        write_pages(folder / "site", photos, rows)
        return peak_of(PROGRAM, "audit", folder / "site", "-q", "-o", folder / "report.json")
    table = folder / f"pairs.{suffix}"
    write_table(table, photos, rows)
    if checkpoint == "fake":
        return peak_of(FAKE, table, folder / f"out.{suffix}")
    model = ("-q", "--checkpoint", checkpoint)
    if what == "explain":
        few = ("--n-steps", 2, "-o", folder / "out")
        return peak_of(PROGRAM, "explain", "--pairs", table, *few, *model)
    return peak_of(PROGRAM, "score", table, "-o", folder / f"out.{suffix}", *model)


def write_table(path: Path, photos: list[Path], rows: int) -> None:
    """Photos in turn, each row with a text of its own."""
    texts = ((i, f"Photo {i} of a long table, seen from close up.") for i in range(rows))
    pairs = ((str(photos[i % len(photos)].resolve()), text) for i, text in texts)
    if path.suffix == ".parquet":
        schema = pa.schema({"image": pa.string(), "text": pa.string()})
        with pq.ParquetWriter(path, schema) as writer:
            while part := list(itertools.islice(pairs, 10_000)):
                columns = zip(*part, strict=True)
                writer.write_table(pa.table([*map(pa.array, columns)], schema=schema))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(
                f"{json.dumps({'image': image, 'text': text})}\n" for image, text in pairs
            )
            return
        writer = csv.writer(file)
        writer.writerow(["image", "text"])
        writer.writerows(pairs)


def write_pages(folder: Path, photos: list[Path], rows: int) -> None:
    """Pages of 100 images each, of which every tenth has no alt text."""
    folder.mkdir()
    for page, first in enumerate(range(0, rows, 100)):
        images = "".join(
            f'<img src="{photos[i % len(photos)].resolve()}"'
            + (">" if i % 10 == 0 else f' alt="A photo with the number {i}, seen from close up">')
            for i in range(first, min(first + 100, rows))
        )
        (folder / f"{page}.html").write_text(
            f'<!doctype html><html lang="en"><title>Page {page}</title><body>{images}</html>'
        )


def peak_of(program: str, *arguments: object) -> float:
    """Peak resident memory in MiB of a program that prints it last."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in {0, 1}:  # 1: an audit has findings
        raise SystemExit(f"{command[3:6]} ended with {done.returncode}")
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
