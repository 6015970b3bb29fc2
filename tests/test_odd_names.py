"""Files and folders whose names are not UTF-8: read, written, or refused by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from descscore.cli.app import app

ODD = os.fsdecode(b"caf\xe9")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> SimpleNamespace:
        with pytest.raises(SystemExit) as exit_:
            app([str(argument) for argument in arguments], prog_name="descscore")
        captured = capsys.readouterr()
        return SimpleNamespace(code=exit_.value.code or 0, out=captured.out, err=captured.err)

    return run


@pytest.fixture(autouse=True)
def _allowed(tmp_path: Path) -> None:
    try:
        (tmp_path / ODD).touch()
    except OSError:
        pytest.skip("this system takes no such names")
    (tmp_path / ODD).unlink()


@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet"])
def test_tables_are_read_and_written(run: Any, tmp_path: Path, tiny_clip: Path, end: str) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    table, out = tmp_path / f"{ODD}.csv", tmp_path / f"{ODD} scored.{end}"
    table.write_text("image,text\na.png,A cup\na.png,Two cats\n")
    options = ("--checkpoint", tiny_clip)
    assert run("score", table, "-o", out, *options).code == 0
    again = tmp_path / "again.csv"
    done = run("score", out, "-o", again, "--column-prefix", "x_", *options)
    assert done.code == 0, done.err


@pytest.mark.parametrize("form", ["json", "sarif", "junit", "html"])
def test_reports_of_an_audit_are_utf8(run: Any, tmp_path: Path, form: str) -> None:
    page = tmp_path / f"{ODD}.html"
    page.write_bytes(b'<html lang=en><title>t</title><img src="caf\xe9.png"><img src=b.png>')
    done = run("audit", page, "--format", form)
    assert done.code == 1, done.err
    done.out.encode()
    out = tmp_path / f"{ODD}.out"
    assert run("audit", page, "--format", form, "-o", out).code == 1
    text = out.read_text("utf-8")
    if form in ("json", "sarif"):
        json.loads(text)
        assert json.loads(done.out)


def test_a_baseline_is_read_as_it_was_written(run: Any, tmp_path: Path) -> None:
    page, baseline = tmp_path / f"{ODD}.html", tmp_path / "known.json"
    page.write_text("<html lang=en><title>t</title><img src=a.png>")
    assert run("audit", page, "--baseline", baseline, "--update-baseline").code == 0
    assert run("audit", page, "--baseline", baseline).code == 0


def test_folders_for_checkpoints_are_refused_at_once(run: Any, tmp_path: Path) -> None:
    for command in (
        ("train", "mini-joint-lora", "--data", tmp_path, "-o", tmp_path / ODD),
        ("sweep", "none.toml", "--data", tmp_path, "-o", tmp_path / ODD),
        ("reproduce", "miniature", "--data", tmp_path, "-o", tmp_path / ODD),
    ):
        done = run(*command)
        assert done.code == 2
        assert "caf\\xe9 is not valid UTF-8" in done.err
        assert "choose another" in done.err


def test_a_checkpoint_is_to_be_renamed(run: Any, tiny_clip: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_clip, tmp_path / ODD)
    done = run("info", tmp_path / ODD)
    assert done.code == 2
    assert "is not valid UTF-8; rename it" in done.err
