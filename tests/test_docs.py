"""The documentation does what it says: its code runs, its commands are those of the CI."""

from __future__ import annotations

import doctest
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

import descscore
from descscore.cli.app import app

if TYPE_CHECKING:
    from sybil import Example

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

DEMONSTRATION = "ignore:the checkpoint 'mini' is a small demonstration"


def run_commands(example: Example) -> None:
    commands = str(example.parsed)
    lines = commands.splitlines()
    if all(line.startswith("descscore ") and ">" not in line for line in lines):
        # Without a process for each, which would load everything anew.
        for line in lines:
            with pytest.raises(SystemExit) as done:
                app(shlex.split(line)[1:], prog_name="descscore")
            assert not done.value.code, line
        return
    # The environment of this interpreter need not be activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = ["bash", "-euo", "pipefail", "-c", commands]
    subprocess.run(shell, check=True, env=os.environ | {"PATH": path})


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS),
        CodeBlockParser(language="bash", evaluator=run_commands),
        SkipParser(),
    ],
)


@pytest.fixture
def beside_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a copy of the examples, where code may write."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings(DEMONSTRATION)
@pytest.mark.usefixtures("beside_examples")
@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```" in p.read_text("utf-8")], ids=lambda page: page.name
)
def test_code_blocks_run(page: Path) -> None:
    for example in SYBIL.parse(page).examples():
        example.evaluate()


@pytest.mark.filterwarnings(DEMONSTRATION)
def test_quickstart_example_scores_every_text_and_photo(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [float(line.split()[0]) >= 0 for line in lines[:3]] == [True] * 3
    assert [line.split(":")[0] for line in lines[3:7]] == [
        "astronaut.jpg",
        "chelsea.jpg",
        "coffee.jpg",
        "rocket.jpg",
    ]


def test_ci_runs_the_readme_commands_word_for_word() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = re.findall(r"^```sh\n(.*)\n```$", readme, re.MULTILINE)
    assert len(commands) == 2
    assert set(commands) <= set(ci)


def test_every_public_name_is_on_the_api_page() -> None:
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: descscore\.(\w+)$", api, re.MULTILINE))
    assert set(dir(descscore)) <= shown


def test_every_link_between_pages_leads_to_a_file() -> None:
    links = [
        (page, target)
        for page in [*PAGES, ROOT / "examples" / "photos" / "SOURCES.md"]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w.-]+)?\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 20
    assert [target for page, target in links if not (page.parent / target).exists()] == []
