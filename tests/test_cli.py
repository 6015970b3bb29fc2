"""The command line: what it writes where, how it fails, and that it starts without torch."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image

from descscore.checkpoints import store
from descscore.checkpoints import store as store_module
from descscore.cli.console import print_note
from descscore.errors import ImageError
from descscore.inputs.decode import decode
from descscore.results import Scores
from descscore.tables.selection import with_folder
from tests import cli_options
from tests.command_line import Done, command_line
from tests.fake_metric import FakeMetric
from tests.test_decode import png_that_claims

TEXTS = ["a dog", "two cats on a sofa", "an old clock, " * 40, "none"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    return command_line(capsys)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A table with two images and four texts, one of which is longer than the window."""
    for name, seed in {"a.png": 0, "b.png": 1}.items():
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text"])
        writer.writerows([("ab"[i % 2] + ".png", text) for i, text in enumerate(TEXTS)])
    return path


def add(pairs: Path, *lines: str) -> None:
    pairs.write_text(pairs.read_text() + "".join(f"{line}\n" for line in lines))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Puts a metric without a model in place of the real one; the options it was made with."""
    made: list[dict[str, Any]] = []

    class Recorded(FakeMetric):
        def __init__(self, checkpoint: str | None, **options: Any) -> None:
            super().__init__()
            made.append({"checkpoint": checkpoint, **options})

    monkeypatch.setattr("descscore.metric.DescriptionScore", Recorded)
    return made


# Scoring with a real model.


def test_scores_are_those_of_python(run: Any, pairs: Path, tiny_clip: Path) -> None:
    from descscore.metric import DescriptionScore

    out = pairs.with_name("out.jsonl")
    options = ("--checkpoint", tiny_clip, "--scale", "cosine")
    assert run("score", pairs, "-o", out, *options).code == 0
    images = [pairs.with_name("ab"[i % 2] + ".png") for i in range(len(TEXTS))]
    expected = DescriptionScore(tiny_clip, scale="cosine")(images, TEXTS)
    rows = read_jsonl(out)
    np.testing.assert_allclose([row["score"] for row in rows], expected.scores, atol=1e-6)
    assert len(set(expected.scores)) == len(TEXTS)
    assert [row["truncated"] for row in rows] == expected.truncated.tolist()
    assert expected.truncated.tolist() == [False, False, True, False]


def test_an_interrupted_run_ends_byte_for_byte_as_an_uninterrupted_one(
    tmp_path: Path, tiny_clip: Path
) -> None:
    # Images come again in later chunks, in other company: their last digits must not show it.
    from descscore.metric import DescriptionScore
    from descscore.tables.scoring import score_table

    random = np.random.default_rng(0)
    for i in range(20):
        pixels = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    lines = [f"{random.integers(20)}.png,{i} {'word ' * (i % 9)}" for i in range(200)]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n".join(["image,text", *lines]))

    def load() -> DescriptionScore:
        return DescriptionScore(tiny_clip, scale="cosine", on_error="record", batch_size=8)

    def stop(done: int, total: int) -> None:
        if done >= 96:
            raise KeyboardInterrupt

    score_table(load, pairs, tmp_path / "whole.csv", chunk=16)
    with pytest.raises(KeyboardInterrupt):
        score_table(load, pairs, tmp_path / "parts.csv", chunk=16, progress=stop)
    score_table(load, pairs, tmp_path / "parts.csv", chunk=16, resume=True)
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_killed_command_is_resumed(run: Any, pairs: Path, tiny_clip: Path) -> None:
    add(pairs, *(f"a.png,text {i}" for i in range(3000)))
    whole, parts = pairs.with_name("whole.csv"), pairs.with_name("parts.csv")
    command = [sys.executable, "-c", "from descscore.cli.app import main; main()", "score"]
    options = ["--checkpoint", str(tiny_clip), "--scale", "cosine", "-o"]
    with subprocess.Popen([*command, str(pairs), *options, str(parts)]) as process:
        while process.poll() is None and len(list(pairs.parent.glob("parts.csv.parts/p*"))) < 1:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert run("score", pairs, *options, parts, "--resume").code == 0
    assert run("score", pairs, *options, whole).code == 0
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("fake")
def test_shards_are_scored_by_workers_and_joined(run: Any, pairs: Path) -> None:
    add(pairs, *(f"a.png,text {i}" for i in range(3000)))
    whole, joined, out = (pairs.with_name(name) for name in ("whole.csv", "joined.csv", "out"))
    assert run("score", pairs, "-o", whole).code == 0
    shards = ("score", pairs, "-o", out, "--shards", "--shard-rows", 1024)
    done = run(*shards, "--shard", "1/2", "--json")
    assert json.loads(done.out)["n"] == 1024
    done = run("score", pairs, "-o", out, "--join", joined)
    assert done.code == 2
    assert "2 of 3 shards" in done.err
    assert run(*shards, "--shard", "2/2").code == 0
    assert run("score", pairs, "-o", out, "--join", joined).code == 0
    assert joined.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shards", "--resume"], "omit --resume and --overwrite"),
        (["--shard", "x"], "shard is 'x'; give a worker and their number, such as 3/16"),
        (["--shard", "5/4"], "shard 5/4 is not one of 4"),
        (["--shards", "--shard-rows", "1000"], "1,000 rows, which is not a multiple of 1,024"),
    ],
)
def test_shards_that_cannot_be_are_refused(
    run: Any, pairs: Path, options: list[str], message: str
) -> None:
    done = run("score", pairs, "-o", pairs.with_name("out"), *options)
    assert done.code == 2
    assert message in done.err


@pytest.mark.usefixtures("fake")
def test_several_tables_need_shards(run: Any, pairs: Path) -> None:
    done = run("score", pairs, pairs, "-o", pairs.with_name("out.csv"))
    assert done.code == 2
    assert "2 tables are given; score several with --shards -o DIR" in done.err


# What goes where.


@pytest.mark.usefixtures("fake")
def test_the_summary_goes_to_stderr_and_stdout_stays_empty(run: Any, pairs: Path) -> None:
    done = run("score", pairs, "-o", pairs.with_name("out.csv"))
    assert done.code == 0
    assert done.out == ""
    for line in (r"^rows +4 *$", r"^mean +\d\.\d{4}", r"^failed +0", r"^fake$"):
        assert re.search(line, done.err, re.MULTILINE), line


@pytest.mark.usefixtures("fake")
def test_json_puts_the_summary_on_stdout(run: Any, pairs: Path) -> None:
    add(pairs, "missing.png,a")
    out = pairs.with_name("out.jsonl")
    done = run("score", pairs, "-o", out, "--json")
    scores = [row["score"] for row in read_jsonl(out)[:4]]
    assert done.err == ""
    assert json.loads(done.out) == {
        "output": str(out),
        "n": 5,
        "scored": 4,
        "mean": pytest.approx(np.mean(scores)),
        "std": pytest.approx(np.std(scores, ddof=1)),
        "min": min(scores),
        "max": max(scores),
        "mean_ref_score": None,
        "mean_purpose": None,
        "truncated": 0,
        "failed": 1,
        "first_error": "image ('missing.png') does not exist; check the path",
        "signature": "fake",
    }


@pytest.mark.usefixtures("fake")
def test_quiet_says_nothing(run: Any, pairs: Path) -> None:
    assert run("score", pairs, "-o", pairs.with_name("out.csv"), "-q") == Done(0, "", "")


@pytest.mark.usefixtures("fake")
def test_warnings_become_notes(run: Any, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = FakeMetric.__call__

    def warned(metric: FakeMetric, images: list[str], texts: list[str]) -> Scores:
        warnings.warn("a\ncatch", stacklevel=1)
        return scored(metric, images, texts)

    monkeypatch.setattr(FakeMetric, "__call__", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        noted = run("score", pairs, "-o", pairs.with_name("1.csv"))
        silent = run("score", pairs, "-o", pairs.with_name("2.csv"), "--quiet")
    assert noted.err.startswith("Note: a catch\n")
    assert silent.err == ""


def test_the_note_on_mini_names_a_full_size_clip_and_no_python(
    run: Any, pairs: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store.SHIPPED, "mini", tiny_clip)
    monkeypatch.setattr(store_module, "_warned_of_mini", False)
    with warnings.catch_warnings(action="always"):
        note, *_ = run("score", pairs, "-o", pairs.with_name("out.csv")).err.splitlines()
    assert "such as 'openai/clip-vit-base-patch32'" in note
    assert not re.search(r"DescriptionScore|\w=", note)


def test_an_image_too_large_is_named_once(run: Any, pairs: Path, tiny_clip: Path) -> None:
    pairs.with_name("big.png").write_bytes(png_that_claims(10_000, 10_000))
    add(pairs, "big.png,a wall")
    with warnings.catch_warnings(action="always"):
        done = run("score", pairs, "-o", pairs.with_name("out.csv"), "--checkpoint", tiny_clip)
    assert done.code == 1
    assert "Note:" not in done.err
    assert "big.png') has 10000 x 10000 pixels" in " ".join(done.err.split())


# Exit codes.


@pytest.mark.usefixtures("fake")
def test_some_failed_rows_exit_with_1(run: Any, pairs: Path) -> None:
    add(pairs, "missing.png,a")
    done = run("score", pairs, "-o", pairs.with_name("out.csv"))
    assert done.code == 1
    assert "1, the first: image ('missing.png') does not exist" in " ".join(done.err.split())


def test_of_an_absolute_path_no_other_folder_is_advised(tmp_path: Path) -> None:
    error = f"image ({str(tmp_path / 'a.png')!r}) does not exist; check the path"
    assert with_folder(error, tmp_path) == error


def test_of_a_name_like_another_no_other_folder_is_advised(tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301.png").touch()
    with pytest.raises(ImageError) as found:
        decode(tmp_path / "caf\u00e9.png")
    relative = str(found.value).replace(str(tmp_path / "caf\u00e9.png"), "caf\u00e9.png")
    assert relative.endswith(" in its Unicode form")
    assert with_folder(f"image {relative}", tmp_path) == f"image {relative}"


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("given", [(), ("-q",), ("--images", "elsewhere")])
def test_nothing_scored_exits_with_2_and_says_why_once(
    run: Any, pairs: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    monkeypatch.chdir(pairs.parent)
    Path("elsewhere").mkdir()
    pairs.write_text("image,text\nmissing.png,a\nmissing.png,b\n")
    done = run("score", "pairs.csv", "-o", "out.csv", *given)
    assert done.code == 2
    folder = Path("elsewhere" if "--images" in given else ".").resolve()
    assert done.err == (
        "Error: nothing was scored: all 2 rows failed, the first: image ('missing.png') does not "
        f"exist; images are looked for in the folder {folder}: name another with --images\n"
    )


@pytest.mark.usefixtures("fake")
def test_nothing_scored_for_other_reasons_names_no_folder(run: Any, pairs: Path) -> None:
    pairs.write_text("image,text\na.png,bad\n")
    done = run("score", pairs, "-o", pairs.with_name("out.csv"))
    assert done.err.endswith("the first: text is bad; give a good one\n")


@pytest.mark.usefixtures("fake")
def test_the_right_command_follows_one_that_scored_nothing(run: Any, pairs: Path) -> None:
    out = pairs.with_name("out.csv")
    content = pairs.read_text()
    pairs.write_text("image,text\nmissing.png,a\n")
    assert run("score", pairs, "-o", out).code == 2
    pairs.write_text(content)
    assert run("score", pairs, "-o", out).code == 0


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("stop", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_stopped_run_says_how_to_go_on(
    run: Any, pairs: Path, monkeypatch: pytest.MonkeyPatch, stop: int, code: int, said: str
) -> None:
    add(pairs, *(f"a.png,{i}" for i in range(1200)))
    calls: list[int] = []
    scored = FakeMetric.__call__

    def interrupted(self: FakeMetric, images: Any, texts: Any) -> Any:
        calls.append(len(images))
        if len(calls) == 2:
            signal.raise_signal(stop)
        return scored(self, images, texts)

    monkeypatch.setattr(FakeMetric, "__call__", interrupted)
    out = pairs.with_name("out.jsonl")
    done = run("score", pairs, "-o", out)
    assert done.code == code
    assert done.err == (
        f"Error: {said} after 1,024 of 1,204 rows; repeat the command with --resume to go on\n"
    )
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert run("score", pairs, "-o", out, "--resume").code == 0
    assert calls == [1024, 180, 180]


@pytest.mark.parametrize(
    ("stop", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_command_that_cannot_resume_says_what_stopped_it(
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
    code: int,
    said: str,
    hidden: bool,
) -> None:
    def stopped(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(stop)
        except KeyboardInterrupt as error:
            if hidden:  # as Python hides one in the body of a class
                raise RuntimeError from error
            raise

    monkeypatch.setattr("descscore.checkpoints.store.resolve_checkpoint", stopped)
    done = run("info", "mini")
    assert (done.code, done.out, done.err) == (code, "", f"Error: {said}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scor"], "No such command 'scor'"),
        (["score"], "Missing argument 'FILE...'"),
        (["score", "pairs.csv"], "Missing option '-o' / '--output'"),
        (["score", "pairs.csv", "-o", "o.csv", "--nonsense"], "No such option: --nonsense"),
        (["score", "pairs.csv", "-o", "o.csv", "--scale", "x"], "'--scale': 'x' is not one of"),
        (["score", "pairs.csv", "-o", "o.csv", "--batch-size", "0"], "'--batch-size': '0' "),
        (["score", "pairs.csv", "-o", "o.csv", "--batch-size", "x"], "'--batch-size': 'x' "),
        (["score", "no.csv", "-o", "o.csv"], "there is no file no.csv"),
        (["score", ".", "-o", "o.csv"], ". is a folder; give a table, such as a .csv file with"),
        (["score", "-", "-o", "o.csv"], "cannot be read from stdin, since it is read more than"),
        (["score", "pairs.csv", "-o", "no/o.csv"], "folder no for the output does not exist"),
        (
            ["score", "pairs.csv", "-o", "pairs.csv/o.csv"],
            "the folder pairs.csv cannot be written to (Not a directory); choose another for the "
            "output",
        ),
        (["score", "pairs.csv", "-o", "o.xlsx"], "use .csv, .tsv, .jsonl or .parquet"),
        (
            ["score", "pairs.csv", "-o", "pairs.csv"],
            "is read, and writing pairs.csv would replace it",
        ),
        (["score", "pairs.csv", "-o", "o.csv", "--images", "no"], "check --images"),
        (["score", "pairs.csv", "-o", "o.csv", "--text-column", "x"], "it has 'image', 'text'"),
        (["score", "pairs.csv", "-o", "-"], "use .csv, .tsv, .jsonl or .parquet"),
        (["score", "pairs.csv", "-o", "o.csv", "--resume", "--overwrite"], "give one of them"),
        (
            ["score", "pairs.csv", "-o", "o.csv", "--clipscore-compatible", "--prefix", "x"],
            "omit --scale and --prefix",
        ),
        (["score", "pairs.csv", "-o", "o.csv", "--checkpoint", "./no"], "no checkpoint './no'"),
        (["info", "./no"], "no checkpoint './no'"),
        (["compare", "pairs.csv", "mini"], "mini has an unsupported file extension"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(
    run: Any,
    pairs: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(pairs.parent)
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert re.fullmatch(rf"Error: .*{re.escape(message)}.*\n", done.err)
    assert not Path("o.csv").exists()


def test_a_folder_that_cannot_be_written_is_one_line(
    run: Any, pairs: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied", "internal")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.chdir(pairs.parent)
    Path("ro").mkdir()
    done = run("score", "pairs.csv", "-o", "ro/out.csv")
    message = (
        "the folder ro cannot be written to (Permission denied); choose another for the output"
    )
    assert done == Done(2, "", f"Error: {message}\n")
    assert fake == []


class Terminal(io.StringIO):
    """What is written to it as to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_colour", "coloured"), [("1", False), ("", True)])
def test_no_color_takes_all_styles_from_what_goes_to_a_terminal(
    run: Any, monkeypatch: pytest.MonkeyPatch, no_colour: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    print_note("a catch")
    run("score")
    assert ("\x1b[" in terminal.getvalue()) == coloured
    assert "Note:" in terminal.getvalue()
    assert "Error:" in terminal.getvalue()


@pytest.mark.parametrize(("no_colour", "coloured"), [("1", False), ("", True)])
def test_no_color_takes_the_style_from_the_signature(
    run: Any,
    pairs: Path,
    fake: Any,
    monkeypatch: pytest.MonkeyPatch,
    no_colour: str,
    coloured: bool,
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    run("score", pairs, "-o", pairs.with_name("out.csv"))
    assert ("\x1b[2mfake\x1b[0m" in terminal.getvalue()) == coloured


def test_an_output_that_exists_is_refused_before_a_checkpoint_is_loaded(
    run: Any, pairs: Path, fake: list[dict[str, Any]]
) -> None:
    out = pairs.with_name("out.csv")
    out.write_text("precious")
    assert "--overwrite" in run("score", pairs, "-o", out).err
    assert fake == []
    assert out.read_text() == "precious"


# Options.


def test_options_reach_the_metric(run: Any, pairs: Path, fake: list[dict[str, Any]]) -> None:
    options = {
        "--checkpoint": "org/name",
        "--revision": "abc",
        "--token": "secret",
        "--device": "cpu",
        "--dtype": "bfloat16",
        "--batch-size": 7,
        "--num-workers": 0,
        "--scale": "cosine",
        "--prefix": "An image of ",
        "--long-text": "sentences",
    }
    flat = [part for option in options.items() for part in option]
    run("score", pairs, "-o", pairs.with_name("out.csv"), "--local-files-only", *flat)
    given = {name[2:].replace("-", "_"): value for name, value in options.items()}
    fixed = {"local_files_only": True, "readouts": ("purpose",), "on_error": "record"}
    fixed |= {"purpose": None, "purpose_weight": None, "jpeg_draft": False}
    assert fake == [given | fixed]


def test_clipscore_compatible_is_its_prefix_and_scale(
    run: Any, pairs: Path, fake: list[dict[str, Any]]
) -> None:
    run("score", pairs, "-o", pairs.with_name("out.csv"), "--clipscore-compatible")
    # Hessel et al. 2021: 2.5 max(cos, 0), texts after "A photo depicts ".
    assert (fake[0]["scale"], fake[0]["prefix"]) == ("clipscore", "A photo depicts ")


def test_checkpoint_and_token_come_from_the_environment(
    run: Any, pairs: Path, fake: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESCSCORE_CHECKPOINT", "org/name")
    monkeypatch.setenv("HF_TOKEN", "secret")
    run("score", pairs, "-o", pairs.with_name("out.csv"))
    assert (fake[0]["checkpoint"], fake[0]["token"]) == ("org/name", "secret")


def test_choices_are_those_of_the_metric() -> None:
    from descscore.cli.score import score
    from descscore.inputs.texts import LONG_TEXT
    from descscore.score import SCALES
    from descscore.towers.device import DTYPES

    def choices(name: str) -> set[str]:
        hint = get_type_hints(score)[name]
        return {choice for part in (hint, *get_args(hint)) for choice in get_args(part)}

    assert choices("scale") >= set(SCALES)
    assert choices("long_text") == set(LONG_TEXT)
    assert choices("dtype") == {"auto", *DTYPES}


@pytest.mark.usefixtures("fake")
def test_coco_results_are_scored_with_images_and_pattern(run: Any, pairs: Path) -> None:
    results = pairs.with_name("results.json")
    results.write_text(json.dumps([{"image_id": 42, "caption": "a"}]))
    out = pairs.with_name("out.jsonl")
    assert "with --images" in run("score", results, "-o", out).err
    pattern = "COCO_val2014_{image_id:012d}.jpg"
    done = run("score", results, "-o", out, "--images", pairs.parent, "--image-pattern", pattern)
    assert done.code == 0
    assert read_jsonl(out)[0]["image_id"] == 42


# Starting.


@pytest.mark.parametrize(
    "name", [name for name, command in cli_options.commands().items() if "pip" in command.help]
)
def test_help_names_the_extra_that_a_command_needs(run: Any, name: str) -> None:
    shown = " ".join(run(*name.split(), "--help").out.split())
    assert re.search(r'pip install "descscore\[\w+\]"', shown)


@pytest.mark.parametrize("name", ["", "evaluate", *cli_options.commands()])
def test_help_shows_no_type_behind_a_flag(run: Any, name: str) -> None:
    shown = run(*name.split(), "--help").out
    assert "--help" in shown
    assert not re.search("bool", shown, re.IGNORECASE)


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["--version"]])
def test_help_and_version_load_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom descscore.cli.app import app\n"
        f"try: app({arguments!r}, prog_name='descscore')\n"
        "finally: print('loaded', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split("loaded")[1].split()}
    assert "descscore" in loaded
    heavy = {"torch", "transformers", "peft", "numpy", "PIL", "pandas", "pyarrow"}
    assert loaded.isdisjoint(heavy)
    assert "descscore" in done.stdout


def test_version_is_the_packages(run: Any) -> None:
    from importlib.metadata import version

    assert run("--version") == Done(0, f"descscore {version('descscore')}\n", "")


def test_no_command_shows_the_help_and_exits_with_2(run: Any) -> None:
    done = run()
    assert done.code == 2
    assert all(name.split()[0] in done.out for name in cli_options.commands())


def test_the_page_about_the_command_line_is_up_to_date() -> None:
    page = cli_options.PAGE.read_text(encoding="utf-8")
    for name in cli_options.commands():
        assert f"## descscore {name}\n" in page
        assert f"<!-- options of {name} -->" in page
    assert cli_options.with_tables(page) == page, "run `python -m tests.cli_options`"


# What a checkpoint is.


def test_info_counts_what_transformers_loads(run: Any, tiny_clip: Path) -> None:
    from transformers import CLIPModel

    described = json.loads(run("info", tiny_clip, "--json").out)
    model = CLIPModel.from_pretrained(tiny_clip)
    assert described["parameters"] == model.num_parameters()
    config: Any = model.config
    assert described["image_size"] == config.vision_config.image_size
    assert described["patch_size"] == config.vision_config.patch_size
    assert described["text_window"] == config.text_config.max_position_embeddings
    assert described["vocabulary"] == config.text_config.vocab_size
    assert described["embedding"] == config.projection_dim
    assert described["text_tower"] == {"layers": 2, "width": 32}
    assert described["image_tower"] == {"layers": 2, "width": 32}
    assert described["kind"] == "plain CLIP"
    assert described["base"] is None


def test_info_lists_files_with_their_digests(run: Any, tiny_clip: Path) -> None:
    import hashlib

    described = json.loads(run("info", tiny_clip, "--json").out)
    expected = {
        path.name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in tiny_clip.iterdir()
    }
    found = {file["name"]: (file["bytes"], file["sha256"]) for file in described["files"]}
    assert found == expected


def test_info_puts_digests_under_their_name(run: Any, tiny_clip: Path) -> None:
    header, *lines = run("info", tiny_clip).out.split("\n\n")[1].splitlines()
    place = header.index("sha256")
    assert len(lines) == len(list(tiny_clip.iterdir()))
    assert {len(line[place:].partition(" ")[0]) for line in lines} == {16}


def test_info_tells_training_and_results(run: Any, tiny_clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "trained"
    shutil.copytree(tiny_clip, folder / "base")
    config = {
        "format": 1,
        "made_by": "descscore 0.1.0",
        "base": {"name": "tiny/base", "revision": None},
        "data": {"cifar10.zip": "00ff"},
        "recipe": {"steps": 3},
        "seed": 7,
        "measured": {
            "cifar10 test": {"macro_f1": 0.75, "n": 10_000},
            "pairs": {"preference": {"share": 0.5, "low": 0.43, "high": 0.57, "n": 200}},
        },
        "digests": {},
    }
    (folder / "descscore_config.json").write_text(json.dumps(config))
    described = json.loads(run("info", folder, "--json").out)
    assert described["base"] == {"name": "tiny/base", "revision": None}
    assert described["trained_on"] == {"cifar10.zip": "00ff"}
    assert described["recipe"] == {"steps": 3}
    shown = " ".join(run("info", folder).out.split())
    for words in (
        "trained on cifar10.zip",
        "cifar10 test macro_f1 0.750, n 10000",
        "preference 0.500 [0.430, 0.570]",
        "base/model.safetensors",
        "descscore 0.1.0",
    ):
        assert words in shown


def test_info_of_a_damaged_checkpoint_is_one_line(
    run: Any, tiny_clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_clip, folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 20)
    done = run("info", folder)
    assert done.code == 2
    assert re.fullmatch(r"Error: .*not a safetensors file.*\n", done.err)


def test_bytes_that_are_no_text_are_refused_by_the_option(run, pairs: Path) -> None:
    for option in ("--prefix", "--column-prefix"):
        done = run("score", pairs, "-o", pairs.with_name("o.csv"), option, "m\udcff")
        assert (done.code, done.out) == (2, "")
        assert f"{option}" in done.err
        assert "not valid UTF-8" in done.err
    assert not pairs.with_name("o.csv").exists()


@pytest.mark.usefixtures("fake")
def test_stopped_shards_go_on_without_an_option(
    run: Any, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(pairs, *(f"a.png,{i}" for i in range(1200)))
    stops = iter([False, True])
    scored = FakeMetric.__call__

    def interrupted(self: FakeMetric, images: Any, texts: Any) -> Any:
        if next(stops, False):
            raise KeyboardInterrupt
        return scored(self, images, texts)

    monkeypatch.setattr(FakeMetric, "__call__", interrupted)
    command = ("score", pairs, "-o", pairs.with_name("out"), "--shards", "--shard-rows", 1024)
    done = run(*command)
    assert done.code == 130
    assert done.err.endswith("rows; repeat the command to go on\n")
    assert run(*command).code == 0
