"""Weights, configuration, tokeniser and image processor must fit each other."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from descscore.checkpoints.attach import Clip, load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError

KEY = "text_model.encoder.layers.1.mlp.fc1.weight"


@pytest.fixture
def folder(tiny_clip: Path, tmp_path: Path) -> Path:
    """A copy of the tiny CLIP, to be damaged."""
    return Path(shutil.copytree(tiny_clip, tmp_path / "clip"))


def load(folder: Path) -> Clip:
    return load_clip(resolve_checkpoint(folder), dtype=torch.float32, device=torch.device("cpu"))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the weights; a copy, since the file is mapped into memory."""
    path = folder / "model.safetensors"
    weights = {name: value.clone() for name, value in load_file(path).items()}
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def set_in(folder: Path, file: str, *keys: str, value: object) -> None:
    content = inner = json.loads((folder / file).read_text())
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / file).write_text(json.dumps(content))


def test_a_loaded_model_is_the_saved_one_ready_for_inference(folder: Path) -> None:
    model = load(folder).model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    saved = load_file(folder / "model.safetensors")
    torch.testing.assert_close(model.state_dict()[KEY], saved[KEY], rtol=0, atol=0)


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_damaged_weights_are_refused(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"model.safetensors (has [\d,]+ bytes|cannot be)"):
        load(folder)


def test_missing_weights_are_counted_and_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.pop(KEY))
    with pytest.raises(CheckpointError, match=rf"do not fit .*: 1 missing, the first is {KEY}"):
        load(folder)


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.update({KEY: weights[KEY][:10].clone()}))
    with pytest.raises(
        CheckpointError, match=rf"do not fit .*: 1 of another shape, the first is {KEY}"
    ):
        load(folder)


def test_weights_of_another_width_than_the_configuration_are_refused(folder: Path) -> None:
    set_in(folder, "config.json", "text_config", "intermediate_size", value=48)
    with pytest.raises(CheckpointError, match=r"do not fit its config.json: \d+ of another shape"):
        load(folder)


def test_a_missing_part_of_split_weights_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    index = {
        "metadata": {},
        "weight_map": dict.fromkeys(weights, "model-00001-of-00002.safetensors"),
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"names 'model-00001-of-00002.*is missing"):
        load(folder)


def test_split_weights_are_loaded(folder: Path) -> None:
    whole = load(folder).model
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    torch.testing.assert_close(load(folder).model.state_dict(), whole.state_dict())


def test_an_end_token_other_than_the_tokenisers_is_refused(folder: Path) -> None:
    set_in(folder, "config.json", "text_config", "eos_token_id", value=17)
    with pytest.raises(
        CheckpointError, match=r"pools texts at token 17, but .* ends them with \d+"
    ):
        load(folder)


def test_the_legacy_end_token_is_accepted(folder: Path) -> None:
    set_in(folder, "config.json", "text_config", "eos_token_id", value=2)
    assert load(folder).texts.end != 2


def test_an_image_size_other_than_the_processors_is_refused(folder: Path) -> None:
    set_in(folder, "preprocessor_config.json", "crop_size", value={"height": 24, "width": 24})
    with pytest.raises(
        CheckpointError, match=r"images of 32 x 32 pixels.* crops them to \(24, 24\)"
    ):
        load(folder)


def test_a_vocabulary_larger_than_the_models_is_refused(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["zebra"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"vocabulary of \d+ tokens, .* ids up to 5000"):
        load(folder)


def with_tokenizer(folder: Path, change: Callable[[dict[str, Any]], object], kind: str) -> None:
    """Change tokenizer.json, and have transformers load it as some class."""
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    set_in(folder, "tokenizer_config.json", "tokenizer_class", value=kind)


def without(token: str) -> Callable[[dict[str, Any]], object]:
    """Replaces the post-processor by one that adds the other token alone, or none."""

    def change(content: dict[str, Any]) -> None:
        ids = {"start": "<|startoftext|>", "end": "<|endoftext|>"}
        kept = {name: text for name, text in ids.items() if name != token}
        single = [{"SpecialToken": {"id": text, "type_id": 0}} for text in kept.values()]
        single.insert("start" in kept, {"Sequence": {"id": "A", "type_id": 0}})
        vocabulary = content["model"]["vocab"]
        content["post_processor"] = {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {
                text: {"id": text, "ids": [vocabulary[text]], "tokens": [text]}
                for text in kept.values()
            },
        }

    return change


@pytest.mark.parametrize("token", ["start", "end"])
def test_a_tokenizer_that_leaves_out_a_control_token_is_refused(folder: Path, token: str) -> None:
    with_tokenizer(folder, without(token), "PreTrainedTokenizerFast")
    with pytest.raises(CheckpointError, match=rf"puts no {token} token \('<\|.*tokenizer\.json"):
        load(folder)


def test_a_tokenizer_without_a_post_processor_is_refused(folder: Path) -> None:
    with_tokenizer(
        folder, lambda content: content.update(post_processor=None), "PreTrainedTokenizerFast"
    )
    with pytest.raises(CheckpointError, match=r"puts no start token .*tokenizer\.json"):
        load(folder)


def test_a_tokenizer_file_that_disagrees_with_its_class_is_told(folder: Path) -> None:
    with_tokenizer(folder, without("end"), "CLIPTokenizer")
    with pytest.warns(
        UserWarning, match=r"its tokenizer\.json and the class CLIPTokenizer .* different"
    ):
        clip = load(folder)
    assert clip.texts(["a dog"])[0].ids[-1] == clip.texts.end


def test_a_tokenizer_that_knows_no_characters_is_refused(folder: Path) -> None:
    def forget(content: dict[str, Any]) -> None:
        kept = ("<|startoftext|>", "<|endoftext|>")
        vocabulary = content["model"]["vocab"]
        content["model"]["vocab"] = {token: vocabulary[token] for token in kept}
        content["model"]["merges"] = []

    with_tokenizer(folder, forget, "PreTrainedTokenizerFast")
    with pytest.raises(CheckpointError, match=r"reads .A photo of two cats.* without a token for"):
        load(folder)


def test_loading_prints_nothing_and_leaves_transformers_settings_alone(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    load(folder)
    rewrite(folder, lambda weights: weights.pop(KEY))
    capfd.readouterr()
    with pytest.raises(CheckpointError):
        load(folder)
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.get_verbosity() == level
    assert transformers_logging.is_progress_bar_enabled() == bars
    assert logging.root.level == logging.WARNING
