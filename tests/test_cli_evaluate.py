"""`descscore evaluate` and `descscore compare`: what they print where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.text import Text

from descscore.cli.tables import print_table
from tests.command_line import command_line


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    return command_line(capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two class folders with an image each, and a table of both images with two texts."""
    lines = ["image,description,caption,text"]
    for i, name in enumerate(["cat", "old_clock"]):
        (tmp_path / "images" / name).mkdir(parents=True)
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name / "0.png")
        lines.append(f"images/{name}/0.png,a photo of a {name},in 19{i},text {i}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_preference_prints_every_share_with_its_interval(run: Any, folder: Path, tiny_clip: Path):
    code, out, err = run("evaluate", "preference", folder / "pairs.csv", "--checkpoint", tiny_clip)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    for name in ("description over caption", "own description over", "own caption over"):
        [line] = [line for line in lines if line.startswith(name)]
        assert line.count(".") == 3  # the share and both ends of its interval
    assert any("no such image" in line for line in lines)
    assert lines[-1].startswith("descscore:")
    code, out, _ = run(
        "evaluate", "preference", folder / "pairs.csv", "--checkpoint", tiny_clip, "--json"
    )
    found = json.loads(out)
    assert found["preference"]["n"] == 2
    assert found["description_shorter"] is None
    assert found["signature"] == lines[-1]


def test_tables_in_a_pipe_are_as_wide_as_they_need_to_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "40")
    cells = "a" * 100, "b c" * 100
    print_table("title", ["long", "longer"], [cells, ("short", "")])
    title, head, row, short, end = capsys.readouterr().out.splitlines()
    assert (title, end) == ("title", "")
    assert head.split() == ["long", "longer"]
    assert row == "  ".join(cells)
    assert short == "short"  # without the spaces that fill the column


def test_tables_in_a_terminal_keep_to_its_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_table("title", ["long", "longer"], [("a" * 100, "b")])
    shown = Text.from_ansi(capsys.readouterr().out).plain
    assert max(map(len, shown.splitlines())) <= 40


def test_preference_on_concadia_names_the_published_numbers(
    run: Any, folder: Path, tiny_clip: Path
):
    (folder / "resized").mkdir()
    (folder / "images" / "cat" / "0.png").rename(folder / "resized" / "1.png")
    entry = {
        "filename": "1.png",
        "description": {"raw": "A boat."},
        "caption": {"raw": "Regatta"},
        "split": "val",
    }
    (folder / "wiki_split.json").write_text(json.dumps({"images": [entry]}))
    _, out, _ = run("evaluate", "preference", folder, "--checkpoint", tiny_clip)
    assert "needs two images" in out
    published = next(line for line in out.splitlines() if line.startswith("published"))
    assert "Zur et al. 2024, Table 1" in published
    assert "CLIP ViT-B/32 49.4;" in published
    assert "iit-das, LoRA 86.6 ± 0.84" in published


def test_transfer_prints_figures_and_says_what_was_left_out(
    run: Any, folder: Path, tiny_clip: Path
):
    (folder / "images" / "cat" / "1.png").write_bytes(b"no image")
    (folder / "names.txt").write_text("cat\nold_clock\nship\n")
    code, out, err = run(
        *("evaluate", "transfer", folder / "images", "--checkpoint", tiny_clip),
        *("--class-names", folder / "names.txt"),
    )
    assert code == 0
    assert "1 image skipped: cat/1.png" in err
    assert "1 of 3 classes have no images (ship)" in err
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["macro-F1", "accuracy", "mean"]
    assert "prompt: An image of {label}" in out
    code, out, _ = run(
        "evaluate", "transfer", folder / "images", "--checkpoint", tiny_clip, "--json", "-q"
    )
    found = json.loads(out)
    assert found["transfer"]["n"] == 2
    assert [result["name"] for result in found["per_class"]] == ["cat", "old clock"]


def test_transfer_names_the_published_f1_of_a_data_set_of_the_paper(
    run: Any, folder: Path, tiny_clip: Path
):
    (folder / "images" / "old_clock").rename(folder / "images" / "clock")
    (folder / "images" / "cat").rename(folder / "images" / "cattle")
    _, out, _ = run(
        *("evaluate", "transfer", folder / "images", "--checkpoint", tiny_clip),
        *("--class-names", "cifar100"),
    )
    published = next(line for line in out.splitlines() if line.startswith("published"))
    assert "cifar100" in published
    assert "CLIP ViT-B/32 61.5;" in published


def test_compare_prints_the_difference_and_what_changed(run: Any, tmp_path: Path):
    rows = [f"{i}.png,text {i}" for i in range(4)]
    for name, scores in {"a": [0.1, 0.2, 0.3, ""], "b": [0.2, 0.2, 0.1, 0.5]}.items():
        lines = [f"{row},{score}" for row, score in zip(rows, scores, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,text,score", *lines]) + "\n")
    code, out, err = run("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--top", 1)
    assert code == 0
    assert "1 item skipped: row 4 (3.png): has no score in A" in err
    assert "-0.0333" in out
    assert "B higher (1 lower, 1 tied)" in out
    assert "row 1 (0.png): text 0" in out
    assert "row 3 (2.png): text 2" in out
    _, out, _ = run("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--json", "-q")
    assert json.loads(out)["difference"]["value"] == pytest.approx(-0.1 / 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "transfer"], "as DATA or as --hub-dataset"),
        (["evaluate", "transfer", "a", "--hub-dataset", "b"], "one of the two"),
        (["evaluate", "transfer", "nowhere"], "nowhere is neither a folder nor a whole zip file"),
        (["evaluate", "preference", "nowhere.csv"], "there is no file nowhere.csv"),
        (["compare", "a.csv", "b.csv"], "there is no file a.csv"),
    ],
)
def test_what_is_wrong_is_one_line(run: Any, arguments: list[str], message: str):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_evaluate_without_a_command_shows_its_help(run: Any):
    code, out, _ = run("evaluate")
    assert code == 2
    assert "preference" in out
    assert "transfer" in out
