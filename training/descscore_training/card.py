"""Model cards: what a checkpoint is, how it was trained, and its results."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from descscore.checkpoints.store import SHIPPED
from descscore_training.config import overrides_of

if TYPE_CHECKING:
    from pathlib import Path

    from descscore_training.choice import Choice

_BASE = """---
library_name: descscore
pipeline_tag: zero-shot-image-classification
tags: [clip, clipscore, image-description, accessibility]
---
# {name}

{base}"""

_OF_BASE = """A CLIP of {parameters:.1f} million parameters, trained from scratch. {about}

### Training
{steps:,} steps from the seed {seed}, on:

{sources}
"""

_ADAPTER = """---
library_name: descscore
{header}
tags: [clip, clipscore, image-description, alt-text, accessibility, causal-interpretability]
metrics: [preference, relevance, macro-f1]
---
# {name}

{what} of `{base}`, trained to score a *description* (alt text, which replaces the image) higher
than a *caption* (which adds to it), following "Updating CLIP to Prefer Descriptions Over Captions"
(Zur et al., EMNLP 2024). {success}{about}

```python
from descscore import DescriptionScore

metric = DescriptionScore({load})
print(metric(image, text).scores)
```

## Training
Objective **{objective}**, {tuning}. Step {step:,} was chosen: on the validation split it has
the {reason}. Pairs of texts:

{sources}

The recipe, as TOML:

```toml
{recipe}
```

## Measured
{measured}

Preference is the share of images whose description scores higher than the caption. Relevance is how
often an image's own text scores higher than another image's; chance is 0.5. For validation pairs
without images, the base model's embedding of the pair's other text stands in for the image.
Transfer is zero-shot classification with the prompt "An image of {{label}}"; the transfer score is
the tuned model's macro-F1 relative to the base's. Probe accuracy is for single texts. Intervals
are 95%: Wilson's for preference, a bootstrap over images for relevance.
"""


def base_card(name: str, folder: Path, record: dict[str, Any]) -> str:
    """The card of a CLIP that was trained from scratch.

    Args:
        name: of the checkpoint.
        folder: with its weights.
        record: its recipe, seed and results.
    """
    return _BASE.format(name=name, base=_about_base(folder, record))


def _about_base(folder: Path, record: dict[str, Any]) -> str:
    with safe_open(folder / "model.safetensors", framework="np") as weights:
        keys = list(weights.keys())
        parameters = sum(prod(weights.get_slice(key).get_shape()) for key in keys)
    recipe = record["recipe"]
    text = _OF_BASE.format(
        parameters=parameters / 1e6,
        about=recipe["about"],
        steps=recipe["schedule"]["steps"],
        seed=record["seed"],
        sources=_sources(recipe["sources"]),
    )
    return f"{text}\n### Measured\n{measured_table({'': record['measured']})}\n"


def adapter_card(name: str, folder: Path, config: dict[str, Any], choice: Choice) -> str:
    """The card of a fine-tuned checkpoint.

    Args:
        name: of the checkpoint.
        folder: where it is.
        config: the content of its `descscore_config.json`.
        choice: the step that was kept.
    """
    recipe, base = config["recipe"], config["base"]
    lora = recipe["tuning"]["kind"] == "lora"
    # JSON's strings are YAML's too, whatever is in them.
    names = json.dumps([source["name"] for source in recipe["sources"]], ensure_ascii=False)
    header = f"datasets: {names}"
    if "/" in base["name"] and base["revision"]:
        relation = "adapter" if lora else "finetune"
        header += f"\nbase_model: {base['name']}\nbase_model_relation: {relation}"
    # Pushing puts the repository's name in the place of a folder.
    place = name if folder.resolve() == SHIPPED.get(name) else folder.as_posix()
    before, after = (
        config.get(of, {}).get("validation", {}) for of in ("measured_base", "measured")
    )
    success = "On validation data it prefers descriptions no more than the base does. "
    if after.get("preference", 1) > before.get("preference", 0):
        success = ""
    text = _ADAPTER.format(
        header=header,
        name=name,
        load=json.dumps(place, ensure_ascii=False),
        what="A LoRA adapter" if lora else "A full fine-tuning",
        base=base["name"],
        success=success,
        about=recipe["about"],
        objective=recipe["objective"]["kind"],
        tuning="LoRA" if lora else "full fine-tuning",
        step=choice.step,
        reason=_reason(recipe, choice),
        sources=_sources(recipe["sources"]),
        recipe=_toml(recipe),
        measured=measured_table(
            {"base": config.get("measured_base", {}), "tuned": config["measured"]}
        ),
    )
    if "recipe" in base:
        text += "\n## The base\n" + _about_base(folder / "base", base)
    return text


def _reason(recipe: dict[str, Any], choice: Choice) -> str:
    """What the step that was kept has more of than the others."""
    weight, drop = recipe["trade_off"], recipe["relevance_drop"]
    if choice.below_floor:
        return f"highest relevance; every step lost more than {drop:g} of the base's"
    reason = "highest preference"
    if choice.by == "trade-off":
        rest = round(1 - weight, 3)
        reason = f"best trade-off, {weight:g} x preference + {rest:g} x transfer score"
    if drop is not None:
        reason += f", of the steps that lost at most {drop:g} of the base's relevance"
    return reason


def measured_table(results: dict[str, dict[str, Any]]) -> str:
    """Results of one or several models as a table in Markdown, a column each.

    Args:
        results: by model, then by dataset, then by measure.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for model, measured in results.items():
        for data, values in measured.items():
            for measure, value in values.items():
                if measure not in {"n", "classes", "recall"}:
                    rows.setdefault((data, measure), {})[model] = _value(value)
    head = ["on", "measure", *(model or "value" for model in results)]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for (data, measure), values in rows.items():
        cells = [values.get(model, "") for model in results]
        lines.append(f"| {' | '.join([data, measure.replace('_', '-'), *cells])} |")
    return "\n".join(lines)


def _value(value: Any) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, dict):
        return f"{value['share']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _sources(sources: list[dict[str, Any]]) -> str:
    lines = []
    for source in sources:
        about = f": {source['about']}" if source["about"] else ""
        held = f"; {source['held_out']:,} rows held out for validation"
        held = held if source["held_out"] else ""
        lines.append(f"- **{source['name']}**{about} ({source['batch']} rows per step{held})")
    return "\n".join(lines)


def _toml(recipe: dict[str, Any]) -> str:
    """All that a recipe sets, but for the text about it."""
    tables = {
        name: rows
        for name, rows in recipe.items()
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    }
    plain = {name: value for name, value in recipe.items() if name not in {*tables, "about"}}
    lines = _settings(plain)
    for name, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{name}]]", *_settings(row)]
    return "\n".join(lines)


def _settings(values: dict[str, Any]) -> list[str]:
    lines = overrides_of(values)
    return [
        line.replace("=", " = ", 1) for line in lines if not line.endswith(("=null", "=[]", "={}"))
    ]
