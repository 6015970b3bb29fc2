"""`descscore prepare`: what it prints where, and how it ends."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from descscore_training.study import prepare as module
from tests import downloads_made as made
from tests.command_line import command_line


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(module, "prepare", partial(module.prepare, kinds=made.KINDS))

    return command_line(capsys, "prepare")


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return made.made_downloads(tmp_path / "downloads")


def test_the_table_says_what_was_made_from_what(run: Any, downloads: Path, tmp_path: Path) -> None:
    done = run(downloads, "--data", tmp_path / "data")
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "food101 written food101 4 images" in lines
    assert "concadia written concadia/wiki_split.json and concadia/resized.zip 3 images" in lines
    assert "food101: reading food101\n" in done.err
    assert "Note" not in done.err
    again = run(downloads, "--data", tmp_path / "data")
    assert again.code == 0
    assert "food101 there 4 images" in [" ".join(line.split()) for line in again.out.splitlines()]
    assert again.err == ""


def test_what_is_missing_is_one_line_with_its_address_and_exit_code_1(
    run: Any, downloads: Path, tmp_path: Path
) -> None:
    shutil.rmtree(downloads / "food101")
    done = run(downloads, "--data", tmp_path / "data")
    assert done.code == 1
    address = "https://huggingface.co/datasets/ethz/food101"
    notes = [line for line in done.err.splitlines() if line.startswith("Note:")]
    assert notes == [
        f"Note: food101 from {address}: download the validation split of ethz/food101 into a "
        "folder food101"
    ]
    assert "food101 MISSING" in " ".join(done.out.split())


def test_json_says_the_same_for_a_program(run: Any, downloads: Path, tmp_path: Path) -> None:
    (parquet,) = (downloads / "food101").rglob("*.parquet")
    parquet.write_bytes(b"")
    done = run(downloads, "--data", tmp_path / "data", "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["ready"], found["lacking"]) == (False, ["food101"])
    parts = {part["path"]: part for part in found["parts"]}
    assert parts["imagenet"] == {
        "path": "imagenet",
        "state": "written",
        "sources": ["imagenet"],
        "count": 6,
        "unit": "images",
        "problem": None,
        "address": "https://huggingface.co/datasets/ILSVRC/imagenet-1k",
    }
    assert parts["food101"]["state"] == "failed"


def test_an_interruption_says_how_to_go_on(
    run: Any, downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "prepare", stop)
    done = run(downloads, "--data", tmp_path / "data")
    assert (done.code, done.out) == (130, "")
    assert done.err == "Error: interrupted; repeat the command to resume\n"


def test_a_folder_that_is_not_there_is_wrong_usage(run: Any, tmp_path: Path) -> None:
    done = run(tmp_path / "nowhere", "--data", tmp_path / "data")
    assert done.code == 2
    assert "there is no folder" in done.err
