"""Lines of progress come at regular intervals, whatever a step takes."""

from __future__ import annotations

import time

import pytest

from descscore.cli.progress import TableProgress
from descscore.heartbeat import heartbeat


def test_lines_come_while_a_step_lasts_and_end_with_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("descscore.heartbeat.SECONDS", 0.01)
    said: list[str] = []
    with heartbeat(lambda: "here", said.append):
        time.sleep(0.2)
    assert len(said) >= 3
    after = len(said)
    time.sleep(0.05)
    assert len(said) == after


def test_a_table_off_the_terminal_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("descscore.heartbeat.SECONDS", 0.01)
    with TableProgress(shown=True) as progress:
        progress(0, 2000)
        progress(500, 2000)
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("scoring: 500 of 2,000 rows, ")
    assert lines[-1].endswith(" min left")
