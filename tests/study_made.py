"""A study of two runs and two seeds that takes seconds, and the data that it is measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.training_made import COLOURS, made_data

STUDY = """
name = "A made study"
about = "Squares of four colours; | and <b> are no markup."
base = {base}
seeds = [0, 1]

[[runs]]
name = "behavioral-full"
recipe = "made.toml"
overrides = {{ objective.kind = "behavioral", tuning.kind = "full", optimiser.lr = 1e-4 }}
published = "behavioral-full"

[[runs]]
name = "iit-das-lora"
recipe = "made.toml"
published = "iit-das-lora"

[overrides.watch]
name = "watched part"
path = "concadia"
split = "test"

[concadia]
name = "made pairs"
path = "concadia"
split = "test"

[[transfer]]
name = "colours"
path = "classes"

[human]
path = "ratings"

[norms]
concreteness = "concreteness.csv"
imageability = "imageability.csv"
sample = 4

[[data]]
path = "classes"
address = "https://example.org/classes"
about = "a folder a colour"
"""

RECIPE = """
base = "elsewhere"
objective = { kind = "iit-das", layer = 1, dimension = 4 }
tuning = { kind = "lora", towers = "text", rank = 2 }
optimiser = { lr = 5e-3 }
duration = { epochs = 1, evaluate_every = 2, patience = 0 }
[[sources]]
name = "pairs"
path = "pairs.csv"
images = "images"
batch = 4
[[transfer]]
name = "classes"
path = "classes"
"""


def made_study(folder: Path, base: Path) -> Path:
    """Write a study, its recipe and its data into a folder.

    Returns:
        The study's file, in the folder with its data.
    """
    made_data(folder)
    (folder / "study.toml").write_text(STUDY.format(base=json.dumps(base.as_posix())))
    (folder / "made.toml").write_text(RECIPE)
    _concadia(folder)
    _ratings(folder)
    for norm, rating in (("concreteness", 4.5), ("imageability", 6.0)):
        words = [*COLOURS, "square", "dark", "spots", "rough", "edge", "flag", "celebrated"]
        rows = [f"{word},{rating - 0.3 * i:.1f}" for i, word in enumerate(words)]
        (folder / f"{norm}.csv").write_text("\n".join(["word,rating", *rows]) + "\n")
    return folder / "study.toml"


def _concadia(folder: Path) -> None:
    entries: list[dict[str, Any]] = []
    for i, name in enumerate(list(COLOURS) * 3):
        entries.append(
            {
                "filename": f"{i}.png",
                "split": "test" if i < 8 else "val",
                "description": {"raw": f"A {name} square with {i} dark spots"},
                "caption": {"raw": f"The flag of 19{i:02} celebrated"},
            }
        )
    (folder / "concadia").mkdir()
    (folder / "concadia" / "wiki_split.json").write_text(json.dumps({"images": entries}))
    (folder / "concadia" / "resized").symlink_to(folder / "images")


def _ratings(folder: Path) -> None:
    """Six descriptions of three images, rated by two blind and two sighted people."""
    ratings = folder / "ratings"
    ratings.mkdir()
    (ratings / "images").symlink_to(folder / "images")
    questions = ["overall", "reconstructivity", "relevance", "irrelevance"]
    rows = ["description_id,image,description"]
    blv = ["description_id," + ",".join(f"q_{question}" for question in questions)]
    before = [f"q_{question}.preimg" for question in questions]
    after = [f"q_{q}.postimg" for q in ("overall", "relevance", "irrelevance")]
    sighted = ["description_id," + ",".join(before + after)]
    for i in range(6):
        rows.append(
            f"d{i},{i // 2}.png,A {list(COLOURS)[i % 4]} square number {i}" + " again" * (i % 3)
        )
        for person in range(2):
            answers = [str(1 + (i * (k + 2) + person) % 5) for k in range(7)]
            blv.append(",".join([f"d{i}", *answers[:4]]))
            sighted.append(",".join([f"d{i}", *answers]))
    for name, lines in (("descriptions", rows), ("blv_ratings", blv), ("sighted_ratings", sighted)):
        (ratings / f"{name}.csv").write_text("\n".join(lines) + "\n")
