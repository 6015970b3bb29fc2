"""Stops commands at several moments, gives them again, and compares what they leave.

`python -W ignore -m tests.stops` stops each command with SIGKILL, SIGINT and SIGTERM, at three
moments each, spread over the processor time that it takes undisturbed. `python -m tests.stops
sweep reproduce --signals KILL` stops two of them one way.

After SIGKILL the same command must succeed, and leave the same files byte for byte, durations
apart. After SIGINT and SIGTERM the exit code must be 130 or 143 and the error one line, and the
same command must then end as it does undisturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from tests.fuzz.child import Outcome, finish_child, preload, start_child
from tests.stops.commands import COMMANDS, make_inputs, modules

MOMENTS = (0.25, 0.55, 0.85)
CODES = {"KILL": -signal.SIGKILL, "INT": 130, "TERM": 143}


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description="Stop commands, give them again, compare.")
    parser.add_argument("commands", nargs="*", metavar="NAME", default=list(COMMANDS))
    parser.add_argument("--signals", nargs="+", choices=CODES, default=list(CODES))
    parser.add_argument("--moments", nargs="+", type=float, default=MOMENTS)
    options = parser.parse_args()
    preload()
    for module in modules():
        import_module(module)
    faults = 0
    with tempfile.TemporaryDirectory() as place:
        inputs = Path(place).resolve() / "inputs"
        make_inputs(inputs)
        for name in options.commands:
            faults += _try(name, options.signals, options.moments, inputs)
    print(f"{faults} faults")  # noqa: T201
    return int(faults > 0)


def _try(name: str, signals: list[str], moments: list[float], inputs: Path) -> int:
    """Stop one command in all ways; how many ended badly."""
    work = partial(COMMANDS[name].run, inputs)
    whole = _folder(inputs, name, "whole")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = finish_child(start_child(work, whole), whole)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if outcome.code not in {0, 1}:
        print(f"{name}: {outcome}")  # noqa: T201
        return 1
    faults = 0
    for stopped in signals:
        for moment in moments:
            place = _folder(inputs, name, f"{stopped} {moment}")
            problem, said = _stop(work, place, stopped, moment * took)
            problem = problem or _compare(work, place, whole, outcome)
            faults += problem is not None
            print(  # noqa: T201
                f"{name}, {stopped} at {moment:.0%} of {took:.1f} s: {problem or 'same'}; {said}",
                flush=True,
            )
    return faults


def _folder(inputs: Path, name: str, way: str) -> Path:
    folder = inputs.with_name(f"{name} {way}")
    folder.mkdir()
    return folder


def _stop(
    work: Callable[[], object], folder: Path, way: str, after: float
) -> tuple[str | None, str]:
    """Start a command and stop it after some processor time: what is wrong, and what it said."""
    pid = start_child(work, folder)
    while _spent(pid) < after:
        time.sleep(0.002)
    os.kill(pid, getattr(signal, f"SIG{way}"))
    outcome = finish_child(pid, folder)
    if outcome.code in {0, 1}:
        return None, "it was done already"
    if outcome.code != CODES[way]:
        return f"exit {outcome.code}: {outcome.err[-1500:]}", ""
    if way == "KILL":
        return None, "killed"
    lines = outcome.err.strip().splitlines()
    if "Traceback" in outcome.err or sum(line.startswith("Error: ") for line in lines) != 1:
        return f"said {outcome.err[-1500:]}", ""
    return None, lines[-1]


def _spent(pid: int) -> float:
    """Seconds of processor time of a child that runs; infinite once it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _compare(
    work: Callable[[], object], folder: Path, whole: Path, expected: Outcome
) -> str | None:
    """Give the command again: how what it leaves differs from an undisturbed run; None if not."""
    again = finish_child(start_child(work, folder), folder)
    if again.code != expected.code:
        return f"again: exit {again.code}: {again.err[-1500:]}"
    found, wanted = _files(folder), _files(whole)
    if found.keys() != wanted.keys():
        return f"files differ: {sorted(found.keys() ^ wanted.keys())}"
    differing = [name for name, content in wanted.items() if found[name] != content]
    return f"contents differ: {differing}" if differing else None


def _files(folder: Path) -> dict[str, object]:
    """What is in a folder, apart from times of day and durations."""
    return {
        path.relative_to(folder).as_posix(): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _content(path: Path) -> object:
    if path.name in {"sweep.db", "timings.json"}:  # they hold little but times
        return None
    if path.name == "metrics.jsonl":
        lines = map(json.loads, path.read_text("utf-8").splitlines())
        return [{key: line[key] for key in line if key != "seconds"} for line in lines]
    return path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
