"""Small and full-size CLIPs made here, and the folder with evaluation data."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import shape_checks
from tests.browsing import axe, browser, node_modules, visit

__all__ = ["axe", "browser", "node_modules", "visit"]

# Tests run side by side, and more threads than cores would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts them in the background has them ignore Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

shape_checks.install()

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("DESCSCORE_TEST_DATA") or ROOT.parent / "shared" / "data")


def pytest_configure(config: pytest.Config) -> None:
    # It comes once per process, at whichever test first needs the shipped checkpoint.
    config.addinivalue_line("filterwarnings", "ignore:the checkpoint 'mini' is:UserWarning")


@pytest.fixture(autouse=True)
def default_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the setting of whoever runs the tests out of them."""
    monkeypatch.delenv("DESCSCORE_CHECKPOINT", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with evaluation data, which is not part of the repository."""
    if not DATA.is_dir():
        pytest.skip(f"no evaluation data in {DATA}; set DESCSCORE_TEST_DATA to their folder")
    return DATA


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with random weights: images of 32 pixels, two blocks of width 32, window 77."""
    from tests.small_clip import save_tiny_clip

    return save_tiny_clip(tmp_path_factory.mktemp("tiny_clip"))


@pytest.fixture(scope="session")
def vit_b32_legacy(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ViT-B/32 with random weights, OpenAI's configuration, tokeniser and image processor.

    Its `eos_token_id` is the legacy 2, with which transformers pools at the largest id.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel

    source = shared_data / "clip-vit-base-patch32"
    folder = tmp_path_factory.mktemp("vit_b32") / "legacy"
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig.from_pretrained(source))
    model.save_pretrained(folder)
    # What is saved must be OpenAI's configuration to the letter, not what transformers makes of it.
    shutil.copyfile(source / "config.json", folder / "config.json")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def vit_b32_eos(vit_b32_legacy: Path) -> Iterator[Path]:
    """The same ViT-B/32 with the real `eos_token_id`, at which transformers then pools."""
    folder = vit_b32_legacy.with_name("eos")
    folder.mkdir()
    for file in vit_b32_legacy.iterdir():
        os.link(file, folder / file.name)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 49407
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", params=["legacy", "eos"])
def vit_b32(request: pytest.FixtureRequest) -> Path:
    """A random ViT-B/32, once with the legacy `eos_token_id` and once with the real one."""
    return request.getfixturevalue(f"vit_b32_{request.param}")
