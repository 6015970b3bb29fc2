"""Exported checkpoints score as the trained model did, and say how they were made."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import stat
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from descscore import DescriptionScore
from descscore.checkpoints.files import file_digest, folder_digest
from descscore.errors import CheckpointError, RecipeError
from descscore.purpose.das_file import load_purpose
from descscore.purpose.subspace import LearnedBasis
from descscore.towers.clip import embed_images, embed_texts
from descscore_training.card import adapter_card
from descscore_training.choice import Choice
from descscore_training.config import build_recipe, plain
from descscore_training.export import export_checkpoint
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.finetuning import build_step, load_base, restore
from descscore_training.step import Step
from descscore_training.trainer import train
from tests.checkpoints_made import saved_parametrization
from tests.training_made import made_data, made_recipe

CPU = torch.device("cpu")
KINDS: dict[str, dict[str, Any]] = {
    "lora": {
        "about": "Made in a test: {braces} and all.",
        "optimiser": {"lr": 2e-2},
        "tuning": {"targets": "all-linear", "dropout": 0.1},
        "sources": [
            {
                "name": "pairs: a, 'b'",
                "path": "pairs.csv",
                "images": "images",
                "batch": 4,
                "about": "Squares.",
            }
        ],
        "measure": [{"name": "colours", "path": "classes"}],
        "relevance_drop": 0.3,
    },
    "full": {"objective": {"kind": "iit"}, "tuning": {"kind": "full"}, "optimiser": {"lr": 2e-3}},
    "behavioral": {
        "objective": {"kind": "behavioral"},
        "optimiser": {"lr": 2e-2},
        "transfer": [],
    },
    "beside": {
        "optimiser": {"lr": 2e-2},
        "objective": {"relevance_weight": 0.1},
        "tuning": {"towers": "text-and-projections", "token_dropout": 0.25},
        "sources": [
            {"name": "pairs", "path": "pairs.csv", "images": "images", "batch": 4},
            {"name": "texts", "path": "texts.csv", "batch": 2, "image_free": "random"},
        ],
        "stand_ins": [{"path": "classes"}, {"path": ".", "under": "images", "take": 10}],
        "anchors": [{"path": "texts.csv", "column": "caption", "batch": 3}],
    },
}

Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def made(tiny_clip: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Trains and exports each kind once; gives the run's folder, with `checkpoint/` in it."""
    folder = tmp_path_factory.mktemp("runs")

    def make(kind: str) -> Path:
        run = folder / kind
        if not run.exists():
            recipe = made_recipe(tiny_clip, **KINDS[kind])
            train(recipe, data, run, device="cpu", progress=False)
            export_checkpoint(run, run / "checkpoint", name="made", data=data, device="cpu")
        return run

    return make


def trained(run: Path) -> tuple[Step, Any]:
    """The chosen step as it was in training."""
    recipe = build_recipe(FinetuneRecipe, json.loads((run / "recipe.json").read_text()))
    clip = load_base(recipe, CPU)
    step, _ = build_step(clip, recipe)
    restore(step, load_file(run / "best.safetensors"))
    return step.eval(), clip


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "descscore_config.json").read_text())


def rows(data: Path, split: str) -> list[dict[str, str]]:
    with (data / "pairs.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


def own_scores(run: Path, data: Path) -> np.ndarray:
    """The trained model's cosines of validation images and descriptions."""
    step, clip = trained(run)
    found = []
    for row in rows(data, "val"):
        from PIL import Image

        with Image.open(data / "images" / row["image"]) as image:
            pixels = clip.images.crop_pixels(image.convert("RGB"))
        pixels = clip.images.normalise(torch.from_numpy(pixels.copy())[None])
        ids = torch.tensor([clip.texts([row["description"]])[0].ids])
        with torch.no_grad():
            image, text = embed_images(step.model, pixels), embed_texts(step.model, ids)
        found.append((image * text).sum().item())
    return np.array(found)


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_exported_checkpoint_scores_as_the_trained_model(
    made: Made, data: Path, tiny_clip: Path, kind: str
):
    images = [data / "images" / row["image"] for row in rows(data, "val")]
    texts = [row["description"] for row in rows(data, "val")]
    folder = made(kind) / "checkpoint"
    options: dict[str, Any] = {"scale": "cosine", "dtype": "float32", "device": "cpu"}
    found = DescriptionScore(folder, **options)(images, texts).scores
    expected = own_scores(made(kind), data)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    base = DescriptionScore(tiny_clip, **options)(images, texts).scores
    assert np.abs(found - base).max() > 0.05


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_folder_holds_what_its_kind_needs_and_no_more(made: Made, kind: str):
    run = made(kind)
    expected = {"README.md", "descscore_config.json"}
    expected |= (
        {"model.safetensors"}
        if kind == "full"
        else {"adapter_config.json", "adapter_model.safetensors"}
    )
    if kind != "behavioral":
        expected.add("das.safetensors")
    assert {path.name for path in (run / "checkpoint").iterdir()} == expected
    stored = "model" if kind == "full" else "adapter_model"
    tensors = load_file(run / "checkpoint" / f"{stored}.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_a_fully_tuned_checkpoint_has_the_bases_keys(made: Made, tiny_clip: Path):
    tuned = load_file(made("full") / "checkpoint" / "model.safetensors")
    base = load_file(tiny_clip / "model.safetensors")
    assert {name: t.shape for name, t in tuned.items()} == {n: t.shape for n, t in base.items()}


@pytest.mark.parametrize("kind", ["lora", "behavioral"])
def test_peft_loads_the_folder_itself(made: Made, tiny_clip: Path, kind: str):
    from peft import PeftModel
    from transformers import CLIPModel

    run = made(kind)
    step, clip = trained(run)
    with warnings.catch_warnings():
        # PEFT asks for an attribute by the name that transformers is about to drop.
        warnings.simplefilter("ignore", FutureWarning)
        base: Any = CLIPModel.from_pretrained(tiny_clip, dtype=torch.float32)
        loaded: Any = PeftModel.from_pretrained(base, run / "checkpoint").eval()
    settings = loaded.peft_config["default"]
    assert settings.base_model_name_or_path == str(tiny_clip)
    ids = torch.tensor([clip.texts(["A red square"])[0].ids])
    with torch.no_grad():
        found = embed_texts(loaded.base_model.model, ids)
        expected = embed_texts(step.model, ids)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_the_subspace_is_the_trained_one(made: Made, kind: str):
    run = made(kind)
    purpose = load_purpose(run / "checkpoint" / "das.safetensors")
    step, _ = trained(run)
    basis = step.basis()
    assert basis is not None
    assert torch.equal(purpose.basis, basis.detach())
    assert purpose.site.layer == 1
    raw = saved_parametrization(run / "checkpoint" / "das.safetensors")
    if kind == "full":  # plain IIT learns no basis
        assert raw == {}
        assert torch.equal(purpose.basis, torch.eye(32)[:, :8])
        return
    learned = LearnedBasis(32, 8, seed=9)
    learned.load_state_dict(raw)
    torch.testing.assert_close(learned(), purpose.basis)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_the_probe_is_a_logistic_regression_on_the_training_split(
    made: Made, data: Path, kind: str
):
    run = made(kind)
    step, clip = trained(run)

    def coordinates(texts: list[str]) -> np.ndarray:
        found = []
        for text in texts:
            ids = torch.tensor([clip.texts([text])[0].ids])
            with torch.no_grad():
                states = step.model.text_model(ids, output_hidden_states=True).hidden_states[1]
                found.append(states[0, -1].float() @ step.basis())
        return torch.stack(found).numpy()

    columns = ("caption", "description")
    known = {name: coordinates([row[name] for row in rows(data, "train")]) for name in columns}
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    fitted.fit(np.concatenate([known[name] for name in columns]), np.repeat([0, 1], 16))
    purpose = load_purpose(run / "checkpoint" / "das.safetensors")
    for name in columns:
        mean = getattr(purpose, f"{name}_mean").numpy()
        np.testing.assert_allclose(mean, known[name].mean(0), atol=1e-4)
    new = {name: [row[name] for row in rows(data, "val")] for name in columns}
    metric = DescriptionScore(run / "checkpoint", dtype="float32", device="cpu")
    images = [data / "images" / row["image"] for row in rows(data, "val")]
    right = []
    for label, name in enumerate(columns):
        expected = fitted.predict_proba(coordinates(new[name]))[:, 1]
        found = metric(images, new[name]).purpose
        assert found is not None
        np.testing.assert_allclose(found, expected, atol=0.02)
        right += list((expected > 0.5) == label)
    measured = config(run / "checkpoint")["measured"]["validation"]
    assert measured["probe accuracy"] == pytest.approx(np.mean(right))


def test_the_configuration_is_complete(made: Made, data: Path, tiny_clip: Path):
    run = made("lora")
    folder = run / "checkpoint"
    found = config(folder)
    assert found["format"] == 1
    assert found["made_by"].startswith("descscore ")
    digest = folder_digest(tiny_clip)
    assert found["base"] == {"name": str(tiny_clip), "revision": None, "digest": digest}
    assert found["recipe"] == json.loads((run / "recipe.json").read_text())
    assert found["seed"] == 0
    assert found["data"] == {"pairs.csv": file_digest(data / "pairs.csv")}
    assert set(config(made("beside") / "checkpoint")["data"]) == {"pairs.csv", "texts.csv"}
    files = {"adapter_config.json", "adapter_model.safetensors", "das.safetensors"}
    assert found["digests"] == {name: file_digest(folder / name) for name in files}
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validation = found["measured"]["validation"]
    [record] = [r for r in log if r["kind"] == "validation" and r["step"] == validation["step"]]
    assert validation["preference"] == record["preference"]
    assert validation["relevance"] == record["relevance"]
    before = {name: log[0][name] for name in ("preference", "relevance")}
    assert found["measured_base"]["validation"] == before


def test_what_the_recipe_measures_is_measured_before_and_after(
    made: Made, data: Path, tiny_clip: Path
):
    from sklearn.metrics import f1_score

    folder = made("lora") / "checkpoint"
    labels = sorted(path.name for path in (data / "classes").iterdir())
    images = [data / "classes" / label / f"{i}.png" for label in labels for i in range(4)]
    found = config(folder)
    for checkpoint, results in ((folder, "measured"), (tiny_clip, "measured_base")):
        metric = DescriptionScore(checkpoint, scale="cosine", dtype="float32", device="cpu")
        prompts = [f"An image of {label}" for label in labels]
        guesses = metric(images, prompts, pairwise=True).scores.argmax(1)
        expected = f1_score(np.repeat(range(4), 4), guesses, average="macro")
        assert found[results]["colours"]["macro_f1"] == pytest.approx(expected)
    assert found["measured"]["colours"] != found["measured_base"]["colours"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_card_has_front_matter_and_says_what_was_done(made: Made, kind: str):
    folder = made(kind) / "checkpoint"
    card = ModelCard.load(folder / "README.md")
    header = card.data.to_dict()
    recipe = config(folder)["recipe"]
    assert header["library_name"] == "descscore"
    assert header["datasets"] == [source["name"] for source in recipe["sources"]]
    assert "clipscore" in header["tags"]
    assert f'metric = DescriptionScore("{folder.as_posix()}")\n' in card.text
    before, after = (config(folder)[of]["validation"] for of in ("measured_base", "measured"))
    failed = after["preference"] <= before["preference"]
    assert ("prefers descriptions no more than the base does" in card.text) == failed
    assert "base_model" not in header  # a folder is nothing that others could look up
    for said in {
        "lora": (
            "Made in a test: {braces} and all.",
            "A LoRA adapter",
            "Objective **iit-das**, LoRA.",
            "objective.dimension = 8\n",
            'tuning.targets = "all-linear"\n',
            "optimiser.lr = 0.02\n",
            "best trade-off, 0.9 x preference + 0.1 x transfer score, of the steps that lost at "
            "most 0.3 of the base's relevance",
            "- **pairs: a, 'b'**: Squares. (4 rows per step)",
            "| on | measure | base | tuned |",
            "| colours | macro-f1 | 0.",
        ),
        "full": ("A full fine-tuning", "**iit**, full fine-tuning"),
        "behavioral": ("Objective **behavioral**,", "has\nthe highest preference. Pairs of"),
        "beside": (
            'tuning.towers = "text-and-projections"\n',
            '[[stand_ins]]\npath = "classes"',
            '[[anchors]]\npath = "texts.csv"\ncolumn = "caption"',
        ),
    }[kind]:
        assert said in card.content
    (shown,) = re.findall(r"```toml\n(.*?)```", card.content, re.DOTALL)
    text = "".join(f"{line}\n" for line in shown.splitlines())
    assert plain(build_recipe(FinetuneRecipe, tomllib.loads(text))) == recipe | {"about": ""}


def test_the_card_of_a_base_on_the_hub_links_to_it(made: Made):
    found = config(made("lora") / "checkpoint")
    found["base"] = {"name": "openai/clip-vit-base-patch32", "revision": "a" * 40, "digest": None}
    choice = Choice(
        step=3,
        by="trade-off",
        trade_off=0.9,
        preference=0.9,
        relevance=0.9,
        transfer=0.9,
        below_floor=True,
    )
    for kind, relation in (("lora", "adapter"), ("full", "finetune")):
        found["recipe"]["tuning"]["kind"] = kind
        card = ModelCard(adapter_card("made", made("lora"), found, choice))
        header = card.data.to_dict()
        assert header["base_model"] == "openai/clip-vit-base-patch32"
        assert header["base_model_relation"] == relation
        assert "highest relevance; every step lost more than 0.3 of the base's" in card.content


def test_exporting_again_writes_the_same_files(made: Made, data: Path, tmp_path: Path):
    run = made("lora")
    first = config(run / "checkpoint")
    export_checkpoint(run, tmp_path, name="made", data=data, device="cpu")
    assert config(tmp_path) == first
    # And in the folder of another kind nothing of it stays.
    export_checkpoint(made("full"), tmp_path, name="made", data=data, device="cpu")
    assert config(tmp_path) == config(made("full") / "checkpoint")
    assert not (tmp_path / "adapter_model.safetensors").exists()
    export_checkpoint(made("behavioral"), tmp_path, name="made", data=data, device="cpu")
    assert config(tmp_path) == config(made("behavioral") / "checkpoint")
    assert not (tmp_path / "das.safetensors").exists()


def test_a_base_in_the_folder_stays_with_what_is_known_of_it(
    made: Made, data: Path, tiny_clip: Path, tmp_path: Path
):
    run = made("lora")
    shutil.copytree(tiny_clip, tmp_path / "base")
    record = {"name": "mini/base", "revision": None, "digest": folder_digest(tiny_clip)}
    recipe = {"about": "Tiny.", "schedule": {"steps": 3}, "sources": []}
    about = {"recipe": recipe, "seed": 5, "measured": {"cifar10 test": {"accuracy": 0.5}}}
    (tmp_path / "descscore_config.json").write_text(
        json.dumps({"format": 1, "base": record | about, "digests": {}})
    )
    for _ in range(2):
        export_checkpoint(run, tmp_path, name="made", data=data, device="cpu")
        found = config(tmp_path)
        assert found["base"] == record | about | {"name": str(tiny_clip)}
        assert "base/model.safetensors" in found["digests"]
        assert folder_digest(tmp_path / "base") == record["digest"]
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Tiny." in card.partition("## The base")[2]
    row = rows(data, "val")[0]
    scored = [
        DescriptionScore(folder, device="cpu")(data / "images" / row["image"], row["caption"]).mean
        for folder in (tmp_path, run / "checkpoint")
    ]
    assert scored[0] == scored[1]


def test_an_export_that_broke_off_keeps_what_is_known_of_the_base(
    made: Made, data: Path, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(tiny_clip, tmp_path / "base")
    record = {"name": "b", "revision": None, "digest": folder_digest(tiny_clip), "seed": 7}
    (tmp_path / "descscore_config.json").write_text(json.dumps({"format": 1, "base": record}))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("descscore_training.export._save_weights", fail)
        with pytest.raises(KeyboardInterrupt):
            export_checkpoint(made("lora"), tmp_path, name="made", data=data, device="cpu")
    export_checkpoint(made("lora"), tmp_path, name="made", data=data, device="cpu")
    assert config(tmp_path)["base"]["seed"] == 7


def test_another_base_in_the_folder_is_refused(made: Made, data: Path, tmp_path: Path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "descscore_config.json").write_text('{"format": 1, "base": {"name": "b"}}')
    with pytest.raises(RecipeError, match="is not the base that was trained on"):
        export_checkpoint(made("lora"), tmp_path, name="made", data=data, device="cpu")


def test_a_run_without_a_trained_step_is_refused(
    made: Made, data: Path, tiny_clip: Path, tmp_path: Path
):
    with pytest.raises(RecipeError, match=r"has no trained step .*; train first"):
        export_checkpoint(tmp_path, tmp_path / "out", name="made", data=data)
    run = tmp_path / "run"
    shutil.copytree(made("behavioral"), run)
    tensors = load_file(run / "best.safetensors")
    save_file(tensors, run / "best.safetensors", metadata={"step": "999"})
    with pytest.raises(RecipeError, match=r"keeps step 999, but .*; train in a new folder"):
        export_checkpoint(run, tmp_path / "out", name="made", data=data)
    (run / "best.safetensors").write_bytes(b"damaged")
    with pytest.raises(RecipeError, match="that can be read; train first, or in a new folder"):
        export_checkpoint(run, tmp_path / "out", name="made", data=data)
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_changes_nothing_is_no_checkpoint(
    tiny_clip: Path, data: Path, tmp_path: Path
):
    recipe = made_recipe(tiny_clip, optimiser={"lr": 0.0}, transfer=[])
    train(recipe, data, tmp_path / "run", device="cpu", progress=False)
    with pytest.raises(CheckpointError, match="changes nothing"):
        export_checkpoint(tmp_path / "run", tmp_path / "out", name="made", data=data, device="cpu")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_have_the_permissions_that_files_get_here(
    made: Made, data: Path, tmp_path: Path, mask: int, mode: int
):
    before = os.umask(mask)
    try:
        export_checkpoint(made("lora"), tmp_path / "out", name="made", data=data, device="cpu")
    finally:
        os.umask(before)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert set(found.values()) == {mode}, found
