"""The installed wheel works by itself: this file is copied away from the checkout and run there.

Beside it is a copy of `examples/`. `.ci/run` shows how.
"""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import descscore
from descscore import DescriptionScore

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.filterwarnings("ignore:the checkpoint 'mini' is a small demonstration"),
]

EXAMPLES = Path(__file__).with_name("examples")


def sample_pairs() -> list[dict[str, str]]:
    with (EXAMPLES / "pairs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_package_is_the_installed_one() -> None:
    assert Path(descscore.__file__).is_relative_to(sys.prefix)


@pytest.mark.parametrize(
    ("package", "file"),
    [
        ("descscore", "py.typed"),
        ("descscore", "audit/rules.toml"),
        ("descscore", "audit/vocabulary.toml"),
        ("descscore", "audit/report/templates/audit.html.jinja"),
        ("descscore", "explain/render/templates/page.html.jinja"),
        ("descscore", "checkpoints/mini/base/model.safetensors"),
        ("descscore", "checkpoints/mini/adapter_model.safetensors"),
        ("descscore", "checkpoints/mini/das.safetensors"),
        ("descscore_training", "py.typed"),
        ("descscore_training", "recipes/pretraining/mini-base.toml"),
        ("descscore_training", "recipes/sweeps/mini-relevance.toml"),
        ("descscore_training", "study/templates/report.html.jinja"),
        ("descscore_training", "studies/paper.toml"),
    ],
)
def test_wheel_holds(package: str, file: str) -> None:
    assert files(package).joinpath(file).is_file()


def test_python_and_command_line_score_the_photos_alike_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("scoring with the shipped checkpoint reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    pairs = sample_pairs()
    result = DescriptionScore()(
        [EXAMPLES / pair["image"] for pair in pairs], [pair["text"] for pair in pairs]
    )
    assert len(result) == 12
    assert result.errors == (None,) * 12
    assert result.purpose is not None

    command = shutil.which("descscore", path=str(Path(sys.executable).parent))
    assert command is not None
    out = tmp_path / "scores.csv"
    subprocess.run([command, "score", str(EXAMPLES / "pairs.csv"), "-o", str(out)], check=True)
    with out.open(encoding="utf-8", newline="") as file:
        written = [float(row["score"]) for row in csv.DictReader(file)]
    assert written == pytest.approx(result.scores.tolist(), abs=1e-6)


def test_audit_finds_a_missing_alt(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<img src=a.png>")
    command = [str(Path(sys.executable).with_name("descscore")), "audit", str(page)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "report.html")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "image-alt" in done.stdout
    assert (tmp_path / "report.html").is_file()
