"""The keys of a fine-tuning recipe as tables in Markdown, made from the models' docstrings.

`python -m tests.recipe_keys` brings `docs/train.md` up to date.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic_core import PydanticUndefined

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

PAGE = Path(__file__).parents[1] / "docs" / "train.md"

_TABLE = re.compile(r"(<!-- keys of (\w+) -->).*?(<!-- end -->)", re.DOTALL)


def parts() -> dict[str, type[BaseModel]]:
    """Every table of a recipe by its name; "recipe" for the keys outside of them."""
    from descscore_training.config import Part
    from descscore_training.finetune_recipe import FinetuneRecipe

    found: dict[str, type[BaseModel]] = {"recipe": FinetuneRecipe}
    for name, key in FinetuneRecipe.model_fields.items():
        for kind in (key.annotation, *get_args(key.annotation)):
            if isinstance(kind, type) and issubclass(kind, Part):
                found[name] = kind
    return found


def with_tables(page: str) -> str:
    """A page with its tables as the models now are."""
    return _TABLE.sub(lambda found: found[1] + _table(found[2]) + found[3], page)


def _table(name: str) -> str:
    kind = parts()[name]
    meanings = _meanings(kind)
    rows = [
        f"| `{key}` | {meanings[key]} | {_default(info)} |"
        for key, info in kind.model_fields.items()
        if name != "recipe" or key not in parts()
    ]
    return "\n".join(["", "", "| key | means | default |", "| --- | --- | --- |", *rows, "", ""])


def _meanings(kind: type[BaseModel]) -> dict[str, str]:
    """What the docstring says of each attribute."""
    from descscore_training.finetune_recipe import Schedule

    _, _, section = inspect.getdoc(kind).partition("Attributes:\n")
    section = section.replace("see `Schedule`", ", ".join(f'"{n}"' for n in get_args(Schedule)))
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()).replace("|", "\\|") for name, text in entries}


def _default(key: FieldInfo) -> str:
    if key.is_required():
        return "required"
    if key.default in {PydanticUndefined, None, ""}:
        return ""
    return f"`{json.dumps(key.default)}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
