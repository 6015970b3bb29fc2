"""`descscore train`: what it leaves, what it prints where, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NoReturn

import pytest

import descscore.training
from descscore.cli.app import app
from tests import recipe_keys
from tests.command_line import Done, command_line
from tests.training_made import made_data

RECIPE = """
base = "{base}"
objective = {{ kind = "iit-das", layer = 1, dimension = 4 }}
tuning = {{ kind = "lora", rank = 2 }}
optimiser = {{ lr = 5e-3 }}
duration = {{ epochs = 0.5, evaluate_every = 1 }}
[[sources]]
name = "pairs"
path = "pairs.csv"
images = "images"
batch = 4
[[transfer]]
name = "classes"
path = "classes"
[[measure]]
name = "colours"
path = "classes"
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return command_line(capsys, "train")


@pytest.fixture(scope="module")
def files(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe beside its data, whose two steps were taken in `run/`."""
    folder = made_data(tmp_path_factory.mktemp("data"))
    (folder / "recipe.toml").write_text(RECIPE.format(base=tiny_clip.as_posix()))
    with pytest.raises(SystemExit) as exit_:
        app(["train", *map(str, of(folder))], prog_name="descscore")
    assert not exit_.value.code
    return folder


def of(files: Path, out: Path | None = None) -> list[object]:
    """The arguments with which `run/` was trained, or with another folder for the run."""
    settings = ["--device", "cpu", "--set", "seed=3"]
    return [files / "recipe.toml", "--data", files, "-o", out or files / "run", *settings]


@pytest.fixture
def trained(files: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    shutil.copytree(files / "run", tmp_path / "run")
    return tmp_path / "run"


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("this was not to be called")


def in_place_of_training(monkeypatch: pytest.MonkeyPatch, behave: Any) -> None:
    monkeypatch.setattr("descscore_training.trainer.train", behave)


def in_place_of_exporting(monkeypatch: pytest.MonkeyPatch, behave: Any) -> None:
    monkeypatch.setattr("descscore_training.export.export_checkpoint", behave)


def test_the_checkpoint_is_one_that_scores(files: Path) -> None:
    from descscore import DescriptionScore

    metric = DescriptionScore(files / "run" / "best", device="cpu")
    result = metric(files / "images" / "1.png", ["A green square.", "Lagos celebrated."])
    assert result.purpose is not None
    assert ((result.purpose > 0) & (result.purpose < 1)).all()
    config = json.loads((files / "run" / "best" / "descscore_config.json").read_text())
    assert (config["seed"], config["recipe"]["objective"]["dimension"]) == (3, 4)


def test_a_finished_run_is_not_trained_or_exported_again(
    run: Any, files: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place_of_training(monkeypatch, refuse)
    in_place_of_exporting(monkeypatch, refuse)
    done = run(*of(files, trained))
    assert done.code == 0
    assert done.out == f'DescriptionScore("{trained.as_posix()}/best")\n'


def test_the_table_on_stderr_has_the_base_beside_the_chosen_step(
    run: Any, files: Path, trained: Path
) -> None:
    log = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    seen = {record["step"]: record for record in log if record["kind"] == "validation"}
    config = json.loads((trained / "best" / "descscore_config.json").read_text())
    chosen = seen[config["measured"]["validation"]["step"]]
    table = run(*of(files, trained)).err
    assert re.search(rf"^ +base +step {chosen['step']}", table, re.MULTILINE)
    for name in ("preference", "relevance"):
        row = rf"^validation: {name} +{seen[0][name]:.3f} +{chosen[name]:.3f} *$"
        assert re.search(row, table, re.MULTILINE), row
    recovery = chosen["f1"]["classes"] / seen[0]["f1"]["classes"]
    assert re.search(rf"^validation: transfer score +{recovery:.3f} *$", table, re.MULTILINE)
    assert re.search(r"^validation: probe accuracy +[01]\.\d{3} *$", table, re.MULTILINE)
    before, after = (config[name]["colours"]["macro_f1"] for name in ("measured_base", "measured"))
    row = rf"^colours: macro_f1 +{before:.3f} +{after:.3f} *$"
    assert re.search(row, table, re.MULTILINE), row


def test_a_run_that_prefers_no_more_than_the_base_says_so(
    run: Any, files: Path, trained: Path
) -> None:
    config = trained / "best" / "descscore_config.json"
    before = config.read_text()
    changed = json.loads(before)
    try:
        for of_base, noted in ((0.0, False), (1.0, True)):
            changed["measured_base"]["validation"]["preference"] = of_base
            config.write_text(json.dumps(changed))
            said = "Note: no step prefers descriptions more than the base does"
            assert (said in run(*of(files, trained)).err) == noted
    finally:
        config.write_text(before)


def test_json_on_stdout_is_what_was_chosen_and_measured(
    run: Any, files: Path, trained: Path
) -> None:
    done = run(*of(files, trained), "--json")
    printed = json.loads(done.out)
    config = json.loads((trained / "best" / "descscore_config.json").read_text())
    assert printed["checkpoint"] == str(trained / "best")
    assert printed["choice"]["step"] == config["measured"]["validation"]["step"]
    assert printed["measured"] == config["measured"]
    assert printed["measured_base"] == config["measured_base"]
    assert done.err == ""


@pytest.mark.parametrize("damage", ["removed", "cut", "unmeasured"])
def test_a_checkpoint_that_is_not_whole_is_exported_again_without_training(
    run: Any, files: Path, trained: Path, damage: str
) -> None:
    best, log = trained / "best", (trained / "metrics.jsonl").read_bytes()
    whole = (best / "adapter_model.safetensors").read_bytes()
    if damage == "removed":
        shutil.rmtree(best)
    elif damage == "cut":
        (best / "adapter_model.safetensors").write_bytes(whole[:-10])
    else:
        config = json.loads((best / "descscore_config.json").read_text())
        del config["measured_base"]
        (best / "descscore_config.json").write_text(json.dumps(config))
    assert run(*of(files, trained)).code == 0
    assert (best / "adapter_model.safetensors").read_bytes() == whole
    assert "measured_base" in json.loads((best / "descscore_config.json").read_text())
    assert (trained / "metrics.jsonl").read_bytes() == log


def test_the_checkpoint_goes_where_it_is_told(run: Any, files: Path, trained: Path) -> None:
    folder = trained.parent / "tiny-das"
    shutil.rmtree(trained / "best")
    done = run(*of(files, trained), "--checkpoint", folder)
    assert done.out == f'DescriptionScore("{folder.as_posix()}")\n'
    assert (folder / "das.safetensors").is_file()
    assert "# tiny-das\n" in (folder / "README.md").read_text()
    assert not (trained / "best").exists()


def test_a_folder_with_another_recipe_is_refused(run: Any, files: Path, trained: Path) -> None:
    done = run(*of(files, trained), "--set", "optimiser.lr=1e-4")
    assert done.code == 2
    assert re.fullmatch(r"Error: .* contains a run of another recipe.*\n", done.err)


def test_ctrl_c_says_how_to_go_on(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    in_place_of_training(monkeypatch, interrupt)
    said = "Error: interrupted; repeat the command to"
    done = run(*of(files, tmp_path / "new"))
    again = "start again, since nothing is saved before the first evaluation"
    assert done == Done(130, "", f"{said} {again}\n")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "state.pt").write_bytes(b"")
    done = run(*of(files, tmp_path / "new"))
    assert done == Done(130, "", f"{said} resume from the last evaluation\n")


def test_a_checkpoint_that_could_not_be_written_is_refused_before_training(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place_of_training(monkeypatch, refuse)
    (tmp_path / "file").write_text("")
    done = run(*of(files, tmp_path / "new"), "--checkpoint", tmp_path / "file" / "best")
    assert done.code == 2
    assert "file cannot be written to" in done.err


def test_too_little_memory_is_one_line_with_the_remedy(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflow(*_: object, **__: object) -> None:
        raise MemoryError

    in_place_of_training(monkeypatch, overflow)
    done = run(*of(files, tmp_path / "new"))
    assert done.code == 2
    assert re.fullmatch(r"Error: out of memory; raise duration.accumulate .*\n", done.err)


def test_data_that_are_missing_at_the_end_are_missed_at_the_start(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place_of_training(monkeypatch, refuse)
    measure = '--set=measure=[{name="concadia test", path="concadia"}]'
    transfer = '--set=transfer=[{name="birds", path="more"}]'
    done = run(*of(files, tmp_path / "new"), measure, transfer)
    assert done.code == 2
    assert (
        "lacks more (transfer 'birds'), concadia (measure 'concadia test'); put it there, or do "
        "without what is only watched and measured: set transfer = [] and measure = []\n"
    ) in done.err
    assert not (tmp_path / "new").exists()


def test_only_the_first_of_several_processes_exports_and_prints(
    run: Any, files: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from descscore_training.choice import choose, read_log

    choice = choose(read_log(trained / "metrics.jsonl"))
    shutil.rmtree(trained / "best")
    in_place_of_training(monkeypatch, lambda *_, **__: choice)
    in_place_of_exporting(monkeypatch, refuse)
    monkeypatch.setenv("RANK", "1")
    assert run(*of(files, trained)) == Done(0, "", "")


def test_trackers_reach_the_trainer(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    def keep(*_: object, **options: Any) -> None:
        given.append(options)
        raise KeyboardInterrupt

    in_place_of_training(monkeypatch, keep)
    run(*of(files, tmp_path / "new"), "--track", "tensorboard", "--track", "wandb")
    assert given == [{"device": "cpu", "trackers": ("tensorboard", "wandb")}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "tpu"], "'--device'"),
        (["--set", "objective.dimensions=8"], "did you mean 'dimension'?"),
        (["--set", "seed"], "does not have the form key=value"),
        (["--set", "transfer=[{name='x', path='nowhere'}]"], "lacks nowhere (transfer 'x')"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    run: Any, files: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    done = run(*of(files, tmp_path / "new"), *options)
    assert done.code == 2
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1
    assert message in lines[0]


def test_the_commands_are_there_as_a_module_too() -> None:
    # `accelerate launch -m descscore.cli` starts it so.
    done = subprocess.run(
        [sys.executable, "-m", "descscore.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("descscore ")


# The façade and the page about training.


def test_training_has_these_names_in_python() -> None:
    assert descscore.training.__all__ == [
        "FinetuneRecipe",
        "PretrainRecipe",
        "Study",
        "export_checkpoint",
        "find_recipe",
        "load_recipe",
        "prepare",
        "pretrain",
        "reproduce",
        "sweep",
        "train",
    ]
    assert all(callable(getattr(descscore.training, name)) for name in descscore.training.__all__)
    page = (recipe_keys.PAGE.parent / "api.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: descscore\.training\.(\w+)$", page, re.MULTILINE)
    assert sorted(shown) == descscore.training.__all__


def test_the_pages_tables_explain_every_key_of_a_recipe() -> None:
    page = recipe_keys.PAGE.read_text(encoding="utf-8")
    for name in recipe_keys.parts():
        assert f"<!-- keys of {name} -->" in page
    assert recipe_keys.with_tables(page) == page, "run `python -m tests.recipe_keys`"


def test_the_pages_recipe_is_one() -> None:
    from descscore_training.config import build_recipe
    from descscore_training.finetune_recipe import FinetuneRecipe

    page = recipe_keys.PAGE.read_text(encoding="utf-8")
    recipes = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [build_recipe(FinetuneRecipe, tomllib.loads(text)).base for text in recipes] == [
        "openai/clip-vit-base-patch32"
    ]
