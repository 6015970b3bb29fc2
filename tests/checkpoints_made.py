"""Small checkpoint folders that change a base, made here with PEFT and transformers."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descscore.checkpoints.files import CONFIG, file_digest, folder_digest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")

_CARD = """---
library_name: descscore
tags: [clip]
---
# A small checkpoint
"""


def saved_parametrization(path: Path) -> dict[str, Tensor]:
    """The state of the `LearnedBasis` that a subspace came from; empty if it was not learned."""
    from safetensors.torch import load_file

    start = "parametrization."
    return {
        name.removeprefix(start): tensor
        for name, tensor in load_file(path).items()
        if name.startswith(start)
    }


def lora_checkpoint(
    folder: Path,
    base: Path,
    *,
    name: str | None = None,
    revision: str | None = None,
    targets: Sequence[str] = ATTENTION,
    rank: int = 4,
    dtype: torch.dtype | None = None,
    update: float = 0.2,
    layer: int | None = 1,
    subspace: int = 8,
    seed: int = 0,
) -> Path:
    """A base with a random LoRA adapter and a random purpose subspace.

    Args:
        folder: where it goes, made if need be.
        base: the folder with the base's files.
        name: of the base in the record; by default its folder.
        revision: the base's commit in the record, for one that is on the Hub.
        targets: linear layers with an update.
        rank: of the updates.
        dtype: of the adapter's file; by default float32.
        update: standard deviation of the second factor of each update; 0 changes nothing.
        layer: of the purpose subspace; None for none.
        subspace: its rank.
        seed: of all that is random.
    """
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import CLIPModel

    from descscore.checkpoints.attach import quiet_transformers

    name = name or os.fspath(base)
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=list(targets),
        base_model_name_or_path=name,
        revision=revision,
    )
    with torch.random.fork_rng(), quiet_transformers(), warnings.catch_warnings():
        # PEFT uses what transformers will take away.
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(seed)
        model: Any = CLIPModel.from_pretrained(base, dtype=torch.float32)
        adapted = PeftModel(model, config)
        for key, value in adapted.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(value, std=update)
        adapted.to(dtype or torch.float32).save_pretrained(folder, save_embedding_layers=False)
    if layer is not None:
        width = model.config.text_config.hidden_size
        _save_subspace(folder, width, rank=subspace, layer=layer, seed=seed)
    return record(folder, base, name=name, revision=revision)


def full_checkpoint(
    folder: Path,
    base: Path,
    *,
    name: str | None = None,
    revision: str | None = None,
    change: float = 0.01,
    seed: int = 0,
) -> Path:
    """A base with every weight changed a little, in `model.safetensors` alone.

    Args:
        folder: where it goes, made if need be.
        base: the folder with the base's files.
        name: of the base in the record; by default its folder.
        revision: the base's commit in the record, for one that is on the Hub.
        change: standard deviation of what is added to each weight.
        seed: of what is added.
    """
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(seed)
    weights = {
        key: value + change * torch.randn(value.shape, generator=generator)
        for key, value in load_file(base / "model.safetensors").items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return record(folder, base, name=name, revision=revision)


def record(
    folder: Path, base: Path, *, name: str | None = None, revision: str | None = None
) -> Path:
    """Write `descscore_config.json` and a card for what is in the folder; the folder again."""
    files = sorted(path for path in folder.glob("*") if path.suffix in {".safetensors", ".json"})
    config = {
        "format": 1,
        "made_by": "descscore 0.1.0",
        "base": {
            "name": name or os.fspath(base),
            "revision": revision,
            "digest": None if revision else folder_digest(base),
        },
        "recipe": {"seed": 0},
        "data": {},
        "seed": 0,
        "measured": {},
        "digests": {path.name: file_digest(path) for path in files if path.name != CONFIG},
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_CARD, encoding="utf-8")
    return folder


def _save_subspace(folder: Path, width: int, *, rank: int, layer: int, seed: int) -> None:
    import torch

    from descscore.purpose.das_file import save_purpose
    from descscore.purpose.probe import Purpose
    from descscore.purpose.subspace import Site, random_basis

    purpose = Purpose(
        site=Site(layer=layer),
        basis=random_basis(width, rank, seed=seed),
        weight=torch.linspace(-1, 1, rank),
        bias=torch.tensor(0.25),
        caption_mean=torch.zeros(rank),
        description_mean=torch.ones(rank),
    )
    save_purpose(folder / "das.safetensors", purpose)
