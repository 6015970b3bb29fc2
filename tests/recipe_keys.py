"""The keys of a fine-tuning recipe as tables in Markdown, made from the dataclasses' docstrings.

`python -m tests.recipe_keys` brings `docs/train.md` up to date.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

PAGE = Path(__file__).parents[1] / "docs" / "train.md"

_TABLE = re.compile(r"(<!-- keys of (\w+) -->).*?(<!-- end -->)", re.DOTALL)


def parts() -> dict[str, type]:
    """Every table of a recipe by its name; "recipe" for the keys outside of them."""
    from descscore_training.finetune_recipe import FinetuneRecipe

    found = {"recipe": FinetuneRecipe}
    for name, hint in get_type_hints(FinetuneRecipe).items():
        for kind in (hint, *get_args(hint)):
            if isinstance(kind, type) and is_dataclass(kind):
                found[name] = kind
    return found


def with_tables(page: str) -> str:
    """A page with its tables as the dataclasses now are."""
    return _TABLE.sub(lambda found: found[1] + _table(found[2]) + found[3], page)


def _table(name: str) -> str:
    kind = parts()[name]
    meanings = _meanings(kind)
    rows = [
        f"| `{key.name}` | {meanings[key.name]} | {_default(key)} |"
        for key in fields(kind)
        if name != "recipe" or key.name not in parts()
    ]
    return "\n".join(["", "", "| key | means | default |", "| --- | --- | --- |", *rows, "", ""])


def _meanings(kind: type) -> dict[str, str]:
    """What the docstring says of each attribute."""
    from descscore_training.finetune_recipe import SCHEDULES

    _, _, section = inspect.getdoc(kind).partition("Attributes:\n")  # pyright: ignore
    section = section.replace("see `SCHEDULES`", ", ".join(f'"{name}"' for name in SCHEDULES))
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()).replace("|", "\\|") for name, text in entries}


def _default(key: Field[Any]) -> str:
    if key.default is MISSING and key.default_factory is MISSING:
        return "required"
    if key.default in {MISSING, None, ""}:
        return ""
    return f"`{json.dumps(key.default)}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
