"""A training run -> a checkpoint folder with a model card of its results."""

from __future__ import annotations

import shutil
import stat
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from descscore import DescriptionScore
from descscore.checkpoints.attach import quiet_transformers
from descscore.checkpoints.files import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONFIG,
    FORMAT_VERSION,
    PURPOSE,
    WEIGHTS,
    file_digest,
    folder_digest,
    read_json,
)
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError, RecipeError
from descscore.purpose.das_file import save_purpose
from descscore.towers.device import choose_device
from descscore.writing import write_json
from descscore_training.card import adapter_card, base_card
from descscore_training.choice import read_log
from descscore_training.config import build_recipe, plain
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.finetuning import build_step, find_base, load_base, restore
from descscore_training.measure import measure
from descscore_training.pairs.sources import load_pairs
from descscore_training.probe_training import (
    calibrate,
    fit_probe,
    pair_states,
    probe_accuracy,
    probe_ranking,
)
from descscore_training.run_folder import BEST, kept_step, pin

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from peft import PeftModel

    from descscore.checkpoints.attach import Clip
    from descscore.checkpoints.store import Checkpoint
    from descscore_training.choice import Choice, Evaluation
    from descscore_training.step import Step


_TRAINED_ON = {"source", "stand_ins", "anchors"}


def export_base(name: str, run: Path, out: Path, *, measured: dict[str, Any], data: Path) -> None:
    """Write the checkpoint folder of a pretrained CLIP.

    Args:
        name: of the checkpoint.
        run: the folder that `pretrain` wrote.
        out: the checkpoint's folder; its `base/`, configuration and card are replaced.
        measured: results by dataset, as `measure_base` gives them.
        data: the data folder, for the digests of what it was trained on.
    """
    recipe = read_json(run / "recipe.json")
    base = out / "base"
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(run / "model", base)
    record = {
        "name": f"{name}/base",
        "revision": None,
        "digest": folder_digest(base),
        "recipe": recipe,
        "data": _data_digests([source["path"] for source in recipe["sources"]], data),
        "seed": recipe["seed"],
        "measured": measured,
    }
    _write_config(out, {"base": record})
    (out / "README.md").write_text(base_card(name, base, record), encoding="utf-8")


def export_checkpoint(run: Path, out: Path, *, name: str, data: Path, device: str = "auto") -> None:
    """Write the checkpoint folder of a fine-tuning run: the chosen step, its probe, its card.

    Weights are saved in float16, the subspace in float32. An existing `base/` in the folder is
    kept, together with its record in the configuration.

    Args:
        run: the folder that `train` wrote.
        out: the checkpoint's folder; all its other files are replaced.
        name: its name in the model card.
        data: the data folder.
        device: where to compute: "auto" or a PyTorch device.

    Raises:
        RecipeError: the run has no chosen step, or its data have changed.
        CheckpointError: the written checkpoint cannot be loaded.
    """
    kept = kept_step(run)
    if kept is None:
        raise RecipeError(
            f"{run} has no trained step ({BEST}) that can be read; train first, or in a new folder"
        )
    recipe = build_recipe(FinetuneRecipe, read_json(run / "recipe.json"))
    evaluations = read_log(run / "metrics.jsonl")
    choice = recipe.choose(evaluations)
    if kept != choice.step:
        raise RecipeError(
            f"{run} keeps step {kept}, but its log chooses {choice.step}; train in a new folder"
        )
    checkpoint = find_base(recipe)
    pin(run, "base", checkpoint.identity)
    clip = load_base(recipe, choose_device(device))
    base = _base_record(checkpoint, out)
    step, adapted = build_step(clip, recipe)
    restore(step, load_file(run / BEST))
    out.mkdir(parents=True, exist_ok=True)
    # What another run may have left, but for the configuration, which knows the base.
    for file in (ADAPTER, ADAPTER_CONFIG, PURPOSE, WEIGHTS[0], "README.md"):
        (out / file).unlink(missing_ok=True)
    _save_weights(step, adapted, out, base)
    accuracy = _fit_probes(step, clip, recipe, out, data)
    validated = {"step": choice.step, **_shares(choice), "trade-off": choice.trade_off}
    if choice.transfer is not None:
        validated["transfer score"] = choice.transfer
    parts = {
        "base": base,
        "recipe": plain(recipe),
        "data": _data_digests(
            [path for part, path in recipe.data_paths() if part.split()[0] in _TRAINED_ON], data
        ),
        "seed": recipe.seed,
        "measured": {"validation": validated | accuracy},
    }
    config = _write_config(out, parts)
    # Measured as a user measures: with what was written, loaded again.
    before = _metric(checkpoint.folder, device)
    after = _metric(out, device)
    config["measured"] |= measure(after, recipe.measure, data)
    config["measured_base"] = measure(before, recipe.measure, data) | {
        "validation": _shares(evaluations[0])
    }
    write_json(out / CONFIG, config)
    (out / "README.md").write_text(adapter_card(name, out, config, choice), encoding="utf-8")


def exported_choice(recipe: FinetuneRecipe, run: Path, folder: Path) -> Choice | None:
    """The step that a run chose, if the folder holds all of its checkpoint: then all is done.

    Args:
        recipe: the run's.
        run: the folder that `train` wrote.
        folder: the checkpoint's.
    """
    if not ((folder / CONFIG).is_file() and (run / "metrics.jsonl").is_file()):
        return None
    try:
        config = resolve_checkpoint(folder).config or {}
    except CheckpointError:
        return None
    # The results before training are written last.
    if config.get("recipe") != plain(recipe) or "validation" not in config.get("measured_base", {}):
        return None
    choice = recipe.choose(read_log(run / "metrics.jsonl"))
    return choice if config["measured"]["validation"]["step"] == choice.step else None


def _metric(folder: Path, device: str) -> DescriptionScore:
    return DescriptionScore(folder, scale="cosine", batch_size=256, device=device, dtype="float32")


def _base_record(checkpoint: Checkpoint, out: Path) -> dict[str, Any]:
    """The base's name, and what pins it: its commit, or else a digest of its files."""
    found = {
        "name": checkpoint.name,
        "revision": checkpoint.revision,
        "digest": None if checkpoint.revision else folder_digest(checkpoint.folder),
    }
    if (out / "base").is_dir() and (out / CONFIG).is_file():
        there = read_json(out / CONFIG)["base"]
        if folder_digest(out / "base") != found["digest"]:
            raise RecipeError(
                f"{out / 'base'} is not the base that was trained on; choose another folder"
            )
        return there | found
    return found


def _save_weights(step: Step, adapted: PeftModel | None, out: Path, base: dict[str, Any]) -> None:
    if adapted is None:
        tensors = {
            key: tensor.half().contiguous() for key, tensor in step.model.state_dict().items()
        }
        save_file(tensors, out / WEIGHTS[0], metadata={"format": "pt"})
        return
    for settings in adapted.peft_config.values():
        settings.base_model_name_or_path = base["name"]
        settings.revision = base["revision"]
    with quiet_transformers():
        adapted.save_pretrained(str(out), save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    tensors = {key: tensor.half() for key, tensor in load_file(out / ADAPTER).items()}
    save_file(tensors, out / ADAPTER, metadata={"format": "pt"})


def _fit_probes(
    step: Step, clip: Clip, recipe: FinetuneRecipe, out: Path, data: Path
) -> dict[str, float]:
    """Fit the probe on the training split and save it with its subspace.

    A probe that was trained along knows the training texts too well: how sure it is, is then set on
    the validation split.

    Returns:
        The accuracy on single texts of the validation split: of the probe, and of one that reads
        the whole state at the site, for comparison. And the share of pairs that the probe ranks
        right.
    """
    pairs = load_pairs(recipe.sources, data)
    step.eval()
    known = pair_states(step.model, step.site, clip.texts, pairs.training)
    new = pair_states(step.model, step.site, clip.texts, pairs.validation)
    accuracy = {}
    basis = step.basis()
    if basis is not None:
        purpose = fit_probe(*known, basis.detach(), step.site)
        if recipe.reader is not None:
            purpose = calibrate(purpose, *new)
        raw = None if step.learned is None else step.learned.state_dict()
        save_purpose(out / PURPOSE, purpose, raw)
        accuracy = {
            "probe accuracy": probe_accuracy(purpose, *new),
            "probe ranking": probe_ranking(purpose, *new),
        }
    whole = torch.eye(known[0].shape[1], device=known[0].device)
    purpose = fit_probe(*known, whole, step.site)
    accuracy["probe accuracy, whole state"] = probe_accuracy(purpose, *new)
    return accuracy


def _shares(measured: Choice | Evaluation) -> dict[str, float]:
    """Preference and, if it was measured, relevance."""
    shares = {"preference": measured.preference}
    return shares if measured.relevance is None else shares | {"relevance": measured.relevance}


def _data_digests(paths: Iterable[str], data: Path) -> dict[str, str]:
    """SHA-256 of each data file, and of Concadia's list of splits."""
    names = [name for path in paths for name in (path, f"{path}/wiki_split.json")]
    return {name: file_digest(data / name) for name in names if (data / name).is_file()}


def _write_config(out: Path, parts: dict[str, Any]) -> dict[str, Any]:
    """Write the configuration, with the digest of every other file but the card."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    config = {
        "format": FORMAT_VERSION,
        "made_by": f"descscore {version('descscore')}",
        **parts,
        "digests": {
            path.relative_to(out).as_posix(): file_digest(path)
            for path in files
            if path.name not in {CONFIG, "README.md"}
        },
    }
    write_json(out / CONFIG, config)
    # Let all read the tensors who may read the configuration: safetensors keeps them private.
    mode = stat.S_IMODE((out / CONFIG).stat().st_mode)
    for path in out.rglob("*.safetensors"):
        path.chmod(mode)
    return config
