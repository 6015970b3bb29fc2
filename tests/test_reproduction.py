"""A small study end to end: what it leaves, what it does again, and what an interruption costs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import pytest

from descscore.cli.app import app
from descscore.datasets.described_images import read_described_images
from descscore.datasets.labelled_images import read_labelled_images
from descscore.errors import CheckpointNotFoundError, ImageError, RecipeError
from descscore.inputs import decode as decoding
from descscore_training.config import find_recipe, load_recipe
from descscore_training.export import exported_choice
from descscore_training.measure import measure_preference, measure_transfer
from descscore_training.study import reproduce as module
from descscore_training.study.evaluations import Evaluator
from descscore_training.study.plan import make_plan
from descscore_training.study.reproduce import Reproduction, reproduce
from descscore_training.study.study import Study, trainings
from tests.study_made import made_study

if TYPE_CHECKING:
    pass

COMMAND = "descscore reproduce study.toml --data data -o out"


class Made(NamedTuple):
    """A finished study."""

    data: Path
    out: Path
    study: Path


@pytest.fixture(scope="module")
def made(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    data = tmp_path_factory.mktemp("study")
    study = made_study(data, tiny_clip)
    out = data / "out"
    run(Made(data=data, out=out, study=study))
    return Made(data=data, out=out, study=study)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Made:
    """The finished study, where things may be broken."""
    shutil.copytree(made.out, tmp_path / "out")
    return made._replace(out=tmp_path / "out")


def run(made: Made, *overrides: str) -> Reproduction:
    study = load_recipe(Study, made.study, overrides)
    return reproduce(
        study, made.study, made.data, made.out, device="cpu", progress=False, command=COMMAND
    )


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("this was done already")


def results(made: Made) -> dict[str, Any]:
    return json.loads((made.out / "results.json").read_text())


# What it measures.


def test_every_run_is_measured_with_every_seed(made: Made) -> None:
    found = results(made)
    assert [(run["name"], run["objective"], run["tuning"]) for run in found["runs"]] == [
        ("behavioral-full", "behavioral", "full"),
        ("iit-das-lora", "iit-das", "LoRA"),
    ]
    for one in found["runs"]:
        assert [seed["seed"] for seed in one["seeds"]] == [0, 1]
        for seed in one["seeds"]:
            assert seed["error"] is None
            names = list(seed["evaluations"])
            lenses = ["norms random basis of 4", "norms basis of iit-das-lora"]
            read_through = lenses if one["objective"] == "behavioral" else []
            measured = ["concadia", "transfer colours", "human", "norms", "example"]
            assert names == measured + read_through
            assert [step["step"] for step in seed["steps"]] == [0, 2, 4]


def test_preference_and_transfer_are_those_that_the_metric_gives(made: Made) -> None:
    from descscore import DescriptionScore

    for one in results(made)["runs"]:
        for seed in one["seeds"]:
            best = made.out / "runs" / one["name"] / f"seed-{seed['seed']}" / "best"
            metric = DescriptionScore(best, scale="cosine", device="cpu")
            examples = read_described_images(made.data / "concadia", split="test").examples
            of_concadia = measure_preference(metric, examples)
            for name, share in of_concadia.items():
                assert seed["evaluations"]["concadia"][name] == share
            # What training watched at the kept step is of the same images.
            [kept] = [one for one in seed["steps"] if one["step"] == seed["choice"]["step"]]
            assert kept["watched"] == of_concadia["preference"]["share"]
            transfer = measure_transfer(metric, read_labelled_images(made.data / "classes"))
            assert seed["evaluations"]["transfer colours"] == transfer


def test_images_of_tests_are_decoded_once_for_all_checkpoints(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = decoding.decode

    def counted(image: Any) -> Any:
        if not isinstance(image, np.ndarray):
            read.append(image)
        return original(image)

    monkeypatch.setattr(decoding, "decode", counted)
    study = load_recipe(Study, made.study).model_copy(update={"human": None, "norms": None})
    [run, _] = results(made)["runs"]
    for seed in (0, 1):
        best = made.out / "runs" / run["name"] / f"seed-{seed}" / "best"
        evaluator = Evaluator(study=study, data=made.data, pixels=tmp_path / "p.npy", device="cpu")
        for name, found in evaluator.evaluate(best, tmp_path / str(seed)).items():
            assert found == run["seeds"][seed]["evaluations"][name]
    assert len(read) == 8 + 16


@pytest.mark.parametrize("broken", ["concadia/resized/0.png", "classes/red/0.png"])
def test_an_image_of_a_test_that_cannot_be_read_is_named(
    made: Made, tmp_path: Path, broken: str
) -> None:
    data = tmp_path / "data"
    for part in ("concadia", "classes"):
        shutil.copytree(made.data / part, data / part)
    (data / broken).write_bytes(b"no image")
    study = load_recipe(Study, made.study).model_copy(update={"human": None, "norms": None})
    evaluator = Evaluator(study=study, data=data, pixels=tmp_path / "p.npy", device="cpu")
    with pytest.raises(ImageError, match=r"image '.*0\.png' .*is not in an image format"):
        evaluator.evaluate(study.base, tmp_path / "base")


def test_the_step_that_is_measured_has_the_best_trade_off(made: Made) -> None:
    for one in results(made)["runs"]:
        for seed in one["seeds"]:
            scores = {
                step["step"]: 0.9 * step["preference"] + 0.1 * step["transfer score"]
                for step in seed["steps"][1:]
            }
            choice = seed["choice"]
            assert choice["trade_off"] == pytest.approx(max(scores.values()))
            assert scores[choice["step"]] == pytest.approx(max(scores.values()))
            best = made.out / "runs" / one["name"] / f"seed-{seed['seed']}" / "best"
            config = json.loads((best / "descscore_config.json").read_text())
            assert config["measured"]["validation"]["step"] == choice["step"]


def test_figure_3_shows_what_was_watched_over_all_steps(made: Made) -> None:
    report = (made.out / "report.md").read_text()
    for run in results(made)["runs"]:
        first, last = (
            np.mean([seed["steps"][place]["watched"] for seed in run["seeds"]]) for place in (0, -1)
        )
        said = f"accuracy on watched part, {run['name']}: from {first:.3f} at step 0 to {last:.3f}"
        assert said in report


def test_attributions_flow_through_a_subspace_only_where_there_is_one(made: Made) -> None:
    rows = [(one["run"], one["row"]) for one in results(made)["cells"] if one["table"] == 3]
    lenses = [
        (run, f"{part}, {lens}")
        for run in ("none", "behavioral-full")
        for lens in ("random basis of 4", "basis of iit-das-lora")
        for part in ("through", "around")
    ]
    own = [("iit-das-lora", part) for part in ("total", "through", "around")]
    totals = [("none", "total"), ("behavioral-full", "total")]
    assert set(rows) == {*lenses, *own, *totals}


def test_what_flows_through_and_around_any_basis_is_the_total(made: Made) -> None:
    from descscore import DescriptionScore
    from descscore.purpose.subspace import Site, random_basis
    from descscore_training.study.word_norms import Lens, _explain

    metric = DescriptionScore(load_recipe(Study, made.study).base, device="cpu")
    lens = Lens(name="random", site=Site(layer=1), basis=random_basis(32, 4, seed=0), identity="")
    texts = ["A red square with 3 dark spots", "The flag of 1903 celebrated"]
    images = [made.data / "images" / f"{i}.png" for i in range(2)]
    read = _explain(metric, [*images], texts, lens)
    for one, plain in zip(read, metric.explain([*images], texts), strict=True):
        words = one.of_words
        assert words.through is not None
        assert words.around is not None
        assert abs(words.through).max() > 0
        assert words.through + words.around == pytest.approx(words.total, abs=1e-5)
        assert words.total == pytest.approx(plain.of_words.total, abs=1e-5)


# What is done already is not done again.


def test_a_finished_study_trains_and_measures_nothing_again(
    copy: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (copy.out / "results.json").read_bytes()
    monkeypatch.setattr(module, "train", refuse)
    monkeypatch.setattr("descscore_training.study.evaluations.DescriptionScore", refuse)
    run(copy)
    assert (copy.out / "results.json").read_bytes() == before


def test_a_run_of_descscore_train_is_the_studys(made: Made, tmp_path: Path) -> None:
    study = load_recipe(Study, made.study)
    for training in trainings(study, made.study, tmp_path, made.data):
        if training.seed == 1:
            with pytest.raises(SystemExit) as exit_:
                app([*training.command, "--device", "cpu"], prog_name="descscore")
            assert not exit_.value.code
            choice = exported_choice(training.recipe, training.folder, training.checkpoint)
            assert choice is not None
            log = (training.folder / "metrics.jsonl").read_text().splitlines()
            ours = made.out / "runs" / training.run.name / "seed-1" / "metrics.jsonl"
            assert validations(log) == validations(ours.read_text().splitlines())


def validations(lines: list[str]) -> list[dict[str, Any]]:
    return [one for one in map(json.loads, lines) if one["kind"] == "validation"]


def test_what_is_lost_is_made_again_as_it_was(copy: Made) -> None:
    before = {name: (copy.out / name).read_bytes() for name in ("results.json", "report.html")}
    runs = copy.out / "runs"
    (runs / "iit-das-lora/seed-1/evaluation/human.json").unlink()
    (runs / "iit-das-lora/seed-1/evaluation/norms.json").write_text('{"k')
    shutil.rmtree(runs / "iit-das-lora/seed-0/best")
    shutil.rmtree(runs / "behavioral-full/seed-1")
    shutil.rmtree(copy.out / "base")
    (copy.out / "report.html").unlink()
    run(copy)
    assert {name: (copy.out / name).read_bytes() for name in before} == before


def test_new_data_are_measured_anew(copy: Made, tmp_path: Path) -> None:
    shutil.copytree(copy.data, tmp_path / "data", symlinks=True, ignore=lambda *_: ["out"])
    ratings = tmp_path / "data" / "ratings" / "blv_ratings.csv"
    ratings.write_text(ratings.read_text().replace("d5,", "d4,"))
    before = results(copy)["base"]["evaluations"]
    moved = Made(data=tmp_path / "data", out=copy.out, study=copy.study)
    after = run(moved).results["base"]["evaluations"]
    assert after["human"] != before["human"]
    assert after["concadia"] == before["concadia"]


def test_killed_at_any_time_it_ends_with_the_same_results(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(made.out / "base", out / "base")
    moments = [
        out / "runs" / "behavioral-full" / "seed-0" / "state.pt",
        out / "runs" / "iit-das-lora" / "seed-0" / "evaluation" / "concadia.json",
    ]
    for moment in moments:
        kill_when(moment, made._replace(out=out))
        assert not (out / "results.json").exists()
    run(made._replace(out=out))
    assert (out / "results.json").read_bytes() == (made.out / "results.json").read_bytes()


def test_trainings_side_by_side_end_with_the_same_results(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(made.out, out)
    for lost in ("behavioral-full/seed-1", "iit-das-lora/seed-0", "iit-das-lora/seed-1"):
        shutil.rmtree(out / "runs" / lost)
    lines: list[str] = []
    study = load_recipe(Study, made.study)
    reproduce(
        study,
        made.study,
        made.data,
        out,
        device="cpu",
        jobs=2,
        progress=False,
        say=lines.append,
        command=COMMAND,
    )
    assert "iit-das-lora, seed 0: trained" in lines
    assert (out / "results.json").read_bytes() == (made.out / "results.json").read_bytes()


def kill_when(exists: Path, made: Made) -> None:
    """Start the study as a command and kill it as soon as a file is there."""
    arguments = [str(made.study), "--data", str(made.data), "-o", str(made.out), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "descscore.cli", "reproduce", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 300
    while not exists.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


# What goes wrong.


def test_a_run_that_fails_does_not_lose_the_others(copy: Made) -> None:
    broken = '{name="broken", recipe="made.toml", overrides={optimiser.lr=1e30}}'
    whole = '{name="iit-das-lora", recipe="made.toml"}'
    done = run(copy, f"runs=[{broken}, {whole}]")
    assert list(done.failed) == ["broken, seed 0", "broken, seed 1"]
    assert "the loss at step" in done.failed["broken, seed 0"]
    [bad, good] = done.results["runs"]
    assert [seed["error"] for seed in good["seeds"]] == [None, None]
    assert all("the loss at step" in seed["error"] for seed in bad["seeds"])
    report = (copy.out / "report.md").read_text()
    assert "- broken, seed 1, failed: the loss at step" in report
    assert "| broken | iit-das | LoRA | 0 (2 failed) | - |" in report
    assert "NaN" not in (copy.out / "results.json").read_text()


def test_all_that_is_missing_is_said_at_once(made: Made, tmp_path: Path) -> None:
    study = load_recipe(Study, made.study)
    (tmp_path / "classes").mkdir()
    with pytest.raises(RecipeError) as error:
        reproduce(study, made.study, tmp_path / "none", tmp_path / "out", device="cpu")
    message = str(error.value)
    assert f"{tmp_path / 'none' / 'classes'}, from https://example.org/classes" in message
    for path in ("pairs.csv", "concadia", "ratings/descriptions.csv", "concreteness.csv"):
        assert str(tmp_path / "none" / path) in message
    assert not (tmp_path / "out").exists()


def test_a_missing_base_is_said_with_the_missing_data(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(_: object) -> NoReturn:
        raise CheckpointNotFoundError("it cannot be reached; download it first")

    monkeypatch.setattr("descscore_training.study.plan.find_base", offline)
    study = load_recipe(Study, made.study, ["concadia.path=nowhere"])
    with pytest.raises(RecipeError, match=r"\(1\) .*nowhere.*\(\d\) the base .*download it first"):
        reproduce(study, made.study, made.data, tmp_path / "out", device="cpu")


def test_a_study_without_transfer_says_so_and_draws_no_trade_off(copy: Made) -> None:
    shutil.rmtree(copy.out / "figures")
    run(copy, "overrides.transfer=[]", "transfer=[]", "seeds=[7]")
    report = (copy.out / "report.md").read_text()
    assert "iit-das-lora was trained without transfer tasks" in report
    assert "the study has no [[transfer]], so it does not report transfer" in report
    drawn = {path.name for path in (copy.out / "figures").iterdir()}
    assert drawn == {"words.svg", "steps.svg", "parts.svg"}
    assert "nan" not in report


def test_a_correlation_that_is_not_defined_says_why(made: Made) -> None:
    report = (made.out / "report.md").read_text()
    # Every description's answers to that question have one mean.
    assert "table 2, none, BLV, irrelevance and 3 more: all 6 ratings are 1.5" in report


# The report.


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_stands_alone_and_can_be_read_without_seeing_it(made: Made) -> None:
    page = Page((made.out / "report.html").read_text())
    assert not page.of("script")
    assert not page.of("link")
    for image in page.of("img"):
        assert (image["src"] or "").startswith("data:image/svg+xml;base64,")
        assert "iit-das-lora" in (image["alt"] or "")
    assert len(page.of("img")) == 4
    assert len(page.of("caption")) == len(page.of("table")) == 4
    assert {head.get("scope") for head in page.of("th")} == {"col", "row"}
    assert page.of("html") == [{"lang": "en"}]
    assert not page.of("b")
    assert "| and <b> are no markup" in page.text


def test_the_papers_row_is_under_each_row(made: Made) -> None:
    lines = (made.out / "report.md").read_text().splitlines()
    [row] = [i for i, line in enumerate(lines) if line.startswith("| iit-das-lora | iit-das |")]
    assert lines[row + 1].startswith("| paper, Table 1 | iit-das | LoRA | 5 | 86.6 ± 0.84 | - | -")
    assert COMMAND in lines


# The command.


def command(made: Made, *options: str) -> list[str]:
    arguments = [str(made.study), "--data", str(made.data), "-o", str(made.out), "--device", "cpu"]
    return ["reproduce", *arguments, *options]


def test_json_on_stdout_is_the_results(copy: Made, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        app(command(copy, "--json"), prog_name="descscore")
    assert not exit_.value.code
    assert json.loads(capsys.readouterr().out) == results(copy)


def test_a_failed_run_is_exit_code_1(copy: Made, capsys: pytest.CaptureFixture[str]) -> None:
    broken = 'runs=[{name="broken", recipe="made.toml", overrides={optimiser.lr=1e30}}]'
    with pytest.raises(SystemExit) as exit_:
        app(command(copy, "--set", broken, "--set", "seeds=[0]"), prog_name="descscore")
    assert exit_.value.code == 1
    assert "Note: broken, seed 0 failed: the loss at step" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    copy: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", interrupt)
    with pytest.raises(SystemExit) as exit_:
        app(command(copy, "--set", "seeds=[0, 9]"), prog_name="descscore")
    assert exit_.value.code == 130
    assert "repeat the command to resume" in capsys.readouterr().err


def test_the_plan_says_what_is_done_and_what_is_left(made: Made) -> None:
    study = load_recipe(Study, made.study, ["seeds=[0, 1, 5]"])
    plan = make_plan(study, made.study, made.data, made.out)
    assert plan.ready
    for planned in plan.runs:
        assert (planned.done, planned.left) == ((0, 1), (5,))
        # 16 pairs in batches of 4, evaluated at 0, 2 and 4.
        assert (planned.steps, planned.evaluations) == (4, 3)
        assert planned.known_from == "trainings here"
    assert plan.training_seconds == sum(planned.seconds or 0 for planned in plan.runs)
    assert not (made.out / "runs" / "iit-das-lora" / "seed-5").exists()


def test_the_plan_of_the_paper_counts_its_steps_without_any_data(tmp_path: Path) -> None:
    path = find_recipe("paper", "reproduce")
    plan = make_plan(load_recipe(Study, path), path, tmp_path, tmp_path / "out")
    steps = {planned.name: planned.steps for planned in plan.runs}
    assert steps["iit-das-lora"] == 83_334
    assert steps["behavioral-full"] == 64_612
    hours = {planned.name: (planned.seconds or 0) / 3600 for planned in plan.runs}
    assert hours["iit-das-full"] == pytest.approx(6, rel=0.05)  # as the paper reports
    assert hours["behavioral-full"] == pytest.approx(3, rel=0.05)


def test_a_plan_of_what_is_missing_names_it(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        app(command(made._replace(data=tmp_path), "--plan"), prog_name="descscore")
    assert not exit_.value.code
    told = capsys.readouterr().err
    assert "MISSING  classes" in told
    assert "from https://example.org/classes" in told
    assert "Training what is left takes about 0 s" in told
