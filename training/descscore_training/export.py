"""A trained CLIP -> a checkpoint folder with a card that says what was measured."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from math import prod
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.files import CONFIG, FORMAT_VERSION, file_digest, read_json

if TYPE_CHECKING:
    from pathlib import Path

_CARD = """---
library_name: descscore
pipeline_tag: zero-shot-image-classification
tags: [clip, clipscore, image-description, accessibility]
---
# {name}

A CLIP of {parameters:.1f} million parameters, trained from scratch. {about}

## Training
{steps:,} steps from the seed {seed}, on:

{sources}

## Measured
{measured}

Transfer is zero-shot with the prompt "An image of {{label}}". Preference is the share of images
whose description scores higher than the caption. Relevance is how often an image's own text scores
higher than another image's; chance is 0.5. Intervals are of 95%: Wilson's for preference, a
bootstrap over images for relevance.
"""


def export_base(name: str, run: Path, out: Path, *, measured: dict[str, Any], data: Path) -> None:
    """Write the checkpoint folder of a pretrained CLIP.

    Args:
        name: of the checkpoint.
        run: the folder that `pretrain` wrote.
        out: the checkpoint's folder; its `base/`, configuration and card are replaced.
        measured: results by data set, as `measure_base` gives them.
        data: the data folder, for the digests of what it was trained on.
    """
    recipe = read_json(run / "recipe.json")
    base = out / "base"
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(run / "model", base)
    files = sorted(path for path in base.iterdir() if path.is_file())
    paths = [source["path"] for source in recipe["sources"]]
    config = {
        "format": FORMAT_VERSION,
        "made_by": f"descscore {version('descscore')}",
        "base": {"name": f"{name}/base", "revision": None},
        "recipe": recipe,
        "data": {path: file_digest(data / path) for path in paths if (data / path).is_file()},
        "seed": recipe["seed"],
        "measured": measured,
        "digests": {f"base/{path.name}": file_digest(path) for path in files},
    }
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_card(name, base, recipe, measured), encoding="utf-8")


def _card(name: str, base: Path, recipe: dict[str, Any], measured: dict[str, Any]) -> str:
    from safetensors import safe_open

    with safe_open(base / "model.safetensors", framework="np") as weights:
        keys = list(weights.keys())
        parameters = sum(prod(weights.get_slice(key).get_shape()) for key in keys)
    sources = [
        f"- **{source['name']}**"
        + (f": {source['about']}" if source["about"] else "")
        + f" ({source['batch']} rows a step"
        + (f"; {source['held_out']:,} rows held out for validation)" if source["held_out"] else ")")
        for source in recipe["sources"]
    ]
    return _CARD.format(
        name=name,
        parameters=parameters / 1e6,
        about=recipe["about"],
        steps=recipe["schedule"]["steps"],
        seed=recipe["seed"],
        sources="\n".join(sources),
        measured=measured_table(measured),
    )


def measured_table(measured: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    transfer = measured["cifar10 test"]
    rows = [
        ("CIFAR-10 test, macro-F1", f"{transfer['macro_f1']:.3f}", f"{transfer['n']:,} images"),
        ("CIFAR-10 test, accuracy", f"{transfer['accuracy']:.3f}", f"{transfer['n']:,} images"),
    ]
    for what, share in measured["concadia-val200"].items():
        value = f"{share['share']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
        rows.append((f"concadia-val200, {what}", value, f"{share['n']} images"))
    lines = ["| measure | value | on |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
