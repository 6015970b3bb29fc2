"""What comes from files reaches no terminal raw, and is always valid UTF-8."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from descscore.cli.app import app
from descscore.printable import printable, valid_unicode
from descscore.strict_json import dump
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\x9b2Jb\x7f", r"a\x9b2Jb\x7f"),
        ("gpj.\u202egnp", r"gpj.\u202egnp"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("\ud83d", r"\ud83d"),
        ("two\nlines\tand é", "two\nlines\tand é"),
    ],
)
def test_control_characters_and_stray_bytes_are_shown_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_of_a_name_that_is_not_utf8_can_be_read() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    written = dump({name: [name, float("nan")]}).encode()
    assert json.loads(written) == {r"caf\xe9.jpg": [r"caf\xe9.jpg", None]}
    assert valid_unicode("é") == "é"


def test_a_headers_escape_sequences_stay_off_the_terminal(tmp_path: Path) -> None:
    table = tmp_path / "h.csv"
    table.write_bytes(b"\x1b]0;owned\x07\x1b[2J,text\na.png,A cup\n")
    result = CliRunner().invoke(app, ["score", str(table), "-o", str(tmp_path / "o.csv")])
    assert result.exit_code == 2
    assert "\x1b" not in result.output
    assert r"\x1b]0;owned" in result.output


@pytest.mark.parametrize("option", ["--prefix", "--column-prefix", "--text-column"])
def test_bytes_that_are_not_utf8_in_a_text_option_are_a_usage_error(
    tmp_path: Path, option: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"image,text\n{ROOT / 'examples/photos/coffee.jpg'},A cup\n")
    words = ["score", str(table), "-o", str(tmp_path / "o.csv"), option, os.fsdecode(b"m\xff")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert option in result.output
    assert "not valid UTF-8" in result.output
    assert not (tmp_path / "o.csv").exists()
