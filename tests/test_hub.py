"""Checkpoints from the Hub: the real client against a small server on the loopback interface."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from descscore import DescriptionScore
from descscore.checkpoints import store
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import CheckpointError, CheckpointNotFoundError, UnsafeCheckpointError
from tests.checkpoints_made import full_checkpoint, lora_checkpoint
from tests.hub_server import Hub, go_offline, point_client_at, running_hub

FILES = {
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture
def hub(tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with `org/tiny`, and an empty cache."""
    with running_hub() as hub:
        hub.add("org/tiny", tiny_clip)
        point_client_at(hub, monkeypatch, tmp_path)
        yield hub
    huggingface_hub.close_session()


def test_only_the_needed_files_are_downloaded(hub: Hub, tiny_clip: Path) -> None:
    hub.add(
        "org/full",
        tiny_clip,
        README__md=b"# A model",
        pytorch_model__bin=b"pickled",
        tf_model__h5=b"TensorFlow",
        flax_model__msgpack=b"Flax",
        modeling_custom__py=b"raise SystemExit('remote code ran')",
    )
    resolve_checkpoint("org/full")
    assert sorted(hub.downloads) == sorted(FILES)


def test_a_checkpoint_from_the_hub_scores_as_its_folder_does(hub: Hub, tiny_clip: Path) -> None:
    image = Image.new("RGB", (40, 50), "red")
    from_hub = DescriptionScore("org/tiny", scale="cosine")(image, "a dog")
    from_folder = DescriptionScore(tiny_clip, scale="cosine")(image, "a dog")
    np.testing.assert_array_equal(from_hub.scores, from_folder.scores)


def test_the_signature_pins_the_commit(hub: Hub) -> None:
    commit = hub.repositories["org/tiny"].commit("main")
    metric = DescriptionScore("org/tiny")
    assert f"checkpoint:org/tiny@{commit[:12]}|" in metric.signature
    assert metric.checkpoint.revision == commit


def test_a_revision_is_fetched_and_pinned(hub: Hub, tiny_clip: Path) -> None:
    repository = hub.repositories["org/tiny"]
    old = dict(repository.revisions["main"])
    old["config.json"] += b"\n"
    repository.revisions["v1"] = old
    by_tag = resolve_checkpoint("org/tiny", revision="v1")
    assert by_tag.revision == repository.commit("v1") != repository.commit("main")
    assert (by_tag.folder / "config.json").read_bytes() == old["config.json"]
    by_commit = resolve_checkpoint("org/tiny", revision=repository.commit("v1"))
    assert by_commit == by_tag


def test_a_missing_revision_is_named(hub: Hub) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"'org/tiny' has no revision 'v9'"):
        resolve_checkpoint("org/tiny", revision="v9")


def test_a_missing_repository_is_named_with_what_to_check(hub: Hub) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"no 'org/tny' .*spelling.*hf auth login"):
        resolve_checkpoint("org/tny")


def test_a_private_repository_needs_its_token(hub: Hub, tiny_clip: Path) -> None:
    hub.add("org/private", tiny_clip).token = "hf_right"
    with pytest.raises(CheckpointNotFoundError, match=r"'org/private'.*`token`"):
        resolve_checkpoint("org/private")
    checkpoint = resolve_checkpoint("org/private", token="hf_right")
    assert {path.name for path in checkpoint.folder.iterdir()} == FILES


def test_a_wrong_token_is_called_wrong(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"refused the token for 'org/tiny'.*hf auth login"):
        resolve_checkpoint("org/tiny", token="hf_wrong")


def test_a_gated_repository_says_where_to_ask(hub: Hub, tiny_clip: Path) -> None:
    hub.add("org/gated", tiny_clip).gated = True
    with pytest.raises(CheckpointNotFoundError, match=r"'org/gated' is gated: ask for access"):
        resolve_checkpoint("org/gated")


def test_a_broken_download_is_one_error_and_a_retry_completes_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cut.add("model.safetensors")
    with pytest.raises(CheckpointError, match=r"'org/tiny' could not be downloaded.*try again"):
        resolve_checkpoint("org/tiny")
    hub.cut.clear()
    assert DescriptionScore("org/tiny").checkpoint.name == "org/tiny"


def test_an_unreachable_hub_is_an_error_that_says_what_works_without(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nowhere)
        with pytest.raises(CheckpointNotFoundError, match=r"'org/tiny' .*cannot be reached.*mini"):
            resolve_checkpoint("org/tiny")


@pytest.mark.parametrize("only_locally", [True, False], ids=["local_files_only", "offline"])
def test_a_full_cache_works_without_traffic(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, only_locally: bool
) -> None:
    online = resolve_checkpoint("org/tiny")
    hub.requests.clear()
    if not only_locally:
        go_offline(monkeypatch)
    metric = DescriptionScore("org/tiny", local_files_only=only_locally)
    assert metric.checkpoint == online
    assert hub.requests == []


@pytest.mark.parametrize("only_locally", [True, False], ids=["local_files_only", "offline"])
def test_an_empty_cache_without_traffic_is_a_clear_error(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, only_locally: bool
) -> None:
    if not only_locally:
        go_offline(monkeypatch)
    with pytest.raises(CheckpointNotFoundError, match=r"'org/tiny' is not in the Hub's cache"):
        resolve_checkpoint("org/tiny", local_files_only=only_locally)
    assert hub.requests == []


def test_an_interrupted_download_is_not_taken_for_a_full_cache(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cut.add("model.safetensors")
    with pytest.raises(CheckpointError):
        resolve_checkpoint("org/tiny")
    with pytest.raises(CheckpointNotFoundError, match=r"'org/tiny'.*go online"):
        resolve_checkpoint("org/tiny", local_files_only=True)


def test_weights_that_are_only_pickled_are_refused_and_not_downloaded(
    hub: Hub, tiny_clip: Path
) -> None:
    hub.add("org/old", tiny_clip, model__safetensors=None, pytorch_model__bin=b"pickled")
    with pytest.raises(UnsafeCheckpointError, match=r"'org/old' has only pickled weights.*convert"):
        resolve_checkpoint("org/old")
    assert "pytorch_model.bin" not in hub.downloads


def test_a_revision_with_pickled_weights_is_refused_even_if_another_was_converted(
    hub: Hub, tiny_clip: Path
) -> None:
    repository = with_conversion(hub, tiny_clip)
    repository.revisions["v1"] = repository.revisions["main"]
    with pytest.raises(UnsafeCheckpointError, match=r"'org/old'"):
        resolve_checkpoint("org/old", revision="v1")


@pytest.mark.parametrize("revision", [None, "main"])
def test_the_bots_conversion_of_pickled_weights_is_used(
    hub: Hub, tiny_clip: Path, revision: str | None
) -> None:
    repository = with_conversion(hub, tiny_clip)
    checkpoint = resolve_checkpoint("org/old", revision=revision)
    assert checkpoint.revision == repository.commit("refs/pr/7")
    assert "pytorch_model.bin" not in hub.downloads


@pytest.mark.parametrize(("author", "status"), [("mallory", "open"), ("SFconvertbot", "closed")])
def test_weights_that_others_propose_or_that_were_rejected_are_not_used(
    hub: Hub, tiny_clip: Path, author: str, status: str
) -> None:
    with_conversion(hub, tiny_clip).pull_requests[7] = (author, status)
    with pytest.raises(UnsafeCheckpointError):
        resolve_checkpoint("org/old")


@pytest.mark.parametrize("only_locally", [True, False], ids=["local_files_only", "offline"])
def test_a_cached_conversion_works_without_traffic(
    hub: Hub, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch, only_locally: bool
) -> None:
    with_conversion(hub, tiny_clip)
    online = resolve_checkpoint("org/old")
    hub.requests.clear()
    if not only_locally:
        go_offline(monkeypatch)
    assert resolve_checkpoint("org/old", local_files_only=only_locally) == online
    assert hub.requests == []


def test_a_repository_without_any_weights_is_named(hub: Hub, tiny_clip: Path) -> None:
    hub.add("org/empty", tiny_clip, model__safetensors=None)
    with pytest.raises(CheckpointError, match=r"'org/empty' has no weights: model.safetensors"):
        resolve_checkpoint("org/empty")


def test_a_folder_and_a_shipped_checkpoint_cause_no_traffic(
    hub: Hub, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setitem(store.SHIPPED, "mini", tiny_clip)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for checkpoint in (tiny_clip, "mini"):
        assert DescriptionScore(checkpoint)(Image.new("RGB", (40, 40)), "a dog").scores.size == 1
    assert hub.requests == []


def test_a_misspelt_shipped_name_causes_no_traffic(hub: Hub) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"no checkpoint 'minni'.*shipped \(mini, "):
        DescriptionScore("minni")
    assert hub.requests == []


def test_the_environment_settings_of_the_hub_are_respected(
    hub: Hub, tiny_clip: Path, tmp_path: Path
) -> None:
    program = (
        "from descscore import DescriptionScore; from PIL import Image\n"
        "metric = DescriptionScore('org/tiny', scale='cosine')\n"
        "print(metric(Image.new('RGB', (40, 40)), 'a dog').scores.item())"
    )
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    scores, traffic = [], []
    for offline in ("0", "1"):
        hub.requests.clear()
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | settings | {"HF_HUB_OFFLINE": offline},
            capture_output=True,
            text=True,
            check=True,
        )
        scores.append(float(done.stdout))
        traffic.append(bool(hub.requests))
    expected = DescriptionScore(tiny_clip, scale="cosine")(Image.new("RGB", (40, 40)), "a dog")
    assert scores == pytest.approx([expected.scores.item()] * 2, abs=1e-6)
    assert traffic == [True, False]


def with_conversion(hub: Hub, folder: Path):
    """`org/old` has pickled weights, and the bot's pull request 7 converts them."""
    repository = hub.add("org/old", folder, model__safetensors=None, pytorch_model__bin=b"pickled")
    weights = (folder / "model.safetensors").read_bytes()
    repository.revisions["refs/pr/7"] = repository.revisions["main"] | {
        "model.safetensors": weights
    }
    repository.pull_requests[7] = ("SFconvertbot", "open")
    return repository


# Checkpoints that change a base


@pytest.fixture
def adapted(hub: Hub, tiny_clip: Path, tmp_path: Path) -> dict[str, Path]:
    """On the Hub `org/lora` and `org/fine`, on top of `org/tiny` at its commit; their folders."""
    commit = hub.repositories["org/tiny"].commit("main")
    base = {"name": "org/tiny", "revision": commit}
    folders = {
        "org/lora": lora_checkpoint(tmp_path / "lora", tiny_clip, **base),
        "org/fine": full_checkpoint(tmp_path / "fine", tiny_clip, **base),
    }
    for name, folder in folders.items():
        hub.add(name, folder)
    return folders


def scores(checkpoint: str | Path, **options: object) -> np.ndarray:
    image = Image.radial_gradient("L").convert("RGB")
    metric = DescriptionScore(checkpoint, scale="cosine", **options)
    return metric([image] * 2, ["a dog on the beach", "two cats"]).scores


@pytest.mark.parametrize("name", ["org/lora", "org/fine"])
def test_a_changed_base_from_the_hub_scores_as_with_the_base_from_a_folder(
    hub: Hub, adapted: dict[str, Path], tiny_clip: Path, tmp_path: Path, name: str
) -> None:
    make = lora_checkpoint if name == "org/lora" else full_checkpoint
    expected = scores(make(tmp_path / "local", tiny_clip))
    np.testing.assert_array_equal(scores(name), expected)
    np.testing.assert_array_equal(scores(adapted[name]), expected)
    assert np.abs(scores(tiny_clip) - expected).max() > 1e-4


def test_only_the_needed_files_of_an_adapter_and_its_base_are_downloaded(
    hub: Hub, adapted: dict[str, Path]
) -> None:
    for extra in ("state.pt", "metrics.jsonl", "adapter_model.bin"):
        hub.repositories["org/lora"].revisions["main"][extra] = b"of the run"
    resolve_checkpoint("org/lora")
    own = {
        "adapter_config.json",
        "adapter_model.safetensors",
        "das.safetensors",
        "descscore_config.json",
    }
    assert sorted(hub.downloads) == sorted({*own, *FILES})


def test_the_weights_of_a_base_that_are_all_replaced_are_not_downloaded(
    hub: Hub, adapted: dict[str, Path]
) -> None:
    resolve_checkpoint("org/fine")
    assert hub.downloads.count("model.safetensors") == 1
    hub.requests.clear()
    assert resolve_checkpoint("org/fine", local_files_only=True).change == "weights"
    assert hub.requests == []
    # What is missing comes when it is asked for.
    DescriptionScore("org/tiny")
    assert hub.downloads.count("model.safetensors") == 2


def test_the_base_is_that_of_the_recorded_commit_wherever_its_branch_has_moved(
    hub: Hub, adapted: dict[str, Path]
) -> None:
    base = hub.repositories["org/tiny"]
    commit, before = base.commit("main"), scores(adapted["org/lora"])
    base.revisions[commit] = dict(base.revisions["main"])
    base.revisions["main"]["model.safetensors"] = b"other weights"
    checkpoint = resolve_checkpoint("org/lora")
    assert checkpoint.base.revision == commit != base.commit("main")
    np.testing.assert_array_equal(scores("org/lora"), before)
    signature = DescriptionScore("org/lora").signature
    assert f"|base:org/tiny@{commit[:12]}|" in signature


def test_a_recorded_commit_that_is_gone_is_named(hub: Hub, adapted: dict[str, Path]) -> None:
    commit = hub.repositories["org/tiny"].commit("main")
    hub.repositories["org/tiny"].revisions["main"]["config.json"] += b"\n"
    with pytest.raises(CheckpointNotFoundError, match=f"'org/tiny' has no revision '{commit}'"):
        resolve_checkpoint("org/lora")


def test_an_adapter_config_that_names_another_commit_is_refused(
    hub: Hub, adapted: dict[str, Path]
) -> None:
    files = hub.repositories["org/lora"].revisions["main"]
    record = json.loads(files["descscore_config.json"])
    base = hub.repositories["org/tiny"]
    base.revisions["v2"] = {**base.revisions["main"], "notes": b""}
    record["base"]["revision"] = base.commit("v2")
    files["descscore_config.json"] = json.dumps(record).encode()
    with pytest.raises(CheckpointError, match=r"for another base: .* has revision"):
        DescriptionScore("org/lora")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "tokenizer.json"])
def test_a_broken_download_of_an_adapter_or_its_base_is_completed_by_a_second_try(
    hub: Hub, adapted: dict[str, Path], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cut.add(file)
    with pytest.raises(CheckpointError, match=r"could not be downloaded.*try again"):
        DescriptionScore("org/lora")
    with pytest.raises(CheckpointNotFoundError, match="go online"):
        DescriptionScore("org/lora", local_files_only=True)
    hub.cut.clear()
    assert np.isfinite(scores("org/lora")).all()


@pytest.mark.parametrize("only_locally", [True, False], ids=["local_files_only", "offline"])
def test_an_adapter_and_its_base_come_from_a_full_cache_without_traffic(
    hub: Hub, adapted: dict[str, Path], monkeypatch: pytest.MonkeyPatch, only_locally: bool
) -> None:
    online = scores("org/lora")
    hub.requests.clear()
    if not only_locally:
        go_offline(monkeypatch)
    np.testing.assert_array_equal(scores("org/lora", local_files_only=only_locally), online)
    assert hub.requests == []


def test_a_cache_without_the_base_is_a_clear_error_offline(
    hub: Hub, adapted: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_offline(monkeypatch)
    with pytest.raises(CheckpointNotFoundError, match=r"'org/lora' is not in the Hub's cache"):
        resolve_checkpoint("org/lora")
    with pytest.raises(CheckpointNotFoundError, match=r"'org/tiny' at revision .* is not in the"):
        resolve_checkpoint(adapted["org/lora"])


def test_a_private_adapter_needs_its_token(hub: Hub, adapted: dict[str, Path]) -> None:
    hub.repositories["org/lora"].token = "hf_right"
    with pytest.raises(CheckpointNotFoundError, match=r"'org/lora'.*`token`"):
        DescriptionScore("org/lora")
    with pytest.raises(CheckpointError, match="refused the token"):
        DescriptionScore("org/lora", token="hf_wrong")
    assert np.isfinite(scores("org/lora", token="hf_right")).all()


def test_a_folder_with_the_name_of_the_base_does_not_replace_it(
    hub: Hub, adapted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("org/tiny").mkdir(parents=True)
    checkpoint = resolve_checkpoint(adapted["org/lora"])
    assert checkpoint.base.revision == hub.repositories["org/tiny"].commit("main")
