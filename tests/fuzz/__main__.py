"""Give descscore odd and damaged inputs until the time is up: `python -m tests.fuzz --seconds 60`.

No input may end in a traceback, a signal or a hang, nor lose a row. Every case follows from the
seed and its number: `--only N` repeats it, `--keep DIR` leaves its files.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from tests.fuzz.cases import KINDS, Case
from tests.fuzz.child import Outcome, preload, run_child


def main() -> int:
    """Run cases; 1 if one of them went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, help="of cases; all by default")
    parser.add_argument("--only", type=int, help="the number of one case")
    parser.add_argument("--keep", type=Path, help="folder for the files of cases that went wrong")
    options = parser.parse_args()
    preload()
    kinds = [options.kind] if options.kind else [*KINDS]
    counts: Counter[str] = Counter()
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        clip = make_checkpoints(Path(folder))
        end = time.monotonic() + options.seconds
        numbers = range(options.cases) if options.only is None else [options.only]
        for number in numbers:
            if number and time.monotonic() > end and options.only is None:
                break
            kind = kinds[number % len(kinds)]
            place = (options.keep or Path(folder)) / f"{kind}-{options.seed}-{number}"
            counts[kind] += 1
            problem, outcome = run_case(kind, options.seed, number, place, clip)
            if problem is not None:
                faults += 1
                say(f"{place.name}: {problem}\n{outcome.err[-1500:]}")
            counts[f"exit {outcome.code}"] += 1
    done = sum(counts[kind] for kind in KINDS)
    say(f"{done} cases, {faults} faults, seed {options.seed}: {json.dumps(counts)}")
    return int(faults > 0)


def say(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_case(
    kind: str, seed: int, number: int, place: Path, clip: Path
) -> tuple[str | None, Outcome]:
    """Make a case and run it: what went wrong, and how it ended."""
    place.mkdir(parents=True)
    case = KINDS[kind](random.Random(f"{kind} {seed} {number}"), place, clip)
    outcome = run_child(case.call or partial(command, case.args or []), place)
    problem = outcome.problem
    if problem is None and case.args is not None and case.args[0] == "score":
        problem = lost_rows(case, outcome, place)
    return problem, outcome


def lost_rows(case: Case, outcome: Outcome, place: Path) -> str | None:
    """Whether a command that scored lost a row."""
    args = case.args or []
    out = place / args[args.index("-o") + 1]
    if outcome.code == 2:
        return None
    said = json.loads(outcome.out)["n"]
    if case.rows not in {None, said}:
        return f"{said} of {case.rows} rows"
    found = count_rows(out)
    return None if found == said else f"{found} of {said} rows written"


def count_rows(path: Path) -> int:
    """The rows of an output."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path).num_rows
    if path.suffix == ".jsonl":
        return sum(1 for line in path.read_text("utf-8").split("\n") if json.loads(line or "0"))
    import csv

    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        return sum(1 for row in rows if row) - 1


def command(args: list[str]) -> None:
    """Run `descscore` as its script does."""
    from descscore.cli.app import main as run

    sys.argv = ["descscore", *args]
    run()


def make_checkpoints(folder: Path) -> Path:
    """A small CLIP, and beside it the folder `adapter` that builds on it."""
    from tests.checkpoints_made import lora_checkpoint
    from tests.small_clip import save_tiny_clip

    clip = folder / "clip"
    clip.mkdir()
    lora_checkpoint(folder / "adapter", save_tiny_clip(clip))
    return clip


if __name__ == "__main__":
    sys.exit(main())
