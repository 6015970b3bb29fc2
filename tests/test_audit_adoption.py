"""The GitHub Action and the pre-commit hook run the command that they promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from descscore.audit.documents import SUFFIXES

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
BAD = "<img src=a.png>"


def run(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path} | more
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def act(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the last step of the action as GitHub does, with inputs or their defaults."""
    step = ACTION["runs"]["steps"][-1]
    env: dict[str, str] = {}
    for name, expression in step["env"].items():
        key = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", expression)
        assert key
        env[name] = inputs.get(key[1].replace("-", "_"), str(ACTION["inputs"][key[1]]["default"]))
    shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
    return run(shell, folder, **env)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a page.html").write_text(BAD)
    (tmp_path / "clean.md").write_text("![Dog on a beach](a.png)")
    return tmp_path


def test_action_checks_the_repository_by_default(folder: Path) -> None:
    done = act(folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert "image-alt" in done.stdout


def test_action_takes_paths_with_blanks_reports_and_arguments(folder: Path) -> None:
    done = act(
        folder,
        paths="a page.html\n\nclean.md\n",
        output="found.sarif\nfound.json",
        fail_on="never",
        arguments="--disable\nimage-alt\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((folder / "found.json").read_text())["summary"]["pages"] == 2
    assert json.loads((folder / "found.sarif").read_text())["runs"][0]["results"] == []


def test_no_input_of_the_action_is_code(folder: Path) -> None:
    done = act(folder, paths="$(touch hacked)", arguments="; touch hacked")
    assert done.returncode == 2
    assert not (folder / "hacked").exists()
    steps: list[dict[str, Any]] = ACTION["runs"]["steps"]
    assert not any("${{" in step.get("run", "") for step in steps)


def test_hook_runs_on_the_files_that_it_is_given(folder: Path) -> None:
    done = run([*HOOK["entry"].split(), "a page.html", "clean.md"], folder)
    assert done.returncode == 1
    assert "a page.html" in done.stdout


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_hook_is_given_every_document(suffix: str) -> None:
    assert re.search(HOOK["files"], f"docs/page{suffix}")
    assert not re.search(HOOK["files"], f"docs/page{suffix}.txt")


def test_hook_installs_what_the_extra_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["audit"]
    assert HOOK["additional_dependencies"] == extra
