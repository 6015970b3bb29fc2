"""What a checkpoint with a purpose subspace adds to scored tables, summaries and `info`."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from descscore import DescriptionScore
from descscore.errors import TableError
from descscore.tables.scoring import ScoreOptions, score_table
from tests.checkpoints_made import lora_checkpoint
from tests.command_line import command_line
from tests.fake_metric import FakeMetric

TEXTS = ["a dog", "two cats on a sofa", "an old clock, " * 40, "none"]
ROWS = 20
CHUNK = 8
FORMATS = ["csv", "jsonl", "parquet"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return command_line(capsys)


@pytest.fixture(scope="module")
def adapted(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with an adapter and a subspace of 8 dimensions after block 1."""
    return lora_checkpoint(tmp_path_factory.mktemp("adapted"), tiny_clip, rank=4, subspace=8)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A table with one image, four texts and a row that fails."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        rows = [["a.png", text] for text in TEXTS] + [["missing.png", "a dog"]]
        csv.writer(file).writerows([["image", "text"], *rows])
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table for a metric without a model; every fifth row fails."""
    path = tmp_path / "table.csv"
    rows = [f"{'missing' if i % 5 == 3 else ''}{i % 4}.jpg,text {i}" for i in range(ROWS)]
    path.write_text("\n".join(["image,text", *rows]) + "\n")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file))


def stop(done: int, total: int) -> None:
    if done >= CHUNK:
        raise KeyboardInterrupt


# With a real model.


def test_purpose_and_its_effect_are_those_of_python(run: Any, pairs: Path, adapted: Path) -> None:
    out = pairs.with_name("out.jsonl")
    assert run("score", pairs, "-o", out, "--checkpoint", adapted, "--purpose-effect").code == 1
    *scored, failed = read(out)
    assert list(failed)[2:] == ["score", "purpose", "purpose_effect", "truncated", "error"]
    assert (failed["score"], failed["purpose"], failed["purpose_effect"]) == (None, None, None)
    metric = DescriptionScore(adapted, readouts=["purpose_effect"])
    np.testing.assert_allclose([row["purpose"] for row in scored], metric.purpose(TEXTS), atol=1e-6)
    effects = metric([pairs.with_name("a.png")] * 4, TEXTS).purpose_effect
    assert effects is not None
    np.testing.assert_allclose([row["purpose_effect"] for row in scored], effects, atol=1e-6)
    assert len({row["purpose"] for row in scored}) == len(TEXTS)


def test_a_plain_clip_adds_no_column_and_refuses_its_effect(
    run: Any, pairs: Path, tiny_clip: Path
) -> None:
    out = pairs.with_name("out.jsonl")
    done = run("score", pairs, "-o", out, "--checkpoint", tiny_clip)
    assert list(read(out)[0]) == ["image", "text", "score", "truncated", "error"]
    assert "purpose" not in done.err
    other = pairs.with_name("other.jsonl")
    done = run("score", pairs, "-o", other, "--checkpoint", tiny_clip, "--purpose-effect")
    assert done.code == 2
    assert re.fullmatch(r"Error: .*'purpose_effect'.*no purpose subspace.*\n", done.err)
    assert not other.exists()


def test_a_reader_adds_purpose_to_the_scores_of_any_clip(
    run: Any, pairs: Path, tiny_clip: Path, adapted: Path
) -> None:
    out = pairs.with_name("out.jsonl")
    command = ("score", pairs, "--checkpoint", tiny_clip, "--purpose", adapted)
    run(*command, "-o", out)
    purposes = np.array([row["purpose"] for row in read(out)[:-1]])
    np.testing.assert_allclose(purposes, DescriptionScore(adapted).purpose(TEXTS), atol=1e-6)
    weighted = pairs.with_name("weighted.jsonl")
    run(*command, "-o", weighted, "--purpose-weight", "0.02")
    plain, added = ([row["score"] for row in read(path)[:-1]] for path in (out, weighted))
    logits = np.log(purposes / (1 - purposes)).clip(-4, 4)
    np.testing.assert_allclose(np.subtract(added, plain), 0.02 * logits, atol=1e-5)


def test_a_context_column_adds_the_contextual_score(
    run: Any, tmp_path: Path, pairs: Path, tiny_clip: Path
) -> None:
    table, out = pairs.with_name("contexts.csv"), tmp_path / "out.jsonl"
    table.write_text("image,text,page\na.png,a dog,Dogs\na.png,a cat,Cats and dogs\na.png,a cat,\n")
    run("score", table, "-o", out, "--checkpoint", tiny_clip, "--context", "page")
    *scored, failed = read(out)
    image = pairs.with_name("a.png")
    expected = DescriptionScore(tiny_clip)(
        [image] * 2, ["a dog", "a cat"], context=["Dogs", "Cats and dogs"]
    )
    np.testing.assert_allclose(
        [row["context_score"] for row in scored], expected.context_scores, atol=1e-4
    )
    np.testing.assert_allclose([row["score"] for row in scored], expected.scores, atol=1e-6)
    assert failed["context_score"] is None
    assert failed["error"].startswith("context is empty")


def test_the_mean_purpose_is_beside_the_mean_score(run: Any, pairs: Path, adapted: Path) -> None:
    out = pairs.with_name("out.jsonl")
    command = ("score", pairs, "-o", out, "--checkpoint", adapted)
    shown = re.search(r"^mean purpose +(\d\.\d{4})", run(*command).err, re.MULTILINE)
    mean = np.mean([row["purpose"] for row in read(out)[:-1]])
    assert shown is not None
    assert float(shown[1]) == pytest.approx(mean, abs=1e-4)
    again = json.loads(run(*command, "--resume", "--json").out)
    assert again["mean_purpose"] == pytest.approx(mean, abs=1e-12)


# Without one.


@pytest.mark.parametrize("format_", FORMATS)
def test_purpose_stands_behind_the_score(table: Path, tmp_path: Path, format_: str) -> None:
    out = tmp_path / f"out.{format_}"
    score_table(
        lambda: FakeMetric(readouts=["purpose"]), table, out, how=ScoreOptions(column_prefix="x_")
    )
    given = read(table)
    expected = FakeMetric(readouts=["purpose"])(
        [row["image"] for row in given], [row["text"] for row in given]
    )
    assert expected.purpose is not None
    for row, purpose in zip(read(out), expected.purpose, strict=True):
        assert list(row)[2:] == ["x_score", "x_purpose", "x_truncated", "x_error"]
        if np.isnan(purpose):
            assert row["x_purpose"] in {None, ""}
        else:
            assert np.float32(row["x_purpose"]) == purpose


def test_parquet_keeps_purpose_as_float32(table: Path, tmp_path: Path) -> None:
    readouts = ["purpose", "purpose_effect"]
    out = tmp_path / "out.parquet"
    score_table(lambda: FakeMetric(readouts=readouts), table, out)
    schema = pq.read_schema(out)
    added = ["score", *readouts, "truncated", "error"]
    assert schema.names == ["image", "text", *added]
    types = [pa.float32(), pa.float32(), pa.float32(), pa.bool_(), pa.string()]
    assert [schema.field(name).type for name in added] == types


@pytest.mark.parametrize("format_", FORMATS)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    table: Path, tmp_path: Path, format_: str
) -> None:
    def load() -> FakeMetric:
        return FakeMetric(readouts=["purpose", "purpose_effect"])

    whole, parts = tmp_path / f"whole.{format_}", tmp_path / f"parts.{format_}"
    expected = score_table(load, table, whole, chunk=CHUNK)
    with pytest.raises(KeyboardInterrupt):
        score_table(load, table, parts, chunk=CHUNK, progress=stop)
    summary = score_table(load, table, parts, chunk=CHUNK, resume=True)
    assert parts.read_bytes() == whole.read_bytes()
    assert summary == expected
    purposes = [float(row["purpose"]) for row in read(whole) if row["purpose"] not in {None, ""}]
    assert len(purposes) == 16
    assert summary.mean_purpose == pytest.approx(np.mean(purposes), abs=1e-7)


def test_resuming_with_other_readouts_is_refused_and_names_the_option(
    table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        score_table(
            lambda: FakeMetric(readouts=["purpose"]), table, out, chunk=CHUNK, progress=stop
        )
    parts = tmp_path / "out.csv.parts"
    before = sorted(path.name for path in parts.iterdir())
    metric = FakeMetric(readouts=["purpose", "purpose_effect"])
    with pytest.raises(
        TableError, match="resumed: purpose_effect was false and is now true, added"
    ):
        score_table(lambda: metric, table, out, resume=True)
    without = FakeMetric(readouts=[])
    with pytest.raises(TableError, match=r'added_columns was \["score", "purpose",'):
        score_table(lambda: without, table, out, resume=True)
    assert sorted(path.name for path in parts.iterdir()) == before


def test_a_column_named_purpose_is_refused_only_where_one_is_added(
    table: Path, tmp_path: Path
) -> None:
    table.write_text(table.read_text().replace("image,text", "image,purpose", 1))
    options: dict[str, Any] = {"how": ScoreOptions(text_column="purpose")}
    with pytest.raises(TableError, match=r"already has a column 'purpose'.*`column_prefix`"):
        score_table(lambda: FakeMetric(readouts=["purpose"]), table, tmp_path / "1.csv", **options)
    assert not (tmp_path / "1.csv").exists()
    assert score_table(FakeMetric, table, tmp_path / "2.csv", **options).scored == 16


# What a checkpoint is.


def test_info_tells_the_subspace_and_counts_the_adapter(run: Any, adapted: Path) -> None:
    described = json.loads(run("info", adapted, "--json").out)
    assert described["kind"] == "CLIP with an adapter"
    assert described["subspace"] == {"layer": 1, "dimension": 8}
    # Four projections of two blocks of two towers, each with factors of 4 x 32 and 32 x 4.
    assert described["adapter_parameters"] == 4 * 2 * 2 * (4 * 32 + 32 * 4)
    shown = run("info", adapted).out
    assert re.search(r"^of the adapter +4,096 *$", shown, re.MULTILINE)
    assert "8 dimensions, after block 1 of the text tower" in shown


def test_info_shows_results_of_the_base_beside_those_of_the_checkpoint(
    run: Any, tiny_clip: Path, tmp_path: Path
) -> None:
    folder = lora_checkpoint(tmp_path / "measured", tiny_clip)
    path = folder / "descscore_config.json"
    shares = [{"share": value, "low": 0.1, "high": 0.9, "n": 200} for value in (0.75, 0.5)]
    results = [
        {"pairs": {"preference": share}, "classes": {"n": 9, "macro_f1": f1}}
        for share, f1 in zip(shares, (0.7, 0.8), strict=True)
    ]
    config = json.loads(path.read_text())
    config |= {"measured": results[0], "measured_base": results[1]}
    config["measured"]["validation"] = {"step": 50}
    path.write_text(json.dumps(config))
    described = json.loads(run("info", folder, "--json").out)
    assert (described["measured"], described["measured_base"]) == (*results,)
    shown = " ".join(run("info", folder).out.split())
    for words in (
        "measured on pairs preference 0.750 [0.100, 0.900] (base 0.500 [0.100, 0.900])",
        "measured on classes n 9, macro_f1 0.700 (base 0.800)",
        "measured on validation step 50",
    ):
        assert words in shown


def test_info_of_a_damaged_subspace_is_one_line(run: Any, tiny_clip: Path, tmp_path: Path) -> None:
    folder = lora_checkpoint(tmp_path / "damaged", tiny_clip)
    config = json.loads((folder / "descscore_config.json").read_text())
    del config["digests"]["das.safetensors"]
    (folder / "descscore_config.json").write_text(json.dumps(config))
    (folder / "das.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    done = run("info", folder)
    assert done.code == 2
    assert re.fullmatch(r"Error: .*das\.safetensors holds no basis and its layer.*\n", done.err)
