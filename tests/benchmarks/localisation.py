"""Does the subspace hold the distinction? Interchanges in it, beside controls that can fail.

On validation pairs: how often DII(caption <- description) scores above the caption and
DII(description <- caption) below the description, and by how much, when what is interchanged is the
learned subspace, as many unit vectors, random subspaces of the same size, or everything that is
orthogonal to the learned one.

    python -m tests.benchmarks.localisation CHECKPOINT ... --data DATA -o RESULTS.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import RecipeError
from descscore.purpose.subspace import complement, identity_basis, interchange, random_basis
from descscore.towers.clip import pad
from descscore.towers.clip_text import run_on, run_texts
from descscore.towers.protocol import TextRun
from descscore_training.config import build_recipe
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.pairs.bank import load_banks
from descscore_training.pairs.sources import load_pairs, load_stand_ins
from descscore_training.probe_training import fit_probe, pair_states, probe_accuracy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from descscore.checkpoints.attach import Clip
    from descscore.purpose.probe import Purpose
    from descscore_training.pairs.bank import Bank

_PAIRS_TOGETHER = 128


def localise(folder: Path, data: Path, *, draws: int = 20, seed: int = 10_000) -> dict[str, Any]:
    """Interchange the learned subspace and its controls in a checkpoint, on its validation pairs.

    Args:
        folder: a checkpoint with a subspace, made by `descscore train`.
        data: the folder that its recipe's paths are relative to.
        draws: random subspaces.
        seed: of the first of them.

    Returns:
        For "learned", "identity", "complement" and each of "random": `raised` and `lowered`, shares
        in [0, 1], `flipped`, their mean, and `change`, the mean rise of a caption's and fall of a
        description's logit; and for "learned" and "complement" the accuracy of a probe (logistic
        regression fitted on the training split) on single texts.

    Raises:
        RecipeError: the checkpoint has no subspace or no recipe.
    """
    checkpoint = resolve_checkpoint(folder)
    clip = load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))
    purpose = clip.purpose
    if purpose is None or checkpoint.config is None:
        raise RecipeError(f"{folder} has no purpose subspace; train with an objective that has one")
    recipe = build_recipe(FinetuneRecipe, checkpoint.config["recipe"])
    pairs = load_pairs(recipe.sources, data)
    _, validation, _, _ = load_banks(
        pairs.training,
        pairs.validation,
        clip,
        keep="embeddings",
        cache=Path(),
        progress=False,
        stand_ins=load_stand_ins(recipe.stand_ins, data),
    )
    width, rank = purpose.basis.shape
    bases = {
        "learned": purpose.basis,
        "identity": identity_basis(width, rank),
        "complement": complement(purpose.basis),
        **{
            # Other seeds than training's: the learned basis begins as one such draw.
            f"random {draw}": random_basis(width, rank, seed=seed + draw)
            for draw in range(draws)
        },
    }
    results = _interchanged(clip, purpose, validation, bases)
    known = pair_states(clip.model, purpose.site, clip.texts, pairs.training)
    new = pair_states(clip.model, purpose.site, clip.texts, pairs.validation)
    for name in ("learned", "complement"):
        fitted = fit_probe(*known, bases[name], purpose.site)
        results[name]["probe accuracy"] = probe_accuracy(fitted, *new)
    random = [results.pop(f"random {draw}") for draw in range(draws)]
    return {
        "checkpoint": checkpoint.identity,
        "layer": purpose.site.layer,
        "rank": rank,
        "width": width,
        "pairs": sum(validation.sizes),
        "seed": recipe.seed,
        **results,
        "random": random,
    }


@torch.no_grad()
def _interchanged(
    clip: Clip, purpose: Purpose, bank: Bank, bases: dict[str, Float[Tensor, "width _"]]
) -> dict[str, dict[str, float]]:
    """What interchanges do to the logits of all pairs, by basis."""
    picked = [(source, row) for source, size in enumerate(bank.sizes) for row in range(size)]
    random = np.random.default_rng(0)
    scale = clip.model.logit_scale.exp()
    moved: dict[str, list[Float[Tensor, "pair side"]]] = {name: [] for name in bases}
    for first in range(0, len(picked), _PAIRS_TOGETHER):
        batch = bank.batch(picked[first : first + _PAIRS_TOGETHER], random)
        captions = _run(clip, purpose, batch.captions)
        descriptions = _run(clip, purpose, batch.descriptions)
        for name, basis in bases.items():
            sides = []
            for base, source in ((captions, descriptions), (descriptions, captions)):
                states = interchange(base.site, source.site, basis)
                changed = run_on(clip.model, base, states, purpose.site.layer)
                sides.append(scale * (batch.images * (changed - base.embeddings)).sum(1))
            # What should happen is positive on both sides.
            moved[name].append(torch.stack([sides[0], -sides[1]], 1))
    results = {}
    for name, parts in moved.items():
        change = torch.cat(parts)
        raised, lowered = (change > 0).float().mean(0).tolist()
        results[name] = {
            "raised": raised,
            "lowered": lowered,
            "flipped": (raised + lowered) / 2,
            "change": change.mean().item(),
        }
    return results


def _run(clip: Clip, purpose: Purpose, tokens: Sequence[Sequence[int]]) -> TextRun:
    ends = torch.tensor([len(ids) - 1 for ids in tokens])
    return run_texts(clip.model, pad(tokens, ends.device), ends, purpose.site.layer)


def main() -> None:
    """Run the study on some checkpoints and write the results as JSON."""
    parser = argparse.ArgumentParser(description="Interchange a subspace and its controls.")
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    results = []
    for folder in options.checkpoints:
        results.append(localise(folder, options.data, draws=options.draws))
        sys.stderr.write(f"{folder}: done\n")
        # After each: an interrupted study keeps what it has.
        options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
