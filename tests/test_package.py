"""What the installed package promises before anything is scored."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import descscore

ROOT = Path(__file__).parents[1]


def loaded_by(statement: str) -> tuple[set[str], float]:
    """Top-level modules that a fresh interpreter loads for a statement, and its CPU seconds."""
    code = (
        "import sys, time; start = time.process_time()\n"
        f"{statement}\n"
        "print(time.process_time() - start, *sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    seconds, *modules = out.split()
    return {module.partition(".")[0] for module in modules}, float(seconds)


def test_public_names_are_these() -> None:
    assert dir(descscore) == [
        "CLIPSCORE_PREFIX",
        "DemonstrationWarning",
        "DescriptionScore",
        "DescscoreError",
        "Embeddings",
        "Explanation",
        "Problem",
        "Scores",
    ]


@pytest.mark.parametrize("name", dir(descscore))
def test_public_name_exists_and_is_listed(name: str) -> None:
    assert getattr(descscore, name) is not None
    assert name in dir(descscore)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        descscore.nothing_of_the_kind  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_version_is_that_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version("descscore") == project["version"] == "0.1.0"


@pytest.mark.parametrize("module", ["descscore", "descscore.errors", "descscore.cli.app"])
def test_import_is_quick_and_loads_no_torch(module: str) -> None:
    modules, seconds = loaded_by(f"import {module}")
    assert modules.isdisjoint({"torch", "transformers", "peft", "pandas", "pyarrow", "accelerate"})
    assert module.partition(".")[0] in modules
    assert seconds < 0.3


@pytest.mark.parametrize(
    "package",
    ["audit", "checkpoints", "datasets", "evaluate", "explain", "purpose", "tables", "towers"],
)
def test_a_subpackage_offers_its_public_names_lazily(package: str) -> None:
    package = f"descscore.{package}"
    module = import_module(package)
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        module.nothing_of_the_kind  # noqa: B018
    loaded, _ = loaded_by(f"import {package}")
    assert not loaded & {"torch", "scipy", "numpy", "lxml"}
