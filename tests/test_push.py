"""Checkpoints to the Hub and back: the real client against a small server on the loopback."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from descscore import DescriptionScore
from descscore.checkpoints.files import CONFIG
from descscore.cli.app import app
from tests.checkpoints_made import full_checkpoint, lora_checkpoint
from tests.hub_server import Hub, go_offline, point_client_at, running_hub

# How the client sends large files to where xet is not.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

TOKEN = "hf_writer"
OWN = {
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "das.safetensors",
    "descscore_config.json",
}


@pytest.fixture
def hub(tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with the base `org/tiny`, where the token may write to `org`, and an empty cache."""
    with running_hub() as hub:
        hub.add("org/tiny", tiny_clip)
        hub.writers[TOKEN] = {"org"}
        point_client_at(hub, monkeypatch, tmp_path)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        yield hub
    huggingface_hub.close_session()


@pytest.fixture
def lora(hub: Hub, tiny_clip: Path, tmp_path: Path) -> Path:
    """A checkpoint on top of `org/tiny`, with other files of a run beside its own."""
    commit = hub.repositories["org/tiny"].commit("main")
    folder = lora_checkpoint(tmp_path / "lora", tiny_clip, name="org/tiny", revision=commit)
    for extra in ("state.pt", "metrics.jsonl", ".secret", "adapter_model.bin", "logs/run.txt"):
        (folder / extra).parent.mkdir(exist_ok=True)
        (folder / extra).write_text("of the run")
    return folder


@pytest.fixture
def push(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run `descscore push`; its code, stdout and stderr."""

    def run(folder: Path, name: str, *options: str, token: str = TOKEN) -> SimpleNamespace:
        capfd.readouterr()
        with pytest.raises(SystemExit) as done:
            app(["push", str(folder), name, *options, *(["--token", token] if token else ())])
        out, err = capfd.readouterr()
        return SimpleNamespace(code=done.value.code, out=out, err=err)

    return run


def scores(checkpoint: str | Path, **options: Any) -> np.ndarray:
    image = Image.radial_gradient("L").convert("RGB")
    metric = DescriptionScore(checkpoint, scale="cosine", **options)
    return metric([image] * 2, ["a dog on the beach", "two cats"]).scores


def empty_cache(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "hub")


def error_in(done: SimpleNamespace) -> str:
    """The one line of an error."""
    assert done.code == 2
    assert done.out == ""
    (line,) = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in done.err
    return line


# The round trip


def test_what_is_pushed_scores_as_the_folder_does_from_an_empty_cache(
    hub: Hub, lora: Path, push: Any, tmp_path: Path
) -> None:
    expected = scores(lora)
    done = push(lora, "org/metric")
    assert done.code == 0, done.err
    commit = hub.repositories["org/metric"].commit("main")
    assert done.out.splitlines() == [
        f"{hub.url}/org/metric",
        f"commit {commit}",
        f'DescriptionScore("org/metric", revision="{commit}")',
    ]
    empty_cache(tmp_path)
    hub.downloads.clear()
    np.testing.assert_array_equal(scores("org/metric", revision=commit), expected)
    assert "adapter_model.safetensors" in hub.downloads


def test_fully_fine_tuned_weights_make_the_round_trip(
    hub: Hub, tiny_clip: Path, push: Any, tmp_path: Path
) -> None:
    commit = hub.repositories["org/tiny"].commit("main")
    full = full_checkpoint(tmp_path / "full", tiny_clip, name="org/tiny", revision=commit)
    assert push(full, "org/full").code == 0
    expected = scores(full)
    empty_cache(tmp_path)
    np.testing.assert_array_equal(scores("org/full"), expected)


def test_only_the_files_of_a_checkpoint_go_there_in_one_commit(
    hub: Hub, lora: Path, push: Any
) -> None:
    done = push(lora, "org/metric")
    files = hub.repositories["org/metric"].files("main")
    assert files.keys() == OWN | {".gitattributes"}
    assert {name: files[name] for name in OWN} == {name: (lora / name).read_bytes() for name in OWN}
    assert sum("/commit/" in request for request in hub.requests) == 1
    assert "not pushed: adapter_model.bin, logs/run.txt, metrics.jsonl, state.pt" in done.err


def test_a_base_within_the_folder_goes_along(
    hub: Hub, tiny_clip: Path, push: Any, tmp_path: Path
) -> None:
    folder = lora_checkpoint(tmp_path / "lora", tiny_clip)
    shutil.copytree(tiny_clip, folder / "base")
    assert push(folder, "org/metric").code == 0
    expected = scores(folder)
    assert "base/model.safetensors" in hub.repositories["org/metric"].files("main")
    np.testing.assert_array_equal(scores("org/metric"), expected)


def test_files_of_an_earlier_checkpoint_are_taken_away_and_others_kept(
    hub: Hub, lora: Path, push: Any
) -> None:
    hub.add("org/metric", lora, model__safetensors=b"of a full one", notes__txt=b"by hand")
    assert push(lora, "org/metric").code == 0
    files = hub.repositories["org/metric"].files("main")
    assert "model.safetensors" not in files
    assert files["notes.txt"] == b"by hand"
    assert np.isfinite(scores("org/metric")).all()


def test_pushing_again_keeps_the_earlier_commit(hub: Hub, lora: Path, push: Any) -> None:
    first = push(lora, "org/metric").out
    (lora / "README.md").write_text("---\ntags: [clip]\n---\n# Another card\n")
    second = push(lora, "org/metric").out
    assert first != second
    for done in (first, second):
        commit = done.splitlines()[1].removeprefix("commit ")
        assert np.isfinite(scores("org/metric", revision=commit)).all()


def test_the_cards_example_loads_the_repository(hub: Hub, lora: Path, push: Any) -> None:
    example = 'print("DescriptionScore")\nmetric = DescriptionScore("{}")\nprint(metric)\n'
    before = f"---\ntags: [clip]\n---\n# A card\n\n{example.format(lora.as_posix())}"
    (lora / "README.md").write_text(before)
    assert push(lora, "org/metric").code == 0
    card = hub.repositories["org/metric"].files("main")["README.md"].decode()
    assert card == before.replace(lora.as_posix(), "org/metric")
    assert (lora / "README.md").read_text() == before


def test_a_branch_is_made_and_main_left_alone(hub: Hub, lora: Path, push: Any) -> None:
    hub.add("org/metric", lora)
    main = hub.repositories["org/metric"].commit("main")
    (lora / "README.md").write_text("---\ntags: [clip]\n---\n# Another card\n")
    assert push(lora, "org/metric", "--revision", "trial").code == 0
    repository = hub.repositories["org/metric"]
    assert repository.commit("main") == main != repository.commit("trial")
    assert push(lora, "org/metric", "--revision", "trial").code == 0


def test_a_private_repository_is_seen_with_its_token_only(hub: Hub, lora: Path, push: Any) -> None:
    assert push(lora, "org/metric", "--private").code == 0
    with pytest.raises(FileNotFoundError, match="'org/metric'"):
        DescriptionScore("org/metric")
    np.testing.assert_array_equal(scores("org/metric", token=TOKEN), scores(lora))


def test_private_never_means_public(hub: Hub, lora: Path, push: Any) -> None:
    before = hub.add("org/metric", lora, README__md=b"# Public").commit("main")
    assert "is public, and nothing was pushed" in error_in(push(lora, "org/metric", "--private"))
    assert hub.repositories["org/metric"].commit("main") == before


def test_the_stored_token_is_used(
    hub: Hub, lora: Path, push: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert push(lora, "org/metric", token="").code == 0


# A dry run


def test_a_dry_run_lists_the_files_without_a_token_or_traffic(
    hub: Hub, lora: Path, push: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(lora)
    hub.requests.clear()

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    done = push(lora, "org/metric", "--dry-run", "--private", token="")
    assert done.code == 0, done.err
    assert hub.requests == []
    assert "branch main of the private repository org/metric" in done.out
    listed = {line.split()[0]: line.split()[1] for line in done.out.splitlines()[1:6]}
    assert listed == {name: f"{(lora / name).stat().st_size:,}" for name in OWN}
    assert "not pushed: adapter_model.bin, logs/run.txt, metrics.jsonl, state.pt" in done.out
    assert "nothing was pushed" in done.out


def test_a_dry_run_does_not_fetch_the_base(hub: Hub, lora: Path, push: Any) -> None:
    line = error_in(push(lora, "org/metric", "--dry-run", token=""))
    assert "'org/tiny'" in line
    assert "is not in the Hub's cache" in line
    assert hub.requests == []


def test_a_dry_run_says_what_is_wrong_too(hub: Hub, lora: Path, push: Any) -> None:
    scores(lora)
    (lora / "das.safetensors").write_bytes(b"damaged")
    assert "is damaged" in error_in(push(lora, "org/metric", "--dry-run", token=""))


# What is not pushed


def test_a_damaged_checkpoint_is_refused_before_anything_is_sent(
    hub: Hub, lora: Path, push: Any
) -> None:
    path = lora / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert "is damaged: adapter_model.safetensors" in error_in(push(lora, "org/metric"))
    assert hub.requests == []


def test_a_checkpoint_that_does_not_load_is_refused(
    hub: Hub, tiny_clip: Path, push: Any, tmp_path: Path
) -> None:
    commit = hub.repositories["org/tiny"].commit("main")
    base = {"name": "org/tiny", "revision": commit}
    folder = lora_checkpoint(tmp_path / "zero", tiny_clip, update=0, **base)
    assert "changes nothing" in error_in(push(folder, "org/metric"))
    assert "org/metric" not in hub.repositories


def test_a_plain_clip_is_refused(hub: Hub, tiny_clip: Path, push: Any) -> None:
    assert "is a plain CLIP" in error_in(push(tiny_clip, "org/metric"))
    assert hub.requests == []


def test_a_base_that_nobody_else_has_is_refused(
    hub: Hub, tiny_clip: Path, push: Any, tmp_path: Path
) -> None:
    folder = lora_checkpoint(tmp_path / "lora", tiny_clip)
    line = error_in(push(folder, "org/metric"))
    assert f"{str(tiny_clip)!r}, which nobody else has; copy it to" in line
    assert hub.requests == []


def test_a_shipped_base_is_one_that_everybody_has(
    hub: Hub, tiny_clip: Path, push: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DescriptionScore.__init__.__globals__["SHIPPED"], "mini/base", tiny_clip)
    folder = lora_checkpoint(tmp_path / "lora", tiny_clip, name="mini/base")
    assert push(folder, "org/metric").code == 0
    np.testing.assert_array_equal(scores("org/metric"), scores(folder))


@pytest.mark.parametrize("name", ["metric", "a/b/c", "org/", "org/a b", "org/a--b", "./metric"])
def test_a_name_that_is_no_hub_id_is_refused(hub: Hub, lora: Path, push: Any, name: str) -> None:
    assert f"{name!r} is not a Hub id" in error_in(push(lora, name))
    assert hub.requests == []


def test_a_commit_is_no_branch(hub: Hub, lora: Path, push: Any) -> None:
    assert "is a commit" in error_in(push(lora, "org/metric", "--revision", "0" * 40))


def test_a_folder_that_is_not_there_is_named(hub: Hub, push: Any, tmp_path: Path) -> None:
    assert "there is no folder" in error_in(push(tmp_path / "gone", "org/metric"))


# What the Hub refuses


def test_without_a_token_it_says_how_to_get_one(hub: Hub, lora: Path, push: Any) -> None:
    assert "needs a token: run `hf auth login`" in error_in(push(lora, "org/metric", token=""))
    assert "org/metric" not in hub.repositories


def test_a_wrong_token_is_called_wrong(hub: Hub, lora: Path, push: Any) -> None:
    scores(lora)
    assert "refused the token" in error_in(push(lora, "org/metric", token="hf_wrong"))


@pytest.mark.parametrize("exists", [False, True])
def test_an_organisation_where_one_may_not_write_is_named(
    hub: Hub, lora: Path, push: Any, exists: bool
) -> None:
    if exists:
        hub.add("other/metric", lora)
    line = error_in(push(lora, "other/metric"))
    assert "may not write to 'other/metric'" in line
    assert "ask 'other'" in line


def test_no_network_is_one_line(
    hub: Hub, lora: Path, push: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(lora)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nowhere)
        assert "confirmed no commit" in error_in(push(lora, "org/metric"))
    go_offline(monkeypatch)
    assert "confirmed no commit" in error_in(push(lora, "org/metric"))


@pytest.mark.parametrize("part", ["objects", "commit"])
def test_an_upload_that_fails_claims_no_success_and_a_second_try_completes_it(
    hub: Hub, lora: Path, push: Any, part: str
) -> None:
    hub.broken.add(part)
    assert "confirmed no commit" in error_in(push(lora, "org/metric"))
    assert hub.repositories["org/metric"].files("main").keys() == {".gitattributes"}
    hub.broken.clear()
    assert push(lora, "org/metric").code == 0
    np.testing.assert_array_equal(scores("org/metric"), scores(lora))


def test_a_commit_that_lacks_a_file_is_no_success(hub: Hub, lora: Path, push: Any) -> None:
    hub.ignored.add("das.safetensors")
    line = error_in(push(lora, "org/metric"))
    assert "lacks das.safetensors" in line
    assert ".gitignore" in line


def test_a_record_that_does_not_pin_its_base_is_refused(hub: Hub, lora: Path, push: Any) -> None:
    record = json.loads((lora / CONFIG).read_text())
    record["base"]["revision"] = "main"
    (lora / CONFIG).write_text(json.dumps(record))
    assert "full commit" in error_in(push(lora, "org/metric"))
    assert hub.requests == []
