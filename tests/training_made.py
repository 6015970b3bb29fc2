"""A small data set whose descriptions and captions differ systematically, and recipes for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descscore_training.finetune_recipe import FinetuneRecipe

COLOURS = {
    "red": (210, 40, 30),
    "green": (40, 190, 50),
    "blue": (40, 60, 200),
    "yellow": (220, 210, 50),
}
_PLACES = ("Lagos", "Turin", "Quito", "Osaka", "Perth", "Oslo")


def made_data(folder: Path) -> Path:
    """Write what `made_recipe` trains on; the folder again.

    `pairs.csv` has 24 images, 16 to train on and 8 to validate on; `texts.csv` has 12 pairs without
    images, 8 and 4; `classes/` has 4 images of each of 4 colours.
    """
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)

    def save(path: Path, colour: tuple[int, int, int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        noisy = np.array(colour) + random.integers(-60, 60, (32, 32, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path)

    pairs, texts = ["image,description,caption,split"], ["key,description,caption,split"]
    for i in range(24):
        name = list(COLOURS)[i % 4]
        place = _PLACES[i // 4]
        save(folder / "images" / f"{i}.png", COLOURS[name])
        split = "val" if i % 3 == 0 else "train"
        description = f"A {name} square with {i} dark spots" + " and a rough edge" * (i % 4)
        caption = f"{place} celebrated its flag in 19{i:02}" + " once more" * (i % 3)
        pairs.append(f"{i}.png,{description},{caption},{split}")
        if i < 12:
            texts.append(f"{i},A {name} door in a wall,{place} in 18{i:02},{split}")
    (folder / "pairs.csv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    (folder / "texts.csv").write_text("\n".join(texts) + "\n", encoding="utf-8")
    for name, colour in COLOURS.items():
        for i in range(4):
            save(folder / "classes" / name / f"{i}.png", colour)
    return folder


def made_values(base: str | os.PathLike[str], **changes: Any) -> dict[str, Any]:
    """The values of a recipe for `made_data`: iit-das, LoRA on both towers, eight steps.

    Args:
        base: the CLIP to start from.
        changes: other values; a dict changes a part's values, anything else replaces.
    """
    values: dict[str, Any] = {
        "base": os.fspath(base),
        "objective": {"kind": "iit-das", "layer": 1, "dimension": 8},
        "tuning": {"kind": "lora", "towers": "both", "rank": 4},
        "optimiser": {"name": "adam", "lr": 5e-3},
        "duration": {"epochs": 2, "evaluate_every": 2, "patience": 0},
        "sources": [{"name": "pairs", "path": "pairs.csv", "images": "images", "batch": 4}],
        "transfer": [{"name": "classes", "path": "classes"}],
    }
    for name, change in changes.items():
        values[name] = values.get(name, {}) | change if isinstance(change, dict) else change
    return values


def made_recipe(base: str | os.PathLike[str], **changes: Any) -> FinetuneRecipe:
    """The recipe of `made_values`."""
    from descscore_training.config import build_recipe
    from descscore_training.finetune_recipe import FinetuneRecipe

    return build_recipe(FinetuneRecipe, made_values(base, **changes))
