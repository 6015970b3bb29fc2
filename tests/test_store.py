"""Which folder a checkpoint's name leads to, and which folders are none."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from descscore import DescriptionScore
from descscore.checkpoints import store
from descscore.checkpoints.files import folder_digest
from descscore.checkpoints.store import CONFIG, resolve_checkpoint
from descscore.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    OptionError,
    UnsafeCheckpointError,
)
from tests.checkpoints_made import lora_checkpoint


@pytest.fixture
def folder(tiny_clip: Path, tmp_path: Path) -> Path:
    """A copy of the tiny CLIP, to be damaged."""
    return Path(shutil.copytree(tiny_clip, tmp_path / "clip"))


def change(file: Path, **values: object) -> None:
    """Change values of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | values
    file.write_text(
        json.dumps({name: value for name, value in content.items() if value is not None})
    )


def refused(folder: Path, *parts: str, error: type[CheckpointError] = CheckpointError) -> None:
    """Making the metric fails with this very class and a message that has all parts."""
    with pytest.raises(CheckpointError) as caught:
        DescriptionScore(folder)
    assert caught.type is error
    for part in parts:
        assert part in str(caught.value)


# Names


def test_a_folder_is_a_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (folder, str(folder), f"{folder}/"):
        checkpoint = resolve_checkpoint(name)
        assert checkpoint.base_folder == folder
        assert checkpoint.identity.startswith("clip@sha256-")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve_checkpoint("~/clip").folder == folder
    monkeypatch.chdir(folder.parent)
    assert resolve_checkpoint("clip").folder.resolve() == folder


@pytest.mark.parametrize(
    "name", ["runs/iit-das/best", "/no/such/folder", "", "a b", "https://example.org/x", "../clip"]
)
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    with pytest.raises(CheckpointNotFoundError) as caught:
        resolve_checkpoint(name)
    for part in (repr(name), "neither a folder, nor a Hub id", "(mini, mini/base)"):
        assert part in str(caught.value)


def test_a_file_is_no_checkpoint(folder: Path) -> None:
    refused(folder / "model.safetensors", "no checkpoint", error=CheckpointNotFoundError)


def test_a_revision_is_for_the_hub(folder: Path) -> None:
    with pytest.raises(OptionError, match="not on the Hub; omit it"):
        resolve_checkpoint(folder, revision="main")


def test_the_shipped_name_goes_before_a_folder_of_that_name(
    folder: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store.SHIPPED, "mini", tiny_clip)
    monkeypatch.chdir(folder.parent)
    folder.rename("mini")
    assert resolve_checkpoint("mini").folder == tiny_clip
    assert resolve_checkpoint("./mini").folder.resolve() == folder.with_name("mini")


# What a folder must hold


def test_a_folder_with_something_else_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    refused(tmp_path, str(tmp_path), "is not a CLIP", "it contains nothing")
    (tmp_path / "notes.txt").touch()
    refused(tmp_path, "no config.json (nor descscore_config.json)", "it contains notes.txt")


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    change(folder / "config.json", model_type="blip")
    refused(folder, str(folder), "type 'blip'", "CLIP")
    change(folder / "config.json", model_type=None)
    refused(folder, "type None")


def test_weights_of_another_kind_of_model_are_refused(folder: Path) -> None:
    change(folder / "config.json", model_type="siglip")
    refused(folder, "do not fit its config.json")


def test_a_config_that_is_no_json_object_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    refused(folder, "config.json cannot be read")
    (folder / "config.json").write_text("[]")
    refused(folder, "config.json is not a JSON object")


def test_a_config_with_values_of_the_wrong_kind_is_refused(folder: Path) -> None:
    change(folder / "preprocessor_config.json", size="large")
    refused(folder, "preprocessor_config.json", str(folder))
    change(folder / "config.json", text_config="large")
    refused(folder, str(folder), "config.json cannot be read by transformers")


class Malicious:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def test_pickled_weights_are_refused_and_never_loaded(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (folder / "model.safetensors").unlink()
    torch.save(Malicious(trace), folder / "pytorch_model.bin")
    refused(folder, str(folder), "only pickled weights", "convert", error=UnsafeCheckpointError)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Malicious(trace)))
    refused(folder, str(folder), "safetensors file")
    assert not trace.exists()


def test_code_beside_the_weights_is_never_run(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"open({str(trace)!r}, 'w')\nfrom transformers import CLIPTokenizer as Custom\n"
    (folder / "custom.py").write_text(code)
    for file, classes in [
        ("tokenizer_config.json", {"AutoTokenizer": [None, "custom.Custom"]}),
        ("config.json", {"AutoModel": "custom.Custom", "AutoConfig": "custom.Custom"}),
        ("preprocessor_config.json", {"AutoImageProcessor": "custom.Custom"}),
    ]:
        change(folder / file, auto_map=classes)
    change(folder / "tokenizer_config.json", tokenizer_class="Custom")
    DescriptionScore(folder)
    assert not trace.exists()


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(folder, "has no weights", "model.safetensors is missing")


def test_a_missing_image_processor_is_named(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    refused(folder, "no image processor", "preprocessor_config.json is missing")


@pytest.mark.parametrize("eos", ["real", "legacy"])
def test_a_missing_tokeniser_is_named(folder: Path, eos: str) -> None:
    if eos == "legacy":
        # The value that an empty vocabulary would fit.
        text = json.loads((folder / "config.json").read_text())["text_config"]
        change(folder / "config.json", text_config=text | {"eos_token_id": 2})
    (folder / "tokenizer.json").unlink()
    refused(folder, "no tokenizer", "tokenizer.json is missing")


def test_a_damaged_tokeniser_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    refused(folder, "tokenizer", str(folder))


# A checkpoint with a record of its own


def record(folder: Path, **values: object) -> Path:
    """A checkpoint that names a base; by default its own folder `base`."""
    base = {"name": "mini-base"}
    (folder / CONFIG).write_text(json.dumps({"format": 1, "base": base} | values))
    return folder


def test_a_base_in_the_folder_is_used(tiny_clip: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_clip, tmp_path / "base")
    checkpoint = resolve_checkpoint(record(tmp_path))
    assert checkpoint.base_folder == tmp_path / "base"
    assert checkpoint.config == {"format": 1, "base": {"name": "mini-base"}}
    signature = DescriptionScore(tmp_path).signature
    assert f"checkpoint:{tmp_path.name}@sha256-" in signature
    assert "|base:mini-base@sha256-" in signature


@pytest.mark.parametrize(
    ("objective", "expected"), [("joint", "-joint-lora-seed3"), ("a|scale:b", ""), (None, "")]
)
def test_a_trained_checkpoint_is_named_after_its_recipe(
    tiny_clip: Path, tmp_path: Path, objective: str | None, expected: str
) -> None:
    folder = lora_checkpoint(tmp_path / "best", tiny_clip)
    config = json.loads((folder / CONFIG).read_text())
    config["recipe"] = {"objective": {"kind": objective}, "tuning": {"kind": "lora"}, "seed": 3}
    if objective is None:
        config["recipe"] = {"seed": 3}
    (folder / CONFIG).write_text(json.dumps(config))
    assert resolve_checkpoint(folder).identity.startswith(f"best{expected}@sha256-")


def test_a_base_elsewhere_is_used(tiny_clip: Path, tmp_path: Path) -> None:
    base = {"name": str(tiny_clip), "digest": folder_digest(tiny_clip)}
    checkpoint = resolve_checkpoint(with_adapter(record(tmp_path, base=base)))
    assert checkpoint.base_folder == checkpoint.weights_folder == tiny_clip


@pytest.mark.parametrize("base", [None, "mini", {}, {"name": 7}])
def test_a_record_without_a_base_is_refused(tmp_path: Path, base: object) -> None:
    refused(record(tmp_path, base=base), CONFIG, "does not name its base")


def test_a_base_that_is_an_adapter_itself_is_refused(tiny_clip: Path, tmp_path: Path) -> None:
    for name in ("inner", "outer"):
        (tmp_path / name).mkdir()
    inner = with_adapter(record(tmp_path / "inner", base={"name": str(tiny_clip)}))
    base = {"name": str(inner), "digest": folder_digest(inner)}
    outer = with_adapter(record(tmp_path / "outer", base=base))
    refused(outer, str(inner), "is not a CLIP")


def with_adapter(folder: Path) -> Path:
    """The same folder with files of an adapter, which are not read to find its base."""
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").touch()
    return folder
