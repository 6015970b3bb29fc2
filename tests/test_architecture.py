"""The plan of the house: imports go one way, and the library knows nothing of the command line."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path
    for base, package in ((ROOT, "descscore"), (ROOT / "training", "descscore_training"))
    for path in (base / package).rglob("*.py")
}

# A room imports from rooms of the lines before, its own, and modules of the package's root.
ORDER = [
    {"inputs"},
    {"towers", "purpose", "checkpoints"},
    {"explain"},
    {"tables", "integrations"},
    {"datasets"},
    {"evaluate"},
    {"audit"},
    {"training"},
    {"cli"},
]


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All of a module but what only a type checker runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from nodes(node)


def imports(path: Path) -> set[str]:
    """The modules of ours that a module imports, at any time."""
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def room(module: str) -> str:
    first, _, rest = module.partition(".")
    return "training" if first == "descscore_training" else rest.partition(".")[0]


IMPORTS = {module: imports(path) for module, path in MODULES.items()}
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def test_no_two_modules_import_each_other() -> None:
    # A package's own file imports none of its modules before their names are asked for.
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    graph = {name: found - packages - {name} for name, found in IMPORTS.items()}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", sorted(m for m in MODULES if room(m) in LEVEL))
def test_no_import_goes_up(module: str) -> None:
    up = {i for i in IMPORTS[module] if LEVEL.get(room(i), -1) > LEVEL[room(module)]}
    assert up == set()


LIBRARY = {
    name: path for name, path in MODULES.items() if room(name) not in {"cli", "training", "audit"}
}


@pytest.mark.parametrize("module", sorted(LIBRARY))
def test_the_library_names_no_flags_of_the_command_line(module: str) -> None:
    tree = ast.parse(LIBRARY[module].read_text(encoding="utf-8"))
    own = {"descscore.integrations.capevalkit"}  # a command line of its own
    raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    texts = [
        part.value
        for node in raised
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    assert module in own or not [text for text in texts if re.search(r"(?<!\w)--[a-z]", text)]
