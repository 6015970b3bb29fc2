"""Training a small CLIP from scratch."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from descscore import DescriptionScore
from descscore.errors import CheckpointError, RecipeError
from descscore.inputs.transform import ImageTransform
from descscore.towers.clip import embed_images, embed_texts
from descscore_training.config import build_recipe, find_recipe, load_recipe
from descscore_training.export import export_base
from descscore_training.objective import contrastive_loss
from descscore_training.pairs.rows import held_out_rows
from descscore_training.pairs.sampling import augment, rows_at
from descscore_training.pretrain.corpus import load_corpus
from descscore_training.pretrain.pretrain import pretrain, train_tokenizer
from descscore_training.pretrain.recipe import PretrainRecipe
from descscore_training.pretrain.run import offset_cosines

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of coloured squares by class, a table of photos with texts, a table of text pairs."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "colours.zip", "w") as archive:
        for name, colour in COLOURS.items():
            for i in range(12):
                noisy = np.clip(np.array(colour) + random.integers(-20, 20, (16, 16, 3)), 0, 255)
                with archive.open(f"train/{name}_square/{i}.png", "w") as file:
                    Image.fromarray(noisy.astype(np.uint8)).save(file, "PNG")
    (folder / "photos").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 30), colour).save(folder / "photos" / f"{name}.png")
    photos = [f"{name}.png,A {name} rectangle,My {name} flag" for name in COLOURS]
    (folder / "photos.csv").write_text("\n".join(["image,description,caption", *photos]))
    pairs = [f"{i}.jpg,a {i} thing with é,the {i} of 19{i}" for i in range(30)]
    (folder / "pairs.csv").write_text("\n".join(["filename,description,caption", *pairs]))
    return folder


def tiny_recipe(**schedule: object) -> PretrainRecipe:
    columns = ["description", "caption"]
    return build_recipe(
        PretrainRecipe,
        {
            "templates": ["An image of {label}", "a {label}"],
            "architecture": {
                "width": 16,
                "layers": 2,
                "heads": 2,
                "projection": 16,
                "image_size": 16,
                "vocabulary": 600,
            },
            "schedule": {"steps": 6, "warmup": 2, "save_every": 2, "shift": 2, **schedule},
            "sources": [
                {
                    "name": "colours",
                    "path": "colours.zip",
                    "under": "train",
                    "batch": 8,
                    "held_out": 5,
                },
                {
                    "name": "photos",
                    "path": "photos.csv",
                    "images": "photos",
                    "image_column": "image",
                    "text_columns": columns,
                    "batch": 2,
                },
                {
                    "name": "pairs",
                    "path": "pairs.csv",
                    "key_column": "filename",
                    "text_columns": columns,
                    "batch": 4,
                    "held_out": 6,
                },
            ],
        },
    )


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(data: Path, tmp_path: Path):
    whole = pretrain(tiny_recipe(), data, tmp_path / "whole", progress=False)
    # The vocabulary's learner settles ties at random: both runs start from the same one.
    shutil.copytree(tmp_path / "whole" / "tokenizer", tmp_path / "killed" / "tokenizer")

    class KilledError(Exception):
        pass

    steps = 0

    def kill(self: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 10:  # two optimisers a step: during the fifth step
            raise KilledError

    hook = register_optimizer_step_pre_hook(kill)
    try:
        with pytest.raises(KilledError):
            pretrain(tiny_recipe(), data, tmp_path / "killed", progress=False)
    finally:
        hook.remove()
    resumed = pretrain(tiny_recipe(), data, tmp_path / "killed", progress=False)
    expected = load_file(whole / "model.safetensors")
    found = load_file(resumed / "model.safetensors")
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        assert torch.equal(weight, found[name]), name
    logged = (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [2, 4, 6]


def test_training_teaches_the_classes(data: Path, tmp_path: Path):
    model = pretrain(tiny_recipe(steps=60, lr=5e-3), data, tmp_path, progress=False)
    metric = DescriptionScore(model, scale="cosine")
    photos = [data / "photos" / f"{name}.png" for name in COLOURS]
    prompts = [f"An image of {name} square" for name in COLOURS]
    found = metric(photos, prompts, pairwise=True).scores.argmax(1)
    assert found.tolist() == [0, 1, 2]
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["colours accuracy"] > 0.9


def test_another_recipe_is_refused_in_the_same_folder(data: Path, tmp_path: Path):
    pretrain(tiny_recipe(steps=2), data, tmp_path, progress=False)
    with pytest.raises(RecipeError, match=r"\(schedule\.steps was 2 and is now 4\); "):
        pretrain(tiny_recipe(steps=4), data, tmp_path, progress=False)


def test_an_exported_base_scores_and_a_changed_file_is_refused(data: Path, tmp_path: Path):
    run, out = tmp_path / "run", tmp_path / "small"
    model = pretrain(tiny_recipe(steps=2), data, run, progress=False)
    share = {"n": 200, "share": 0.5, "low": 0.43, "high": 0.57, "ties": 0}
    measured = {
        "cifar10 test": {"n": 10, "classes": 2, "macro_f1": 0.5, "accuracy": 0.5, "recall": 0.5},
        "concadia-val200": {"preference": share},
    }
    export_base("small", run, out, measured=measured, data=data)
    photo = data / "photos" / "red.png"
    expected = DescriptionScore(model)(photo, "a red square").scores
    assert DescriptionScore(out)(photo, "a red square").scores == pytest.approx(expected)
    assert (
        "| concadia-val200 | preference | 0.500 [0.430, 0.570] |" in (out / "README.md").read_text()
    )
    (out / "base" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"base/config\.json is not the file"):
        DescriptionScore(out)


def test_contrastive_loss_equals_the_closed_form():
    # Two rows, two columns, logits a on the diagonal and 0 elsewhere: log(1 + e^-a) either way.
    similarity = torch.eye(2) * 3.0
    loss = contrastive_loss(similarity, torch.eye(2, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-3)))


def test_contrastive_loss_shares_the_target_among_positives():
    # Equal logits: each positive has log 3 nats over three columns, log 2 over two rows.
    positive = torch.tensor([[True, True, False], [False, False, True]])
    loss = contrastive_loss(torch.zeros(2, 3), positive)
    assert loss.item() == pytest.approx((math.log(3) + math.log(2)) / 2)


def test_contrastive_loss_leaves_out_rows_without_a_positive():
    positive = torch.tensor([[True, False], [False, False]])
    alone = contrastive_loss(torch.tensor([[2.0, 0.0], [9.0, 9.0]]), positive)
    rows = math.log1p(math.exp(-2))
    columns = math.log1p(math.exp(7))
    assert alone.item() == pytest.approx((rows + columns) / 2)


def test_an_offset_raises_cosines_by_a_constant_dimension(tiny_clip: Path):
    from transformers import CLIPModel

    model: Any = CLIPModel.from_pretrained(tiny_clip, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        # As after training: not all ones and zeros.
        for norm in (model.vision_model.post_layernorm, model.text_model.final_layer_norm):
            norm.weight += 0.1 * torch.randn(norm.weight.shape, generator=generator)
            norm.bias += 0.1 * torch.randn(norm.bias.shape, generator=generator)
    images = torch.randn(5, 3, 32, 32, generator=generator)
    texts = torch.tensor([[7, 8, model.config.text_config.eos_token_id], [9, 7, 8]])
    texts[1, 2] = texts[0, 2]

    @torch.no_grad()
    def lengthened(output: torch.Tensor) -> torch.Tensor:
        constant = output.norm(dim=1).mean() * math.sqrt(0.2 / 0.8)
        return F.normalize(torch.cat([output, constant.expand(len(output), 1)], 1), dim=1)

    with torch.no_grad():
        seen = lengthened(model.get_image_features(pixel_values=images).pooler_output)
        read = lengthened(model.get_text_features(input_ids=texts).pooler_output)
    scale = model.logit_scale.item()
    offset_cosines(model, images, texts, 0.2)
    assert embed_images(model, images).detach() == pytest.approx(seen, abs=1e-5)
    assert embed_texts(model, texts).detach() == pytest.approx(read, abs=1e-5)
    assert model.logit_scale.item() == pytest.approx(scale - math.log(0.8))
    assert model.config.projection_dim == seen.shape[1]


def test_an_epoch_takes_every_row_once():
    rows = np.concatenate([rows_at(step, rows=10, batch=4, seed=3) for step in range(5)])
    assert sorted(rows[:10]) == list(range(10))
    assert sorted(rows[10:]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()


def test_augmentation_moves_and_mirrors_within_the_shift():
    image = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(1, 6, 6, 3)
    padded = np.pad(image[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    allowed = []
    for down in range(5):
        for right in range(5):
            crop = padded[down : down + 6, right : right + 6]
            allowed += [crop, crop[:, ::-1]]
    generator = torch.Generator().manual_seed(0)
    seen = {augment(image, 2, generator).numpy().tobytes() for _ in range(300)}
    assert seen <= {crop.tobytes() for crop in allowed}
    assert len(seen) > 40


def test_held_out_rows_do_not_depend_on_order_and_keep_equal_keys_together():
    keys = [f"{i}.jpg" for i in range(50)]
    held = {keys[row] for row in held_out_rows(keys, 7)}
    assert len(held) == 7
    backwards = keys[::-1]
    assert {backwards[row] for row in held_out_rows(backwards, 7)} == held
    double = held_out_rows([*keys, *keys], 7)
    assert {row + 50 for row in double if row < 50} == {row for row in double if row >= 50}


@pytest.mark.parametrize("text", ["日本語 ♥", "Žižek's café — “quote”", "🦖🦕", "\x00\x7f", "½ é"])
def test_no_text_has_an_unknown_part(text: str):
    tokenizer = train_tokenizer(["a cat", "the dog's bowl"], vocabulary=600, window=77)
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert ids.index(tokenizer.eos_token_id) == len(ids) - 1


def test_the_end_token_has_the_largest_id():
    tokenizer = train_tokenizer(["a cat sat", "a cat ran"], vocabulary=600, window=77)
    assert tokenizer.eos_token_id == max(tokenizer.get_vocab().values())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.stepz=5", "unknown key 'schedule.stepz'; did you mean 'steps'"),
        ("schedule.steps=many", "schedule.steps is 'many'; it should be a valid integer"),
        ("schedule.steps=0", "should be greater than or equal to 1"),
        ("schedule.patch_keep=0.0", "should be greater than 0"),
        ("seed", "does not have the form key=value"),
        ("seed.deep=3", "seed is 0, not a table"),
        ('templates=["no label"]', "lacks {label}"),
    ],
)
def test_a_bad_override_names_the_key_and_the_remedy(override: str, message: str):
    with pytest.raises(RecipeError, match=message):
        load_recipe(PretrainRecipe, find_recipe("mini-base", "pretrain"), [override])


def test_an_override_replaces_a_value():
    recipe = load_recipe(
        PretrainRecipe, find_recipe("mini-base", "pretrain"), ["schedule.steps=7", "seed=3"]
    )
    assert (recipe.schedule.steps, recipe.seed) == (7, 3)


def test_an_unknown_recipe_lists_the_shipped_ones_of_its_command():
    with pytest.raises(
        RecipeError, match=r"no recipe 'maxi' to pretrain: .* shipped \(mini-base\)"
    ):
        find_recipe("maxi", "pretrain")
    with pytest.raises(RecipeError) as caught:
        find_recipe("maxi")
    listed = str(caught.value).rpartition("(")[2].removesuffix(")").split(", ")
    assert listed == sorted(listed)
    assert "mini" in listed
    assert "mini-base" not in listed


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"path": "nothing.csv"}, "there is no"),
        ({"path": "pairs.csv", "image_column": "photo"}, "no column 'photo'; it has 'filename'"),
        ({"path": "pairs.csv"}, "needs a key_column and two text_columns"),
        (
            {"path": "colours.zip", "under": "train", "held_out": 36},
            "held_out is 36, but there are only 36 rows",
        ),
        ({"path": "a.csv", "image_column": "image", "held_out": 1}, "omit held_out"),
    ],
)
def test_a_bad_source_names_itself_and_the_remedy(
    data: Path, tmp_path: Path, source: dict[str, object], message: str
):
    def train() -> None:
        values = {"sources": [{"name": "odd", "batch": 2, **source}]}
        pretrain(build_recipe(PretrainRecipe, values), data, tmp_path, progress=False)

    with pytest.raises(RecipeError, match=message):
        train()


def test_a_torn_record_of_the_log_is_dropped(data: Path, tmp_path: Path):
    pretrain(tiny_recipe(), data, tmp_path, progress=False)
    log = tmp_path / "metrics.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"step": 8, "ima')
    pretrain(tiny_recipe(), data, tmp_path, progress=False)
    assert log.read_text() == whole


def test_images_without_a_text_are_left_out(data: Path, tmp_path: Path):
    photos = (
        (data / "photos.csv").read_text().replace("My red flag", "").replace("A red rectangle", "")
    )
    (data / "some.csv").write_text(photos)
    columns = {"image_column": "image", "text_columns": ["description", "caption"]}
    source = {"name": "some", "path": "some.csv", "images": "photos", "batch": 2, **columns}
    recipe = build_recipe(PretrainRecipe, {"sources": [source]})
    transform = ImageTransform(resize=8, crop=(8, 8))
    [some] = load_corpus(recipe, data, transform).photos
    assert some.images.shape == (2, 8, 8, 3)
    assert some.texts[0] == ["A green rectangle", "My green flag"]


def test_a_broken_image_is_named(data: Path, tmp_path: Path):
    (data / "photos" / "broken.png").write_bytes(b"no image")
    (data / "broken.csv").write_text("image,label\nbroken.png,red\n")
    columns = {"image_column": "image", "label_column": "label", "images": "photos"}
    source = {"name": "broken", "path": "broken.csv", "batch": 1, **columns}
    recipe = build_recipe(PretrainRecipe, {"sources": [source]})
    with pytest.raises(RecipeError, match=r"broken\.png'\) is not in an image format"):
        pretrain(recipe, data, tmp_path, progress=False)
