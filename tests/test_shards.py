"""Shards: every row exactly once, whatever is killed, and joined as one run writes it."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from descscore.errors import OptionError, TableError
from descscore.tables.parts import Plan
from descscore.tables.scoring import ScoreOptions, score_table
from descscore.tables.shards import find_tables, join_shards, run_shards, share
from tests.fake_metric import FakeMetric

ROWS, CHUNK = 100, 8
ROOT = Path(__file__).parents[1]


def rows(count: int = ROWS) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{i:03}",
            "image": f"missing{i}.jpg" if i % 10 == 3 else f"{i % 7}.jpg",
            "text": "bad" if i % 25 == 5 else f'{"long " * (i % 3)}text, "é"\n{i}',
        }
        for i in range(count)
    ]


def table(folder: Path, name: str) -> Path:
    path = folder / name
    made = rows()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(made), path, row_group_size=30)
    elif path.suffix == ".jsonl":
        made[11]["extra"] = {"a": [1, None]}
        path.write_text("".join(json.dumps(row) + "\n" for row in made))
    elif path.suffix == ".json":
        path.write_text(json.dumps([{"image_id": r["id"], "caption": r["text"]} for r in made]))
    else:
        lines = [
            f'{r["id"]},{r["image"]},"{r["text"].replace(chr(34), chr(34) * 2)}"' for r in made
        ]
        path.write_text("\n".join(["id,image,text", *lines]) + "\n")
    return path


def run(pairs: Any, out: Path, **options: Any) -> Any:
    names = [pairs] if isinstance(pairs, str | Path) else pairs
    given = {"chunk": CHUNK, "shard_rows": 3 * CHUNK} | options
    return run_shards(lambda: FakeMetric(readouts=["purpose"]), names, out, **given)


@pytest.mark.parametrize("source", ["in.csv", "in.jsonl", "in.parquet", "in.json"])
def test_joined_shards_are_byte_for_byte_what_one_run_writes(tmp_path: Path, source: str) -> None:
    path = table(tmp_path, source)
    pattern = {"image_pattern": "{image_id}.jpg"} if source == "in.json" else {}
    how = ScoreOptions(images=tmp_path, **pattern)
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        whole, joined = tmp_path / f"whole.{suffix}", tmp_path / f"joined.{suffix}"
        expected = score_table(
            lambda: FakeMetric(readouts=["purpose"]), path, whole, how=how, chunk=CHUNK
        )
        summary = run(path, tmp_path / "out", how=how, join=joined)
        assert joined.read_bytes() == whole.read_bytes()
        assert (summary.n, summary.scored, summary.failed) == (
            expected.n,
            expected.scored,
            expected.failed,
        )
        assert summary.mean == pytest.approx(expected.mean, abs=1e-12)
        assert summary.std == pytest.approx(expected.std, abs=1e-12)
        assert summary.mean_purpose == pytest.approx(expected.mean_purpose, abs=1e-12)


def test_progress_moves_with_every_chunk_of_a_shard(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run(table(tmp_path, "in.csv"), tmp_path / "out", progress=lambda *far: seen.append(far))
    ends = {*range(0, ROWS, CHUNK), ROWS}
    assert {done for done, _ in seen} == ends
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {ROWS}


def test_parts_are_a_dataset_that_parquet_readers_open(tmp_path: Path) -> None:
    run(table(tmp_path, "in.csv"), tmp_path / "out")
    found = pq.read_table(tmp_path / "out")
    assert found["id"].to_pylist() == [row["id"] for row in rows()]
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_bytes())
    assert sum(part["rows"] for part in manifest["parts"]) == manifest["summary"]["n"] == ROWS


def test_workers_share_shards_and_the_last_one_writes_the_manifest(tmp_path: Path) -> None:
    path, out = table(tmp_path, "in.parquet"), tmp_path / "out"
    for worker in range(3):
        assert not (out / "_manifest.json").exists()
        run(path, out, shard=f"{worker}/3")
    assert (out / "_manifest.json").exists()
    assert pq.read_table(out)["id"].to_pylist() == [row["id"] for row in rows()]


@pytest.mark.parametrize("first", [0, 1])
def test_workers_are_counted_from_0_or_from_1(tmp_path: Path, first: int) -> None:
    run(table(tmp_path, "in.csv"), tmp_path / "out")
    plan = Plan.read(tmp_path / "out")
    assert plan is not None
    taken = [s.number for i in range(first, first + 3) for s in share(plan.shards, f"{i}/3")]
    assert sorted(taken) == [shard.number for shard in plan.shards]
    with pytest.raises(OptionError, match="4/3 is not one of 3"):
        share(plan.shards, "4/3")


def test_several_tables_are_scored_in_order(tmp_path: Path) -> None:
    made = pa.Table.from_pylist(rows())
    for i in range(3):
        pq.write_table(made.slice(i * 40, 40), tmp_path / f"{i}.parquet")
    out, joined = tmp_path / "out", tmp_path / "all.csv"
    run(str(tmp_path / "?.parquet"), out, join=joined, how=ScoreOptions(images=tmp_path))
    whole = tmp_path / "whole.csv"
    how = ScoreOptions(images=tmp_path)
    score_table(lambda: FakeMetric(readouts=["purpose"]), table(tmp_path, "a.csv"), whole, how=how)
    ids = [line.split(",")[0] for line in joined.read_text().splitlines() if line[:3].isdigit()]
    assert ids == [row["id"] for row in rows()]
    with pytest.raises(TableError, match="no file matches"):
        find_tables([str(tmp_path / "*.orc")])


def test_parts_of_other_settings_are_refused(tmp_path: Path) -> None:
    path, out = table(tmp_path, "in.csv"), tmp_path / "out"
    run(path, out, shard="0/2")
    with pytest.raises(TableError, match=r"added_columns was \[\"score\""):
        run(path, out, how=ScoreOptions(column_prefix="x_"))
    with pytest.raises(TableError, match="signature was fake and is now other"):
        run_shards(lambda: FakeMetric("other", readouts=["purpose"]), [path], out, chunk=CHUNK)
    path.write_text(path.read_text() + "x,0.jpg,more\n")
    with pytest.raises(TableError, match="the table was changed"):
        run(path, out)


def test_missing_and_damaged_parts_are_named_by_join(tmp_path: Path) -> None:
    path, out = table(tmp_path, "in.csv"), tmp_path / "out"
    run(path, out, shard="0/2")
    with pytest.raises(TableError, match=r"2 of 5 shards in .* have no part yet, the first is 1"):
        join_shards(out, tmp_path / "all.csv")
    run(path, out)
    part = sorted(out.glob("part-*"))[2]
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(TableError, match=r"part-000002.* is damaged"):
        join_shards(out, tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()
    with pytest.raises(TableError, match="has no shards"):
        join_shards(tmp_path, tmp_path / "all.csv")


def test_tar_files_of_images_with_texts_or_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for row in rows(40):
            sample = {"jpg": row["image"].encode(), "json": json.dumps({"id": row["id"]}).encode()}
            sample["txt"] = row["text"].encode()
            for kind, content in sample.items():
                info = tarfile.TarInfo(f"x/{row['id']}.{kind}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    class ByBytes(FakeMetric):
        def __call__(self, images: Any, texts: Any) -> Any:
            return super().__call__([image.decode() for image in images], texts)

    joined = tmp_path / "all.csv"
    run_shards(ByBytes, [path], tmp_path / "out", chunk=8, shard_rows=16, join=joined)
    whole = tmp_path / "whole.csv"
    score_table(ByBytes, path, whole, chunk=8)
    assert joined.read_bytes() == whole.read_bytes()
    assert joined.read_text().startswith("__key__,id,text,score,truncated,error\nx/000,000,")


def test_saved_datasets_keep_their_images(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    made = {"image": [Image.new("RGB", (4, 4), (i, 0, 0)) for i in range(20)]}
    made["text"] = [f"text {i}" for i in range(20)]
    datasets.Dataset.from_dict(made).save_to_disk(str(tmp_path / "data"))

    class ByBytes(FakeMetric):
        def __call__(self, images: Any, texts: Any) -> Any:
            assert all(isinstance(image, bytes) for image in images)
            return super().__call__([str(len(image)) for image in images], texts)

    run_shards(ByBytes, [tmp_path / "data"], tmp_path / "out", chunk=4, shard_rows=8)
    found = pq.read_table(tmp_path / "out")
    assert found.column_names == ["image", "text", "score", "truncated", "error"]
    assert found["text"].to_pylist() == made["text"]
    assert found["image"][3].as_py()["bytes"].startswith(b"\x89PNG")


def test_tables_images_and_parts_on_another_file_system(tmp_path: Path) -> None:
    pytest.importorskip("upath")
    import fsspec

    memory = fsspec.filesystem("memory")
    for row in rows():
        if not row["image"].startswith("missing"):
            memory.pipe(f"/in/{row['image']}", row["image"].encode())
    local = table(tmp_path, "in.csv")
    memory.pipe("/in/in.csv", local.read_bytes())

    class ByBytes(FakeMetric):
        def __call__(self, images: Any, texts: Any) -> Any:
            return super().__call__([image.decode() for image in images], texts)

    joined = "memory://out/all.csv"
    for shard in ("0/2", "1/2"):
        run_shards(
            ByBytes, ["memory://in/*.csv"], "memory://out", chunk=8, shard_rows=24, shard=shard
        )
    join_shards("memory://out", joined)
    found = memory.cat("/out/all.csv").decode()
    assert sum(line[:3].isdigit() for line in found.splitlines()) == ROWS
    assert "memory://in/missing3.jpg') does not exist" in found


def test_tables_and_parts_in_an_object_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    s3fs = pytest.importorskip("s3fs")
    import fsspec.config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"})
    store = s3fs.S3FileSystem()
    store.mkdir("bucket")
    store.pipe({f"bucket/in/{i}.jpg": f"{i}.jpg".encode() for i in range(7)})
    store.pipe("bucket/in/a.parquet", table(tmp_path, "a.parquet").read_bytes())

    class ByBytes(FakeMetric):
        def __call__(self, images: Any, texts: Any) -> Any:
            return super().__call__([image.decode() for image in images], texts)

    given = ["s3://bucket/in/*.parquet"], "s3://bucket/out"
    for shard in ("1/2", "2/2"):
        run_shards(ByBytes, *given, chunk=8, shard_rows=24, shard=shard)
    join_shards("s3://bucket/out", "s3://bucket/all.jsonl")
    lines = store.cat("bucket/all.jsonl").decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in rows()]
    server.stop()


PROGRAM = """
import sys, time
from tests.fake_metric import FakeMetric
from descscore.tables.shards import run_shards

class Slow(FakeMetric):
    def __call__(self, images, texts):
        time.sleep(0.01)
        return super().__call__(images, texts)

print("begun", flush=True)
run_shards(lambda: Slow(readouts=["purpose"]), [sys.argv[1]], sys.argv[2], shard=sys.argv[3],
           chunk=8, shard_rows=8)
"""


def worker(path: Path, out: Path, shard: str, **options: Any) -> subprocess.Popen[Any]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(path), str(out), shard]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, **options)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_every_row_is_there_once_though_workers_are_killed(tmp_path: Path) -> None:
    path, out = table(tmp_path, "in.csv"), tmp_path / "out"
    chance = random.Random(0)
    for _ in range(3):
        # Two workers of one share as well: they may write the same parts.
        running = [worker(path, out, shard) for shard in ("0/2", "1/2", "1/2", "0/1")]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
        time.sleep(chance.uniform(0, 0.15))
        chance.choice(running).kill()
        for process in running:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    whole = tmp_path / "whole.csv"
    run(path, out, join=tmp_path / "all.csv", chunk=8, shard_rows=8)
    score_table(lambda: FakeMetric(readouts=["purpose"]), path, whole, chunk=8)
    assert (tmp_path / "all.csv").read_bytes() == whole.read_bytes()
    names = {p.name for p in out.iterdir() if not p.name.startswith((".", "_"))}
    assert len(names) == -(-ROWS // 8)


HELD = """
import sys, time
from pathlib import Path
from descscore.writing import replacing
with replacing(Path(sys.argv[1])) as unfinished:
    unfinished.write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
@pytest.mark.parametrize("join", [False, True])
def test_what_a_killed_worker_left_is_cleared_and_what_a_live_one_writes_is_kept(
    tmp_path: Path, join: bool
) -> None:
    path, out = table(tmp_path, "in.csv"), tmp_path / "out"
    run(path, out)
    part = min(out.glob("part-*"))
    command = [sys.executable, "-c", HELD]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # Of another plan, and of another program: neither is ours to remove.
    others = [out / ".part-000000-0123abcd.jsonl.0a.tmp", out / ".notes.tmp"]
    for other in others:
        other.write_bytes(b"kept")
    running = [
        subprocess.Popen([*command, str(part)], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
    killed, live = running
    killed.kill()
    killed.wait()
    assert len(list(out.glob(f".{part.name}.*.tmp"))) == 2
    if join:
        join_shards(out, tmp_path / "all.csv")
    else:
        run(path, out)
    [kept] = out.glob(f".{part.name}.*.tmp")
    assert kept.read_bytes() == b"half"
    assert all(other.read_bytes() == b"kept" for other in others)
    live.kill()
    live.wait()
    run(path, out)
    assert not list(out.glob(f".{part.name}.*.tmp"))
    for process in running:
        assert process.stdout is not None
        process.stdout.close()


def test_what_another_machine_left_is_cleared_after_a_day(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path, out = table(tmp_path, "in.csv"), tmp_path / "out"
    run(path, out)
    part = min(out.glob("part-*"))
    left = out / f".{part.name}.feedbeef01234567.tmp"
    left.write_bytes(b"half")
    run(path, out)
    assert left.exists()
    os.utime(left, (0, 0))
    run(path, out)
    assert not left.exists()


def test_a_full_disk_ends_with_an_error_and_is_resumed(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path, out = table(tmp_path, "in.csv"), tmp_path / "out"

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    run(path, out, shard="99/100", chunk=8, shard_rows=8)  # only plans
    process = worker(path, out, "0/1", preexec_fn=limit, stderr=subprocess.PIPE)
    _, said = process.communicate()
    assert process.returncode == 1
    assert b"cannot be written (File too large)" in said
    assert not list(out.glob(".*.tmp"))
    run(path, out, join=tmp_path / "all.csv", chunk=8, shard_rows=8)
    assert (
        sum(line[:3].isdigit() for line in (tmp_path / "all.csv").read_text().splitlines()) == ROWS
    )
