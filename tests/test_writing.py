"""Outputs are written whole or not at all, by one process, and never over an input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from descscore.errors import MissingExtraError, OptionError, WriteError
from descscore.writing import as_path, check_apart, naming, replacing, run_lock, write_whole


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old é")
    with pytest.raises(UnicodeEncodeError), replacing(path) as unfinished:
        unfinished.write_text("half \ud83d", "utf-8")
    assert path.read_text("utf-8") == "old é"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_temporary_names_meet_neither_each_other_nor_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        for unfinished in (first, second):
            unfinished.touch()


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    error = pytest.raises(WriteError, match=r"a\.txt cannot be written \(No space left")
    with error, naming(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")


def test_a_second_process_is_kept_out_and_a_killed_one_keeps_none_out(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = (
        "import sys, pathlib, time\nfrom descscore.writing import run_lock\n"
        "with run_lock(pathlib.Path(sys.argv[1]), 'busy'):\n    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        with pytest.raises(OptionError, match="busy"), run_lock(lock, "busy"):
            pass
        process.kill()
    with run_lock(lock, "busy"):
        pass
    assert not lock.exists()


@pytest.mark.parametrize("how", ["same", "link", "dots", "hard"])
def test_writing_over_an_input_is_refused_by_any_of_its_names(tmp_path: Path, how: str) -> None:
    path = tmp_path / "in.csv"
    path.touch()
    other = tmp_path / "other.csv"
    if how == "link":
        other.symlink_to(path)
    elif how == "hard":
        other.hardlink_to(path)
    else:
        other = path if how == "same" else tmp_path / "x" / ".." / "in.csv"
        (tmp_path / "x").mkdir()
    with pytest.raises(OptionError, match=r"in\.csv is read, and writing"):
        check_apart([other], [path])
    check_apart([tmp_path / "new.csv"], [path])


def test_an_address_that_nothing_installed_reaches_is_one_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("upath")
    # As if it were not installed.
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(MissingExtraError, match=r"'sftp://host/x\.csv' needs another .*paramiko"):
        as_path("sftp://host/x.csv")
    with pytest.raises(OptionError, match="'nosuch://host/x' is no address of a file"):
        as_path("nosuch://host/x")
