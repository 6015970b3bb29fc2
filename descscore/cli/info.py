"""`descscore info`: what a checkpoint is, was trained on and measured."""

from __future__ import annotations

from typing import Any

from descscore.cli import options
from descscore.cli.console import print_json, print_line
from descscore.cli.parameters import argument
from descscore.cli.tables import COUNTS, facts_table, print_table, result_text, show_table
from descscore.strings import quoted


def info(
    checkpoint: str = argument(
        "mini",
        "CHECKPOINT",
        "A folder, a Hub id such as openai/clip-vit-base-patch32, or mini.",
        envvar="DESCSCORE_CHECKPOINT",
    ),
    revision: str | None = options.REVISION,
    local_files_only: bool = options.LOCAL_FILES_ONLY,
    token: str | None = options.TOKEN,
    json: bool = options.JSON,
) -> None:
    """Show what a checkpoint is, its training data and its results."""
    from descscore.checkpoints.describe import describe
    from descscore.checkpoints.store import resolve_checkpoint

    described = describe(
        resolve_checkpoint(
            checkpoint or "mini",
            revision=revision,
            local_files_only=local_files_only,
            token=token or None,
        )
    )
    if json:
        print_json(described)
    else:
        _print_tables(described)


def _print_tables(described: dict[str, Any]) -> None:
    from rich.markup import escape

    facts = _facts(described).items()
    show_table(facts_table((name, escape(value)) for name, value in facts if value))
    print_line("")
    print_table(
        "",
        ["file", "sha256", "bytes"],
        [(file["name"], file["sha256"][:16], f"{file['bytes']:,}") for file in described["files"]],
        left=2,
    )


def _facts(described: dict[str, Any]) -> dict[str, str]:
    """The lines of the first table; empty ones are left out."""
    if "model" in described:  # of open_clip
        return {
            "checkpoint": described["identity"],
            "kind": described["kind"],
            "folder": described["folder"],
            "parameters": _count(described["parameters"]),
            "model": quoted(described["model"]),
        }
    base, site = described["base"], described["subspace"]
    image, text = described["image_tower"], described["text_tower"]
    facts = {
        "checkpoint": described["identity"],
        "kind": described["kind"],
        "folder": described["folder"],
        "base": "@".join(filter(None, (base["name"], base["revision"]))) if base else "",
        "parameters": _count(described["parameters"]),
        "of the adapter": _count(described["adapter_parameters"]),
        "images": f"{described['image_size']} pixels in patches of {described['patch_size']}",
        "texts": f"up to {described['text_window']} tokens of {described['vocabulary']:,}",
        "towers": (
            f"image {image['layers']} x {image['width']}, text {text['layers']} x {text['width']} "
            "(layers x width)"
        ),
        "embedding": f"{quoted(described['embedding'])} dimensions",
        "purpose subspace": ""
        if site is None
        else f"{site['dimension']} dimensions, after block {site['layer']} of the text tower",
        "made by": described["made_by"] or "",
        "trained on": ", ".join(described["trained_on"] or ()),
    }
    before = described["measured_base"] or {}
    for data, results in (described["measured"] or {}).items():
        facts[f"measured on {data}"] = ", ".join(
            f"{name} {result_text(value)}{_before(name, before.get(data, {}))}"
            for name, value in results.items()
        )
    return facts


def _before(name: str, results: dict[str, Any]) -> str:
    """What the base had, where that can differ."""
    if name not in results or name in COUNTS:
        return ""
    return f" (base {result_text(results[name])})"


def _count(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters:,}"
