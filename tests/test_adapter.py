"""A checkpoint that changes its base: it does so exactly, or it is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from descscore import DescriptionScore
from descscore.checkpoints import store
from descscore.checkpoints.attach import Clip, load_clip
from descscore.checkpoints.files import folder_digest
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError, CheckpointNotFoundError, UnsafeCheckpointError
from tests.checkpoints_made import full_checkpoint, lora_checkpoint, record

KEY = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"
ADAPTER, FULL = "adapter_model.safetensors", "model.safetensors"


@pytest.fixture(scope="session")
def made(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with a LoRA adapter (`lora`) and fully fine-tuned (`full`)."""
    folder = tmp_path_factory.mktemp("made")
    lora_checkpoint(folder / "lora", tiny_clip)
    full_checkpoint(folder / "full", tiny_clip)
    return folder


@pytest.fixture
def lora(made: Path, tmp_path: Path) -> Path:
    """A copy of a checkpoint with an adapter, to be damaged."""
    return Path(shutil.copytree(made / "lora", tmp_path / "lora"))


@pytest.fixture
def full(made: Path, tmp_path: Path) -> Path:
    """A copy of a fully fine-tuned checkpoint, to be damaged."""
    return Path(shutil.copytree(made / "full", tmp_path / "full"))


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Clip:
    return load_clip(resolve_checkpoint(folder), dtype=dtype, device=torch.device("cpu"))


def change(folder: Path, file: str, **values: object) -> None:
    """Change values of a JSON file."""
    content = json.loads((folder / file).read_text()) | values
    (folder / file).write_text(json.dumps(content))


def rewrite(folder: Path, file: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change tensors of a file."""
    tensors = {name: value.clone() for name, value in load_file(folder / file).items()}
    edit(tensors)
    save_file(tensors, folder / file, metadata={"format": "pt"})


def signed(folder: Path, base: Path) -> Path:
    """Record the files as they now are: what is refused next is not their digest."""
    return record(folder, base)


def refused(folder: Path, *parts: str, error: type[CheckpointError] = CheckpointError) -> None:
    """Making the metric fails with this very class and a message that has all parts."""
    with pytest.raises(CheckpointError) as caught:
        DescriptionScore(folder)
    assert caught.type is error
    for part in parts:
        assert part in str(caught.value)


# What is loaded


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
@torch.inference_mode()
def test_a_merged_adapter_computes_what_peft_computes_unmerged(made: Path, tiny_clip: Path) -> None:
    base: Any = CLIPModel.from_pretrained(tiny_clip)
    adapted = PeftModel.from_pretrained(base, made / "lora").eval()
    model = load(made / "lora").model
    inputs = {
        "input_ids": torch.tensor([[0, 50, 60, 70, base.config.text_config.eos_token_id]] * 2),
        "pixel_values": torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
    }
    found, expected = model(**inputs), adapted(**inputs)
    with adapted.disable_adapter():
        untouched = adapted(**inputs)
    for name in ("text_embeds", "image_embeds", "logits_per_image"):
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-5)
        assert (untouched[name] - expected[name]).abs().max() > 1e-3


def test_what_is_loaded_is_a_plain_clip_ready_for_inference(made: Path, tiny_clip: Path) -> None:
    for folder in (made / "lora", made / "full"):
        model = load(folder).model
        assert type(model) is CLIPModel
        assert model.state_dict().keys() == load_file(tiny_clip / FULL).keys()
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_for_some_layers_changes_these_alone(tiny_clip: Path, tmp_path: Path) -> None:
    lora_checkpoint(tmp_path / "qv", tiny_clip, targets=("text_model.encoder.layers.1.mlp.fc1",))
    found, base = load(tmp_path / "qv").model.state_dict(), load_file(tiny_clip / FULL)
    changed = [key for key, value in base.items() if not torch.equal(found[key], value)]
    assert changed == ["text_model.encoder.layers.1.mlp.fc1.weight"]


def test_a_float16_adapter_differs_by_its_rounding_only(
    made: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    half = lora_checkpoint(tmp_path / "half", tiny_clip, dtype=torch.float16)
    assert load_file(half / ADAPTER)[KEY].dtype == torch.float16
    found, expected = load(half).model, load(made / "lora").model
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_adapter_is_merged_in_float32_and_then_rounded_once(
    made: Path, dtype: torch.dtype
) -> None:
    found, whole = load(made / "lora", dtype).model, load(made / "lora").model
    expected = {key: value.to(dtype) for key, value in whole.state_dict().items()}
    torch.testing.assert_close(dict(found.state_dict()), expected, rtol=0, atol=0)


def test_fully_fine_tuned_weights_replace_those_of_the_base(
    made: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    model = load(made / "full").model
    torch.testing.assert_close(
        dict(model.state_dict()), load_file(made / "full" / FULL), rtol=0, atol=0
    )
    base = Path(shutil.copytree(tiny_clip, tmp_path / "base"))
    (base / FULL).unlink()
    # All else is still the base's; its weights need not even be there.
    alone = full_checkpoint(tmp_path / "alone", tiny_clip, name=str(base))
    config = json.loads((alone / store.CONFIG).read_text())
    config["base"]["digest"] = folder_digest(base)
    change(alone, store.CONFIG, **config)
    torch.testing.assert_close(load(alone).model.state_dict(), model.state_dict())


def test_split_weights_of_a_fully_fine_tuned_model_are_loaded(full: Path, tiny_clip: Path) -> None:
    model = load(full).model
    (full / FULL).unlink()
    model.save_pretrained(full, max_shard_size="50KB")
    assert len(list(full.glob("model-*-of-*.safetensors"))) > 1
    torch.testing.assert_close(load(signed(full, tiny_clip)).model.state_dict(), model.state_dict())


def test_the_purpose_subspace_comes_with_the_model(made: Path) -> None:
    purpose = load(made / "lora", torch.float16).purpose
    saved = load_file(made / "lora" / "das.safetensors")
    assert purpose.site.layer == 1
    assert purpose.basis.dtype == torch.float32
    torch.testing.assert_close(purpose.basis, saved["basis"], rtol=0, atol=0)
    assert load(made / "full").purpose is None


def test_loading_prints_nothing_and_leaves_the_random_numbers_alone(
    made: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load(made / "lora")
    load(made / "full")
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert capfd.readouterr() == ("", "")


def test_a_shipped_base_is_found_by_its_name(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.SHIPPED["mini/base"] == store.SHIPPED["mini"] / "base"
    monkeypatch.setitem(store.SHIPPED, "mini/base", tiny_clip)
    checkpoint = resolve_checkpoint(lora_checkpoint(tmp_path, tiny_clip, name="mini/base"))
    assert checkpoint.base.name == "mini/base"
    assert checkpoint.base_folder == tiny_clip
    assert checkpoint.change == "adapter"


def test_a_base_in_the_folder_goes_before_one_elsewhere(lora: Path, tiny_clip: Path) -> None:
    before = load(lora).model
    shutil.copytree(tiny_clip, lora / "base")
    change(lora, store.CONFIG, base={"name": "gone", "digest": folder_digest(tiny_clip)})
    change(lora, "adapter_config.json", base_model_name_or_path="gone")
    change(lora, store.CONFIG, digests={})
    assert resolve_checkpoint(lora).base_folder == lora / "base"
    torch.testing.assert_close(load(lora).model.state_dict(), before.state_dict())


def test_scores_change_with_the_adapter_and_the_signature_with_them(
    made: Path, tiny_clip: Path
) -> None:
    image = Image.radial_gradient("L").convert("RGB")
    metrics = [DescriptionScore(folder, scale="cosine") for folder in (tiny_clip, made / "lora")]
    base, adapted = (metric(image, "a dog on the beach").scores.item() for metric in metrics)
    assert abs(base - adapted) > 1e-4
    assert metrics[0].signature != metrics[1].signature
    assert np.isfinite(adapted)


# Which files there must be


def test_an_adapter_and_whole_weights_are_one_too_many(lora: Path, full: Path) -> None:
    shutil.copy(full / FULL, lora)
    refused(lora, "both an adapter and model.safetensors", "export it again")


def test_neither_an_adapter_nor_weights_are_refused(lora: Path, tiny_clip: Path) -> None:
    for file in (ADAPTER, "adapter_config.json", "das.safetensors"):
        (lora / file).unlink()
    refused(signed(lora, tiny_clip), "neither an adapter", "nor model.safetensors", "export it")


def test_a_subspace_alone_is_refused_even_with_a_base(lora: Path, tiny_clip: Path) -> None:
    for file in (ADAPTER, "adapter_config.json"):
        (lora / file).unlink()
    shutil.copytree(tiny_clip, lora / "base")
    refused(signed(lora, tiny_clip), "neither an adapter", "nor model.safetensors", "export it")


@pytest.mark.parametrize("file", [ADAPTER, "adapter_config.json"])
def test_half_an_adapter_is_refused(lora: Path, file: str) -> None:
    (lora / file).unlink()
    refused(lora, f"half an adapter: {file} is missing")


def test_a_file_other_than_the_recorded_one_is_refused(lora: Path) -> None:
    rewrite(lora, ADAPTER, lambda tensors: tensors[KEY].add_(1))
    refused(lora, f"is damaged: {ADAPTER}", "export it again")


def test_pickled_weights_are_never_read(lora: Path, full: Path) -> None:
    (lora / ADAPTER).rename(lora / "adapter_model.bin")
    refused(lora, "only pickled", "adapter_model.bin", error=UnsafeCheckpointError)
    (full / FULL).rename(full / "pytorch_model.bin")
    refused(full, "only pickled", "pytorch_model.bin", error=UnsafeCheckpointError)


def test_pickled_weights_beside_safetensors_are_ignored(lora: Path) -> None:
    (lora / "adapter_model.bin").write_bytes(b"pickled")
    load(lora)


@pytest.mark.parametrize("file", [ADAPTER, "adapter_config.json", "das.safetensors"])
def test_a_plain_clip_with_a_file_that_changes_it_is_refused(
    made: Path, tiny_clip: Path, tmp_path: Path, file: str
) -> None:
    folder = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    shutil.copy(made / "lora" / file, folder)
    refused(folder, f"with {file} beside it", "descscore_config.json")


# The base


def test_another_base_of_the_same_shape_is_refused(lora: Path, tiny_clip: Path) -> None:
    other = Path(shutil.copytree(tiny_clip, lora.parent / "other"))
    rewrite(other, FULL, lambda weights: weights["logit_scale"].add_(1))
    digest = folder_digest(tiny_clip)
    change(lora, store.CONFIG, base={"name": str(other), "revision": None, "digest": digest})
    refused(lora, str(other), "is not the base", "digest")


def test_a_local_base_without_a_digest_is_refused(lora: Path, tiny_clip: Path) -> None:
    change(lora, store.CONFIG, base={"name": str(tiny_clip)})
    refused(lora, "no digest of its base", "export it again")


def test_a_base_that_is_gone_is_named(lora: Path) -> None:
    change(lora, store.CONFIG, base={"name": "/no/such/clip", "digest": "0"})
    refused(lora, "'/no/such/clip', which is not here", error=CheckpointNotFoundError)


@pytest.mark.parametrize("revision", [None, "main", "1234567", 7])
def test_a_base_on_the_hub_without_its_commit_is_refused(lora: Path, revision: object) -> None:
    change(lora, store.CONFIG, base={"name": "org/clip", "revision": revision})
    refused(lora, "'org/clip'", "commit")


def test_a_commit_of_a_base_that_is_not_on_the_hub_is_refused(lora: Path) -> None:
    change(lora, store.CONFIG, base={"name": "/some/clip", "revision": "0" * 40})
    refused(lora, "'/some/clip', which is not a Hub id")


@pytest.mark.parametrize(
    ("key", "value"), [("base_model_name_or_path", "org/other"), ("revision", "v2")]
)
def test_an_adapter_config_that_names_another_base_is_refused(
    lora: Path, tiny_clip: Path, key: str, value: str
) -> None:
    change(lora, "adapter_config.json", **{key: value})
    refused(signed(lora, tiny_clip), "for another base", key, value, "export it again")


def test_an_adapter_config_that_names_no_base_is_accepted(lora: Path, tiny_clip: Path) -> None:
    change(lora, "adapter_config.json", base_model_name_or_path=None, revision=None)
    load(signed(lora, tiny_clip))


# The adapter


def test_an_adapter_of_another_kind_is_refused(lora: Path, tiny_clip: Path) -> None:
    change(lora, "adapter_config.json", peft_type="IA3")
    refused(signed(lora, tiny_clip), "type 'IA3'", "'LORA'")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bias", "all"),
        ("modules_to_save", ["visual_projection"]),
        ("use_dora", True),
        ("init_lora_weights", "pissa"),
        ("megatron_config", {"a": 1}),
        ("of_a_later_peft", 3),
    ],
)
def test_an_adapter_that_does_more_than_low_rank_updates_is_refused(
    lora: Path, tiny_clip: Path, key: str, value: object
) -> None:
    change(lora, "adapter_config.json", **{key: value})
    refused(signed(lora, tiny_clip), f"sets {key}", "does not read")


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda tensors: tensors.pop(KEY), f"1 missing, the first is {KEY}"),
        (lambda tensors: tensors.update(extra=torch.ones(2)), "1 unexpected, the first is extra"),
        (lambda tensors: tensors.update({KEY: torch.ones(4, 16)}), "1 of another shape"),
    ],
)
def test_tensors_that_do_not_fit_the_base_are_counted_and_named(
    lora: Path, tiny_clip: Path, edit: Callable, problem: str
) -> None:
    rewrite(lora, ADAPTER, edit)
    refused(signed(lora, tiny_clip), "does not fit its base", problem)


def test_layers_that_the_base_lacks_are_refused(lora: Path, tiny_clip: Path) -> None:
    change(lora, "adapter_config.json", target_modules=["query"])
    refused(signed(lora, tiny_clip), "does not fit its base", "query")


def test_another_rank_than_the_tensors_have_is_refused(lora: Path, tiny_clip: Path) -> None:
    change(lora, "adapter_config.json", r=8)
    refused(signed(lora, tiny_clip), "does not fit its base", "32 of another shape")


def test_an_adapter_that_changes_nothing_is_refused(tiny_clip: Path, tmp_path: Path) -> None:
    refused(lora_checkpoint(tmp_path, tiny_clip, update=0), "changes nothing")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_updates_that_are_not_finite_are_refused(lora: Path, tiny_clip: Path, value: float) -> None:
    rewrite(lora, ADAPTER, lambda tensors: [tensor.fill_(value) for tensor in tensors.values()])
    refused(signed(lora, tiny_clip), str(lora))


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_a_damaged_adapter_is_refused(lora: Path, tiny_clip: Path, size: int) -> None:
    path = lora / ADAPTER
    path.write_bytes(path.read_bytes()[:size])
    refused(signed(lora, tiny_clip), f"{ADAPTER} has {size:,} bytes")


@pytest.mark.parametrize("content", ["", "[]", '{"peft_type": "LORA", "r": "four"}'])
def test_a_damaged_adapter_config_is_refused(lora: Path, tiny_clip: Path, content: str) -> None:
    (lora / "adapter_config.json").write_text(content)
    refused(signed(lora, tiny_clip), "adapter")


# Whole weights


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda weights: weights.pop("logit_scale"), "1 missing, the first is logit_scale"),
        (lambda weights: weights.update(extra=torch.ones(2)), "1 unexpected"),
        (lambda weights: weights.update(logit_scale=torch.ones(2)), "1 of another shape"),
        (lambda weights: weights["logit_scale"].fill_(float("nan")), "the first in logit_scale"),
    ],
)
def test_weights_that_do_not_fit_the_base_are_refused(
    full: Path, tiny_clip: Path, edit: Callable, problem: str
) -> None:
    rewrite(full, FULL, edit)
    refused(signed(full, tiny_clip), str(full), problem)


# The subspace


def test_a_basis_of_another_width_is_refused(lora: Path, tiny_clip: Path) -> None:
    wider = torch.eye(64, 8)
    rewrite(lora, "das.safetensors", lambda tensors: tensors.update(basis=wider))
    with_site(lora, layer="1")
    refused(signed(lora, tiny_clip), "basis of width 64", "has width 32", "another base")


@pytest.mark.parametrize("layer", ["0", "3"])
def test_a_site_outside_the_text_tower_is_refused(lora: Path, tiny_clip: Path, layer: str) -> None:
    with_site(lora, layer=layer)
    refused(signed(lora, tiny_clip), "das.safetensors", f"after block {layer}", "which has 2")


def test_a_basis_that_is_not_orthonormal_is_refused(lora: Path, tiny_clip: Path) -> None:
    rewrite(lora, "das.safetensors", lambda tensors: tensors["basis"].mul_(1.01))
    with_site(lora, layer="1")
    refused(signed(lora, tiny_clip), "das.safetensors", "no orthonormal basis")


def with_site(folder: Path, *, layer: str) -> None:
    tensors = {key: value.clone() for key, value in load_file(folder / "das.safetensors").items()}
    site = {"tower": "text", "layer": layer, "position": "eos"}
    save_file(tensors, folder / "das.safetensors", metadata=site)
