"""Each case in `shared/cases/`, an input that once went wrong, ends as its `must` says."""

from __future__ import annotations

import csv
import json
import resource
import runpy
import shutil
import sqlite3
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from descscore import DescriptionScore
from descscore.cli.app import app
from descscore.errors import CheckpointError, PairingError
from descscore.results import Scores
from descscore.writing import run_lock
from tests.conftest import DATA

CASES = DATA.with_name("cases")
TABLE = CASES / "cases.toml"
NAMES = [c["name"] for c in tomllib.loads(TABLE.read_text())["case"]] if TABLE.is_file() else []

ONE_PICTURE = "image,text\na.png,A cup.\n"


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Case:
    """A case in a folder of its own, in which commands and calls run as `run` has them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def descscore(self, *arguments: object) -> Done:
        """Run a command, which may end in no traceback."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            app([str(argument) for argument in arguments], prog_name="descscore")
        captured = self._capsys.readouterr()
        done = Done(int(exit_.value.code or 0), captured.out, captured.err)
        assert done.code in {0, 1, 2}, done.err
        assert "Traceback" not in done.err
        return done

    def refused(self, *arguments: object, names: str = "") -> str:
        """The one line of error with which a command is refused."""
        done = self.descscore(*arguments)
        assert done.code == 2, done
        [line] = done.err.splitlines()
        assert line.startswith("Error: ")
        for name in names.split():
            assert name in line
        return line

    def score(self, table: str, out: str, *more: object, code: int = 0) -> list[dict[str, Any]]:
        """The rows that `descscore score` writes."""
        done = self.descscore("score", table, "-o", out, *more)
        assert done.code == code, done.err
        return read(self / out)


CHECKS: dict[str, Callable[[Case], object]] = {}


def check(name: str) -> Callable[[Callable[[Case], object]], Callable[[Case], object]]:
    """Make a function the check of a case."""

    def add(function: Callable[[Case], object]) -> Callable[[Case], object]:
        CHECKS[name] = function
        return function

    return add


@pytest.fixture
def case(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Case:
    """A copy of a case's folder, with what its make.py makes, as the working folder."""
    folder = tmp_path / request.param
    folder.mkdir()
    if (CASES / request.param).is_dir():
        shutil.copytree(
            CASES / request.param, folder, dirs_exist_ok=True, copy_function=shutil.copyfile
        )
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.copyfile(CASES / "small.py", tmp_path / "small.py")
    monkeypatch.chdir(folder)
    # make.py puts the folder above on it.
    monkeypatch.setattr(sys, "path", list(sys.path))
    # That of locked-study starts a command, which its check runs in this process.
    if (folder / "make.py").is_file() and request.param != "locked-study":
        with warnings.catch_warnings(action="ignore"):
            runpy.run_path("make.py")
    return Case(folder, capsys)


@pytest.mark.skipif(not NAMES, reason=f"no cases in {CASES}")
@pytest.mark.parametrize("case", NAMES, indirect=True, ids=NAMES)
def test_a_case_ends_as_it_must(case: Case) -> None:
    name = case.folder.name
    assert name in CHECKS, f"{name} has no check here"
    CHECKS[name](case)


@pytest.mark.skipif(not NAMES, reason=f"no cases in {CASES}")
def test_every_check_has_its_case() -> None:
    assert sorted(CHECKS) == sorted(NAMES)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of an output."""
    text = path.read_text("utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(text.splitlines()))


def cosine(checkpoint: str, images: Any, texts: Any) -> Scores:
    return DescriptionScore(checkpoint, scale="cosine")(images, texts)


def cosine_of_transformers(folder: str, image: str, text: str) -> float:
    """A cosine as transformers' own model, processor and tokeniser make it."""
    import torch
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(Image.open(image), return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        found = model(**pixels, **tokens)
    return float((found.image_embeds * found.text_embeds).sum())


# Wrong numbers.


@check("tokenizer-without-end")
def _(case: Case) -> None:
    with pytest.raises(CheckpointError, match=r"(?s)token.*tokenizer\.json"):
        DescriptionScore("clip", scale="cosine")


@check("file-beside-class-folders")
def _(case: Case) -> None:
    done = case.descscore("evaluate", "transfer", "d", "--json")
    found = json.loads(done.out)
    assert (done.code, found["candidates"], found["transfer"]["n"]) == (0, 2, 2)
    assert "README.txt" in done.err


@check("templates-as-json")
def _(case: Case) -> None:
    done = case.descscore("evaluate", "transfer", "d", "--templates", "t.json", "--json")
    assert done.code == 0
    written = json.loads((case / "t.json").read_text())
    prompts = written if isinstance(written, list) else next(iter(written.values()))
    assert json.loads(done.out)["templates"] == prompts
    (case / "t.py").write_text("templates = [\n    'a photo of a {}.',\n]\n")
    case.refused("evaluate", "transfer", "d", "--templates", "t.py", names="t.py prompt line")


@check("processor-settings")
def _(case: Case) -> None:
    for folder in ("both_edges", "one_mean"):
        expected = cosine_of_transformers(folder, "wide.png", "a red cup")
        found = cosine(folder, "wide.png", "a red cup").scores
        np.testing.assert_allclose(found, [expected], atol=1e-5)
    # transformers takes it for its default, which is another filter.
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json has resample 'bicubic'"):
        DescriptionScore("bicubic")
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json has size .*: 0}"):
        DescriptionScore("edge_0")


@check("invisible-texts")
def _(case: Case) -> None:
    [kept] = [row for row in case.score("t.csv", "plain.csv", code=1) if row["text"] == "A cup."]
    for more in ((), ("--prefix", "A photo of")):
        rows = case.score("t.csv", f"o{len(more)}.csv", *more, code=1)
        for row in rows:
            shown = row["text"] == "A cup."
            assert bool(row["score"]) == bool(row["purpose"]) == shown
            assert shown or "is empty" in row["error"]
    [alone] = DescriptionScore()("a.png", ["A cup."]).scores
    assert float(kept["score"]) == pytest.approx(alone, abs=1e-6)
    metric = DescriptionScore(on_error="record")
    unseen = [row["text"] for row in read(case / "t.csv") if row["text"] != "A cup."]
    for text in unseen:
        [error] = metric("a.png", "A cup.", references=[[text]]).errors
        assert error is not None
        assert "is empty" in error


@check("grey16-transparency")
def _(case: Case) -> None:
    eight, sixteen = cosine("mini/base", ["grey8.png", "grey16.png"], "a red cup").scores
    assert eight == pytest.approx(sixteen, abs=1e-3)
    grey = np.array(Image.open("grey8.png").convert("RGBA").convert("RGB"))
    opaque = cosine("mini/base", Image.fromarray(grey), "a red cup").scores
    assert abs(opaque[0] - eight) > 1e-3  # transparency shows


@check("compare-of-shuffled-results")
def _(case: Case) -> None:
    done = case.descscore("compare", "a.csv", "b.csv")
    if done.code == 2:
        assert "row" in done.err
        assert "--id" in done.err
        return
    first, second = ({row["image_id"]: row for row in read(case / f)} for f in ("a.csv", "b.csv"))
    expected = np.mean([float(second[i]["score"]) - float(first[i]["score"]) for i in first])
    assert f"{expected:.3f}" in done.out + done.err


@check("signature-with-references")
def _(case: Case) -> None:
    from descscore.errors import DescscoreError

    metric = DescriptionScore()
    plain = metric("a.png", "a cup").signature
    assert plain != metric("a.png", "a cup", references=["a red cup"]).signature
    metric.update("a.png", "a cup")
    with pytest.raises(DescscoreError, match="reference"):
        metric.update("a.png", "a cup", references=["a red cup"])


@check("digest-of-unusual-names")
def _(case: Case) -> None:
    said: list[str] = []
    code = (case / "again.py").read_text()
    exec(compile(code, "again.py", "exec"), {"print": lambda *values: said.append(values[-1])})
    assert len(set(said)) == 2


@check("empty-class-folders")
def _(case: Case) -> None:
    done = case.descscore("reproduce", "study.toml", "--data", ".", "-o", "run")
    assert done.code == 0, done.err
    studied = json.loads((case / "run/results.json").read_text())
    done = case.descscore("evaluate", "transfer", "d", "--checkpoint", "base", "--json")
    expected = json.loads(done.out)["macro_f1"]
    found = next(values_of("macro_f1", studied["base"]))
    assert found == pytest.approx(expected["value"], abs=1e-12)


def values_of(key: str, values: Any) -> Iterator[Any]:
    """What nested values have under a key, in order."""
    if isinstance(values, dict):
        for name, value in values.items():
            if name == key:
                yield value
            else:
                yield from values_of(key, value)
    elif isinstance(values, list):
        for value in values:
            yield from values_of(key, value)


# Outputs.


@check("two-writers")
def _(case: Case) -> None:
    lines = (case / "t.csv").read_text().splitlines(keepends=True)
    (case / "t.csv").write_text("".join(lines[:501]))  # enough to be met at its work
    command = ["score", "t.csv", "-o", "o.csv", "--resume", "-q"]
    first = subprocess.Popen([sys.executable, "-m", "descscore.cli", *command])
    try:
        until = time.monotonic() + 60
        while not list(case.folder.glob("*o.csv*")) and time.monotonic() < until:
            time.sleep(0.02)
        line = case.refused(*command, names="o.csv")
        assert "another process writes" in line
    finally:
        code = first.wait(60)
    assert code == 0
    rows = read(case / "o.csv")
    assert [row["text"] for row in rows] == [row["text"] for row in read(case / "t.csv")]
    explained = ["explain", "--pairs", "t.csv", "-o", "pages"]
    (case / "pages").mkdir()
    with run_lock(case / "pages/.explanations.jsonl.lock", "held"):  # as by one that writes there
        assert "another process writes" in case.refused(*explained, names="pages")


@check("record-as-input")
def _(case: Case) -> None:
    before = (case / "s.csv.run.jsonl").read_bytes()
    case.refused("score", "s.csv.run.jsonl", "-o", "s.csv", names="s.csv.run.jsonl")
    assert (case / "s.csv.run.jsonl").read_bytes() == before
    assert not (case / "s.csv").exists()
    picture = (case / "a.png").read_bytes()
    case.refused("explain", "a.png", "A cup.", "-o", "a.png", "--overwrite", names="a.png")
    assert (case / "a.png").read_bytes() == picture


@check("deep-row-into-parquet")
def _(case: Case) -> None:
    line = case.refused("score", "deep.jsonl", "-o", "o.parquet", names="row column")
    assert "row 1" in line or "line 1" in line
    assert sorted(path.name for path in case.folder.iterdir()) == ["a.png", "deep.jsonl"]


@check("locked-study")
def _(case: Case) -> None:
    from unittest.mock import patch

    def sweep(trials: int) -> Done:
        return case.descscore("sweep", "s.toml", "--data", ".", "-o", "out", "--trials", trials)

    with patch("subprocess.run", lambda command, **_: case.descscore(*command[1:])):
        runpy.run_path("make.py")
    held = sqlite3.connect("out/sweep.db", isolation_level=None)
    held.execute("begin exclusive")
    with patch("descscore_training.sweep._SECONDS_TO_WAIT", 0.5):
        done = sweep(2)
    held.close()
    assert done.code == 2
    assert "another process uses" in done.err
    assert "try again" in done.err
    assert "remove" not in done.err
    assert sweep(2).code == 0


# What is printed and what bytes it has.


@check("json-that-is-not-utf8")
def _(case: Case) -> None:
    done = case.descscore("evaluate", "transfer", "d", "--json")
    assert done.code == 0
    done.out.encode()
    assert "caf\\\\xe9.jpg" in done.out
    assert json.loads(done.out)["transfer"]["n"] == 2


@check("escapes-in-a-header")
def _(case: Case) -> None:
    line = case.refused("score", "h.csv", "-o", "o.csv")
    assert "\\x1b]0;title\\x07te\\x1b[2Jxt" in line
    assert not any(ord(sign) < 32 for sign in line)


@check("addresses-and-data")
def _(case: Case) -> None:
    rows = case.score("t.csv", "o.jsonl", code=1)
    assert [row["error"] is None for row in rows] == [False, False, False, True]
    for row in rows[:3]:
        assert "is a URL" in row["error"]
        assert len(row["error"]) < 400
    assert rows[3]["score"] > 0


@check("prefix-of-bytes")
def _(case: Case) -> None:
    case.refused("score", "t.csv", "-o", "o.csv", "--prefix", "m\udcff", names="--prefix UTF-8")


# Python's types.


@check("file-object")
def _(case: Case) -> None:
    import io

    metric = DescriptionScore(on_error="record")
    expected = metric("a.png", "a cup").scores
    content = (case / "a.png").read_bytes()
    with (case / "a.png").open("rb") as file:
        for image in (io.BytesIO(content), file, bytearray(content), memoryview(content)):
            result = metric(image, "a cup")
            assert len(result) == 1
            np.testing.assert_array_equal(result.scores, expected)
    with pytest.raises(PairingError, match="texts is a bytes; give a string"):
        metric("a.png", b"a cup")


@check("basis-of-numpy")
def _(case: Case) -> None:
    runpy.run_path("basis.py")


# Checkpoints.


@check("offline-without-weights")
def _(case: Case) -> None:
    (case / "t.csv").write_text(ONE_PICTURE)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(case / "hub"))
        patched.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        line = case.refused("score", "t.csv", "-o", "o.csv", "--checkpoint", "org/clip")
    assert "is not in the Hub's cache" in line or "has no weights" in line
    assert "go online once" in line
    assert "try again, what has arrived" not in line


@check("info-of-a-cut-file")
def _(case: Case) -> None:
    size = (case / "cut/model.safetensors").stat().st_size
    case.refused("info", "cut", names=f"model.safetensors {size:,} {2 * size:,}")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 9\n"
    (case / "cut/model.safetensors").write_text(pointer)
    assert "Git LFS" in case.refused("info", "cut", names="model.safetensors")
    (case / "cut/model.safetensors").unlink()
    index = {"weight_map": {"logit_scale": "model-00001-of-00002.safetensors"}}
    (case / "cut/model.safetensors.index.json").write_text(json.dumps(index))
    case.refused("info", "cut", names="model-00001-of-00002.safetensors")


@check("adapter-initialised-otherwise")
def _(case: Case) -> None:
    import torch
    from peft import PeftModel
    from transformers import CLIPModel

    with warnings.catch_warnings(action="ignore"):
        merged = PeftModel.from_pretrained(CLIPModel.from_pretrained("base"), "adapter")
        merged.merge_and_unload().save_pretrained("merged")
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copyfile(f"base/{name}", f"merged/{name}")
    torch.testing.assert_close(
        cosine("adapter", "a.png", "a cup").scores, cosine("merged", "a.png", "a cup").scores
    )
    path = case / "adapter/adapter_config.json"
    path.write_text(path.read_text().replace('"gaussian"', '"pissa"'))
    with pytest.raises(CheckpointError, match="init_lora_weights"):
        DescriptionScore("adapter")


@check("checkpoint-with-a-device")
def _(case: Case) -> None:
    for command in (("score", "t.csv", "-o", "o.csv", "--checkpoint", "m"), ("info", "m")):
        assert "regular file" in case.refused(*command, names="das.safetensors")


@check("checkpoint-of-a-billion-layers")
def _(case: Case) -> None:
    begun = time.monotonic()
    with pytest.raises(CheckpointError, match=r"1,?000,?000,?000"):
        DescriptionScore("clip")
    assert time.monotonic() - begun < 20


@check("checkpoint-of-deep-json")
def _(case: Case) -> None:
    case.refused("info", "m", names="descscore_config.json")
    from small import mini

    for name in ("config.json", "tokenizer.json", "preprocessor_config.json"):
        folder = mini("m")
        (folder / "base" / name).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
        with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
            DescriptionScore("m")
    for base in ("x" * 5000, "~nouser/x"):
        folder = mini("m")
        shutil.rmtree(folder / "base")
        config = json.loads((folder / "descscore_config.json").read_text())
        config["base"]["name"] = base
        (folder / "descscore_config.json").write_text(json.dumps(config))
        assert len(case.refused("info", "m", names=base[:20])) < 500


# Tables.


@check("spreadsheets")
def _(case: Case) -> None:
    for name in ("sep", "trailing"):
        rows = case.score(f"{name}.csv", f"{name}.jsonl")
        assert rows
        assert all(row["score"] > 0 for row in rows)
    for name, cause in {"utf16": "UTF-16", "tab": "tab"}.items():
        done = case.descscore("score", f"{name}.csv", "-o", f"{name}.jsonl")
        assert done.code == 0 or cause in done.err
    done = case.descscore(
        *("evaluate", "human", "--ratings", "ratings.csv", "--items", "items.csv"),
        *("--question", "clear", "--json"),
    )
    if done.code == 2:
        assert "point" in done.err
    else:
        assert "clear" in done.out


@check("parquet-values")
def _(case: Case) -> None:
    bad, good = case.score("not_utf8.parquet", "not_utf8.jsonl", code=1)
    assert bad["score"] is None
    assert "text" in bad["error"]
    assert "UTF-8" in bad["error"]
    assert good["score"] > 0
    far, good = case.score("far_off.parquet", "far_off.jsonl", code=1)
    assert "when" in far["error"]
    assert good["score"] > 0
    case.descscore("score", "far_off.parquet", "-o", "kept.parquet")
    import pyarrow.parquet as pq

    kept, given = pq.read_table("kept.parquet"), pq.read_table("far_off.parquet")
    assert kept["when"].equals(given["when"])
    assert all(score > 0 for score in kept["score"].to_pylist())


@check("sparse-image")
def _(case: Case) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 1024**3, hard))
    try:
        rows = case.score("t.csv", "o.jsonl", code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    for row in rows:
        assert (row["score"] is None) == (row["image"] == "sparse.png")
        assert (row["error"] is None) == (row["image"] != "sparse.png")


@check("purpose-without-images")
def _(case: Case) -> None:
    done = case.descscore(
        *("explain", "--pairs", "t.csv", "--target", "purpose", "-o", "out", "--n-steps", 2)
    )
    assert done.code == 0, done.err
    explained = read(case / "out/explanations.jsonl")
    assert [row["text"] for row in explained] == [row["text"] for row in read(case / "t.csv")]
    page = (case / "out/index.html").read_text("utf-8")
    assert "<img" not in page
    assert all(word in page for word in ("wooden", "Turin"))


@check("deep-recipe")
def _(case: Case) -> None:
    case.refused("train", "r.toml", "--data", ".", "-o", "run", names="r.toml")
    (case / "long.toml").write_text("seed = " + "9" * 5000 + "\n")
    case.refused("train", "long.toml", "--data", ".", "-o", "run", names="long.toml")
    number = "seed=" + "9" * 5000
    line = case.refused("train", "mini-joint-lora", "--data", ".", "-o", "run", "--set", number)
    assert len(line) < 500


@check("names-in-two-normal-forms")
def _(case: Case) -> None:
    done = case.descscore("evaluate", "transfer", "d", "--class-names", "n.txt", "--json")
    assert done.code == 0 or "Unicode form" in done.err
    if done.code == 0:
        assert "coffee bar" in done.out
