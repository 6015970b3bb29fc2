"""Checkpoints from the Hub: the real client against a small server on the loopback interface."""

from __future__ import annotations

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
from tests.hub_server import Hub, running_hub

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
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        huggingface_hub.close_session()
        yield hub
    huggingface_hub.close_session()


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `HF_HUB_OFFLINE=1` does in a new process."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
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
    with pytest.raises(CheckpointError, match=r"'org/tiny' could not be fetched.*try again"):
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
    with pytest.raises(CheckpointNotFoundError, match=r"no checkpoint 'minni'.*shipped \(mini\)"):
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
