"""Folders that are broken or mean harm: one error at once that names the file and the value."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from descscore import DescriptionScore
from descscore.checkpoints.describe import describe
from descscore.checkpoints.store import Checkpoint, resolve_checkpoint
from descscore.errors import CheckpointError, CheckpointNotFoundError
from tests.checkpoints_made import lora_checkpoint
from tests.conftest import ROOT

PHOTO = ROOT / "examples" / "photos" / "rocket.jpg"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_clip: Path, tmp_path: Path) -> Path:
    """A copy of the tiny CLIP, to be damaged."""
    return Path(shutil.copytree(tiny_clip, tmp_path / "clip"))


@pytest.fixture
def adapted(tiny_clip: Path, tmp_path: Path) -> Path:
    """An adapter and a subspace, with the base in a folder of its own."""
    return lora_checkpoint(tmp_path / "adapted", tiny_clip)


def shown(folder: Path) -> None:
    """What `descscore info` reads."""
    describe(resolve_checkpoint(folder))


def refused(folder: Path | str, *parts: str) -> None:
    """Both scoring and `info` refuse it, with all parts in the message."""
    for use in (DescriptionScore, shown):
        with pytest.raises(CheckpointError) as caught:
            use(folder)
        for part in parts:
            assert part in str(caught.value)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rename_weights(folder: Path, name: str) -> None:
    """Call the weights something else, by way of an index."""
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(folder / name)
    (folder / INDEX).write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, name)})
    )


# Which bytes the weights come from


@pytest.mark.parametrize("name", ["weights.safetensors", "a b[1].safetensors"])
def test_weights_of_any_name_are_in_the_digest(folder: Path, name: str) -> None:
    plain = DescriptionScore(folder, scale="cosine")(PHOTO, "a dog").scores
    rename_weights(folder, name)
    before = DescriptionScore(folder, scale="cosine")(PHOTO, "a dog")
    assert before.scores == plain
    weights = {key: value + 0.1 for key, value in load_file(folder / name).items()}
    save_file(weights, folder / name, metadata={"format": "pt"})
    after = DescriptionScore(folder, scale="cosine")(PHOTO, "a dog")
    assert before.scores != after.scores
    assert before.signature != after.signature


@pytest.mark.parametrize("kind", ["above", "absolute", "below"])
def test_weights_outside_the_folder_are_refused(folder: Path, kind: str) -> None:
    rename_weights(folder, "w")
    (folder / "sub").mkdir()
    shutil.copy(folder / "w", folder / "sub" / "w")
    shutil.move(folder / "w", folder.parent / "w")
    named = {"above": "../w", "absolute": str(folder.parent / "w"), "below": "sub/w"}[kind]
    content = json.loads((folder / INDEX).read_text())
    content["weight_map"] = dict.fromkeys(content["weight_map"], named)
    (folder / INDEX).write_text(json.dumps(content))
    refused(folder, INDEX, repr(named), "same folder")


@pytest.mark.parametrize("name", ["part", "weights.bin", "pytorch_model.pt"])
def test_weights_that_may_be_pickled_are_refused(folder: Path, name: str) -> None:
    rename_weights(folder, name)
    refused(folder, INDEX, repr(name), "safetensors")


@pytest.mark.parametrize("weight_map", [None, [], {"a": 1}, {"a": ""}, {"a": ".."}])
def test_an_index_that_makes_no_sense_is_refused(folder: Path, weight_map: object) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    refused(folder, INDEX)


@pytest.mark.parametrize("file", ["/etc/hostname", "../clip/config.json"])
def test_recorded_files_outside_the_folder_are_refused(adapted: Path, file: str) -> None:
    edit(adapted / "descscore_config.json", digests={file: "0" * 64})
    refused(adapted, repr(file), "not in its folder")


# Files that are cut off, or none


def test_cut_weights_are_refused_by_their_size(folder: Path) -> None:
    path = folder / WEIGHTS
    size = path.stat().st_size
    os.truncate(path, size // 2)
    refused(folder, WEIGHTS, f"{size // 2:,} bytes", f"promises {size:,}", "cut off")
    os.truncate(path, size)
    with path.open("ab") as file:
        file.write(b"more")
    refused(folder, WEIGHTS, f"{size + 4:,} bytes", f"promises {size:,}")


def test_a_missing_shard_is_named(folder: Path) -> None:
    rename_weights(folder, "model-00001-of-00002.safetensors")
    (folder / "model-00001-of-00002.safetensors").unlink()
    refused(folder, INDEX, "'model-00001-of-00002.safetensors', which is missing")


@pytest.mark.parametrize("file", [WEIGHTS, "adapter_model.safetensors"])
def test_a_pointer_of_git_lfs_is_called_one(folder: Path, adapted: Path, file: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    where = folder if file == WEIGHTS else adapted
    (where / file).write_text(pointer)
    if where == adapted:
        edit(adapted / "descscore_config.json", digests={})
    refused(where, file, "pointer of Git LFS", "git lfs pull")


@pytest.mark.parametrize("header", [b"[]", b'{"a": 1}', b'{"a": {}}', b"\xff", b'{"a":' * 50_000])
def test_a_header_that_makes_no_sense_is_refused(folder: Path, header: bytes) -> None:
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)
    refused(folder, WEIGHTS, "not a safetensors file")


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, (2**40).to_bytes(8, "little")])
def test_a_file_without_a_header_is_refused(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    refused(folder, WEIGHTS, f"{len(content):,} bytes", "header is cut off")


# Numbers that are no weights


def rewrite(path: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    weights = {key: change(key, value.clone()) for key, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn])
def test_integer_weights_are_refused(folder: Path, adapted: Path, dtype: torch.dtype) -> None:
    rewrite(folder / WEIGHTS, lambda _, value: value.to(dtype))
    refused(folder, WEIGHTS, "quantised or rounded", "F32")
    rewrite(adapted / "adapter_model.safetensors", lambda _, value: value.to(dtype))
    edit(adapted / "descscore_config.json", digests={})
    refused(adapted, "adapter_model.safetensors", "quantised or rounded")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_called_so(folder: Path, value: float, dtype: str) -> None:
    def spoil(key: str, weight: torch.Tensor) -> torch.Tensor:
        return weight.fill_(value) if key == "visual_projection.weight" else weight

    rewrite(folder / WEIGHTS, spoil)
    with pytest.raises(CheckpointError, match=r"NaN or infinite.*visual_projection.*another") as e:
        DescriptionScore(folder, dtype=dtype)
    assert "dtype" not in str(e.value)


def test_weights_too_large_for_a_dtype_are_told_from_those_that_are_no_numbers(
    folder: Path,
) -> None:
    rewrite(folder / WEIGHTS, lambda _, value: value * 1e6)
    with pytest.raises(CheckpointError, match=r"too large for torch.float16: choose dtype='float"):
        DescriptionScore(folder, dtype="float16")
    DescriptionScore(folder, dtype="float32")


# Files that are not regular


FILES = [
    "config.json",
    WEIGHTS,
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
]
OF_ADAPTERS = [
    "descscore_config.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "das.safetensors",
]
OTHERS = ["special_tokens_map.json", "generation_config.json", INDEX, "added_tokens.json"]


@pytest.mark.parametrize("file", [*FILES, *OTHERS, *OF_ADAPTERS])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_refused(
    folder: Path, adapted: Path, file: str, kind: str, tmp_path: Path
) -> None:
    places = [adapted] if file in OF_ADAPTERS else [folder]
    if file in FILES:
        shutil.copytree(folder, adapted / "base")
        places.append(adapted / "base")
    for place in places:
        (place / file).unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(place / file)
        else:
            (place / file).symlink_to("/dev/zero")
        refused(place if place.name != "base" else adapted, file, "not a regular file")


def test_links_to_files_are_followed(folder: Path, tmp_path: Path) -> None:
    # As in the Hub's cache.
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert DescriptionScore(linked)(PHOTO, "a dog").scores.shape == (1,)


# Settings


@pytest.mark.parametrize("tower", ["text", "vision"])
@pytest.mark.parametrize("layers", [10**9, 1, 0, -1, 3, 10**30])
def test_other_layers_than_the_weights_have_are_refused_at_once(
    folder: Path, tower: str, layers: int
) -> None:
    content = json.loads((folder / "config.json").read_text())
    content[f"{tower}_config"]["num_hidden_layers"] = layers
    (folder / "config.json").write_text(json.dumps(content))
    refused(folder, "config.json", str(layers))


@pytest.mark.parametrize(
    ("tower", "key"),
    [
        ("text", "hidden_size"),
        ("text", "vocab_size"),
        ("text", "max_position_embeddings"),
        ("text", "num_attention_heads"),
        ("vision", "image_size"),
        ("vision", "patch_size"),
    ],
)
@pytest.mark.parametrize("value", [None, 0, -5, 10**7, 10**18, "32", 2.5, []])
def test_absurd_settings_are_refused_at_once(
    folder: Path, tower: str, key: str, value: object
) -> None:
    content = json.loads((folder / "config.json").read_text())
    content[f"{tower}_config"][key] = value
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError):
        DescriptionScore(folder)


@pytest.mark.parametrize("content", [[], None, 7, "text"])
def test_towers_without_settings_are_refused(folder: Path, content: object) -> None:
    edit(folder / "config.json", text_config=content)
    refused(folder, "config.json")


@pytest.mark.parametrize(
    "file", ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"]
)
def test_json_of_any_depth_is_one_error(folder: Path, file: str) -> None:
    (folder / file).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(CheckpointError, match=file.replace("_config", ".*")[:9]):
        DescriptionScore(folder)


@pytest.mark.parametrize("file", ["descscore_config.json", "adapter_config.json"])
def test_records_of_any_depth_are_one_error(adapted: Path, file: str) -> None:
    (adapted / file).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(CheckpointError, match=file):
        DescriptionScore(adapted)


@pytest.mark.parametrize("key", ["data", "measured", "measured_base", "digests"])
@pytest.mark.parametrize("value", [7, "a", [1], {"a": 1}])
def test_records_of_another_kind_are_refused(adapted: Path, key: str, value: object) -> None:
    if key in {"data", "digests"} and isinstance(value, dict):
        pytest.skip("values by name are what is wanted")
    edit(adapted / "descscore_config.json", **{key: value})
    refused(adapted, "descscore_config.json", key)


# Names


@pytest.mark.parametrize(
    "name", ["x" * 100_000, "~nouser/clip", "a\0b", "x" * 300, "~" * 5000, "a/" * 3000]
)
def test_names_that_no_system_can_have_are_one_short_error(adapted: Path, name: str) -> None:
    with pytest.raises(CheckpointNotFoundError) as caught:
        resolve_checkpoint(name)
    assert len(str(caught.value)) < 500
    edit(adapted / "descscore_config.json", base={"name": name, "digest": "0"})
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint(adapted)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ViT-B/32", "openai/clip-vit-base-patch32"),
        ("ViT-B-32", "openai/clip-vit-base-patch32"),
        ("vit_b_16", "openai/clip-vit-base-patch16"),
        ("ViT-L/14", "openai/clip-vit-large-patch14"),
        ("ViT-L/14@336px", "openai/clip-vit-large-patch14-336"),
        ("clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
    ],
)
def test_openais_own_names_lead_to_the_hubs(name: str, meant: str) -> None:
    with pytest.raises(CheckpointNotFoundError, match=f"{meant!r}"):
        resolve_checkpoint(name)


# Adapters of PEFT


def cosine(checkpoint: Path) -> float:
    return DescriptionScore(checkpoint, scale="cosine")(PHOTO, "a dog").scores.item()


@pytest.mark.parametrize("drawn", ["gaussian", "orthogonal", True, False])
def test_how_an_adapter_was_drawn_does_not_matter(adapted: Path, drawn: object) -> None:
    before = cosine(adapted)
    edit(adapted / "descscore_config.json", digests={})
    edit(adapted / "adapter_config.json", init_lora_weights=drawn)
    assert cosine(adapted) == before


@pytest.mark.parametrize("drawn", ["pissa", "pissa_niter_4", "olora", "loftq", "corda", "eva", 7])
def test_ways_to_draw_that_change_the_base_are_refused(adapted: Path, drawn: object) -> None:
    edit(adapted / "descscore_config.json", digests={})
    edit(adapted / "adapter_config.json", init_lora_weights=drawn)
    with pytest.raises(CheckpointError, match=f"init_lora_weights to {drawn!r}.*merge it"):
        DescriptionScore(adapted)


def test_a_base_with_a_trailing_slash_is_the_same_base(adapted: Path, tiny_clip: Path) -> None:
    edit(adapted / "descscore_config.json", digests={})
    edit(adapted / "adapter_config.json", base_model_name_or_path=f"{tiny_clip}/")
    assert cosine(adapted) != cosine(tiny_clip)


def bare(adapted: Path) -> Path:
    """What PEFT itself saves."""
    for file in ("descscore_config.json", "das.safetensors", "README.md"):
        (adapted / file).unlink()
    return adapted


def test_a_bare_folder_of_peft_is_taken_with_the_base_that_it_names(
    adapted: Path, tiny_clip: Path
) -> None:
    before = cosine(adapted)
    checkpoint: Checkpoint = resolve_checkpoint(bare(adapted))
    assert checkpoint.change == "adapter"
    metric = DescriptionScore(adapted, scale="cosine")
    assert metric(PHOTO, "a dog").scores.item() == before
    assert "|base:tiny_clip" in metric.signature
    assert describe(checkpoint)["kind"] == "CLIP with an adapter"


@pytest.mark.parametrize("base", [None, "", 7])
def test_a_bare_folder_without_a_base_says_what_to_do(adapted: Path, base: object) -> None:
    edit(bare(adapted) / "adapter_config.json", base_model_name_or_path=base)
    refused(adapted, "names no base", "merge_and_unload")


def test_a_bare_folder_whose_base_is_gone_says_so(adapted: Path) -> None:
    edit(bare(adapted) / "adapter_config.json", base_model_name_or_path="/gone")
    refused(adapted, "is an adapter of PEFT, and there is no checkpoint '/gone'")


def test_a_bare_adapter_of_another_model_is_refused(adapted: Path, folder: Path) -> None:
    edit(bare(adapted) / "adapter_config.json", target_modules=["qkv"])
    with pytest.raises(CheckpointError, match="does not fit its base"):
        DescriptionScore(adapted)
