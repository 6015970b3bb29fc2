"""The fuzzer notices what it looks for, and finds nothing in its first cases."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fuzz.__main__ import lost_rows
from tests.fuzz.cases import Case
from tests.fuzz.child import Outcome
from tests.fuzz.values import damaged


@pytest.mark.parametrize(
    ("code", "err", "problem"),
    [
        (0, "", None),
        (1, "failed  1", None),
        (2, "Error: no column image", None),
        (2, "", "no error"),
        (70, "", "exit 70"),
        (-11, "", "signal 11"),
        (-9, "", "hang"),
        (1, "Traceback (most recent call last):", "traceback"),
        (2, "Error: \x1b[2J", "control character"),
    ],
)
def test_an_outcome_is_judged(code: int, err: str, problem: str | None) -> None:
    assert Outcome(code=code, out="", err=err).problem == problem


@pytest.mark.parametrize(
    ("made", "said", "written", "problem"),
    [
        (2, 2, 2, None),
        (None, 2, 2, None),
        (3, 2, 2, "2 of 3 rows"),
        (None, 3, 2, "2 of 3 rows written"),
    ],
)
def test_lost_rows_are_noticed(
    tmp_path: Path, made: int | None, said: int, written: int, problem: str | None
) -> None:
    (tmp_path / "o.jsonl").write_text('{"score": 1}\n' * written)
    case = Case(args=["score", "t.csv", "-o", "o.jsonl"], rows=made)
    outcome = Outcome(code=0, out=json.dumps({"n": said}), err="")
    assert lost_rows(case, outcome, tmp_path) == problem


def test_damage_follows_from_the_seed() -> None:
    content = bytes(range(256))
    found = {damaged(random.Random(seed), content) for seed in [1, 1, 2, 3]}
    assert len(found) == 3
    assert content not in found


def test_first_cases_of_each_kind_end_well() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--cases", "12", "--seconds", "120"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 faults" in done.stdout
