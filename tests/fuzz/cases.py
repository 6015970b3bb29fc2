"""Inputs made from a seed, each with the command that is given them."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.values import damaged, deepened, odd_text, odd_value

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
TABLES = ("csv", "tsv", "jsonl", "parquet", "json")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command in a folder.

    Attributes:
        args: of `descscore`.
        rows: of the output, if the command ends with 0 or 1; None where that cannot be known.
        call: in place of a command, a call that may raise the package's own errors alone.
    """

    args: list[str] | None = None
    rows: int | None = None
    call: Callable[[], object] | None = None


def images(rng: random.Random, folder: Path, clip: Path) -> Case:
    """A table of good images and of odd and damaged ones; no row may be lost."""
    names = []
    for place in range(8):
        name = f"{place}{rng.choice(['', '.png', '.jpg', ' .tif', '-é', '%20', '.svg'])}"
        _make_image(rng, folder / name)
        names.append(name)
    table = folder / "pairs.csv"
    _write_csv(table, [["image", "text"], *([name, "a red cup"] for name in names)], ",")
    return Case(args=_score("pairs.csv", clip), rows=len(names))


def texts(rng: random.Random, folder: Path, clip: Path) -> Case:
    """Odd texts, as json lines; no row may be lost."""
    shutil.copy(PHOTOS[0], folder / "a.jpg")
    rows = [{"image": "a.jpg", "text": odd_text(rng)} for _ in range(8)]
    lines = [json.dumps(row, ensure_ascii="\ud800" in row["text"]) for row in rows]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    options = rng.choice([[], ["--long-text", "sentences"], ["--clipscore-compatible"]])
    if rng.random() < 0.2:
        options = ["--prefix", odd_text(rng).replace("\x00", "").replace("\ud800", "")]
    whole = not any("\ud800" in row["text"] for row in rows)
    return Case(args=[*_score("pairs.jsonl", clip), *options], rows=len(rows) if whole else None)


def tables(rng: random.Random, folder: Path, clip: Path) -> Case:
    """Tables of every format with odd columns and cells, some of them damaged."""
    shutil.copy(PHOTOS[0], folder / "a.jpg")
    kind = rng.choice(TABLES)
    count = rng.randrange(1, 12)
    more = rng.choice(["note", "score", "", "error", odd_text(rng)[:40]])
    rows = [
        {"image": rng.choice(["a.jpg", "a.jpg", odd_text(rng)]), "text": odd_text(rng)[:300]}
        | ({more: odd_value(rng) if kind in {"jsonl", "json"} else odd_text(rng)[:300]})
        for _ in range(count)
    ]
    path = folder / f"t.{kind}"
    whole = _write_table(rng, path, kind, rows)
    if rng.random() < 0.5:
        path.write_bytes(damaged(rng, path.read_bytes()))
        whole = False
    out = rng.choice(["o.csv", "o.jsonl", "o.parquet", "o.tsv"])
    return Case(args=_score(path.name, clip, out), rows=count if whole else None)


def checkpoints(rng: random.Random, folder: Path, clip: Path) -> Case:
    """A checkpoint with one file changed, shown or scored with."""
    source = rng.choice([clip, clip.with_name("adapter")])
    made = folder / "m"
    shutil.copytree(source, made)
    files = sorted(path for path in made.rglob("*") if path.is_file() and path.suffix != ".md")
    path = rng.choice(files)
    if path.suffix == ".json" and rng.random() < 0.7:
        content = json.loads(path.read_text("utf-8"))
        for _ in range(rng.choice([1, 1, 3])):
            _change(rng, content)
        path.write_text(deepened(rng, json.dumps(content)), "utf-8")
    else:
        _spoil(rng, path)
    if rng.random() < 0.4:
        return Case(args=["info", "m"])
    shutil.copy(PHOTOS[0], folder / "a.jpg")
    _write_csv(folder / "t.csv", [["image", "text"], ["a.jpg", "a cat"]], ",")
    return Case(args=_score("t.csv", made), rows=1)


def recipes(rng: random.Random, folder: Path, clip: Path) -> Case:
    """A recipe with odd values or damaged text, and no data to train on."""
    known = sorted((ROOT / "training" / "descscore_training" / "recipes").glob("*.toml"))
    text = rng.choice(known).read_text("utf-8")
    if rng.random() < 0.5:
        content = damaged(rng, text.encode())
    else:
        values = tomllib.loads(text)
        for _ in range(rng.choice([1, 1, 3])):
            _change(rng, values)
        content = deepened(rng, _toml(values)).encode("utf-8", "replace")
    (folder / "r.toml").write_bytes(content)
    (folder / "data").mkdir()
    return Case(args=["train", "r.toml", "--data", "data", "-o", "run"])


def calls(rng: random.Random, folder: Path, clip: Path) -> Case:
    """Odd objects in a call from Python."""
    import numpy as np
    import torch
    from PIL import Image

    objects: list[Callable[[], Any]] = [
        lambda: PHOTOS[0],
        lambda: PHOTOS[0].read_bytes(),
        lambda: io.BytesIO(PHOTOS[0].read_bytes()),
        lambda: odd_value(rng),
        lambda: odd_text(rng),
        lambda: np.zeros(
            tuple(rng.choices([0, 1, 3, 4, 5], k=rng.randrange(5))),
            rng.choice(["u1", "i4", "f4", "f8", "b1", "O"]),
        ),
        lambda: (
            torch.rand(tuple(rng.choices([0, 1, 3, 4], k=rng.randrange(5)))) * rng.choice([1, 9])
        ),
        lambda: torch.zeros(3, 4, 4, dtype=rng.choice([torch.bool, torch.int64, torch.complex64])),
        lambda: torch.zeros(3, 4, 4).to_sparse(),
        lambda: torch.zeros(3, 4, 4, device="meta"),
        lambda: Image.new(
            rng.choice(["RGB", "L", "I", "F", "P", "CMYK", "LAB"]), (5, rng.randrange(3))
        ),
        lambda: (value for value in ["a"]),
        object,
        lambda: damaged(rng, PHOTOS[0].read_bytes()),
    ]

    def one() -> Any:
        return rng.choice(objects)()

    def call() -> None:
        from descscore import DescriptionScore, DescscoreError

        metric = DescriptionScore(clip, on_error=rng.choice(["raise", "record"]), num_workers=0)
        for _ in range(12):
            shaped = rng.random()
            given = one() if shaped < 0.4 else [one() for _ in range(rng.randrange(4))]
            texts = rng.choice(
                [odd_text(rng), [odd_text(rng), "a cat"], one(), [one()], [["a"], [one()]]]
            )
            try:
                result = metric(given, texts, pairwise=rng.random() < 0.2)
                result.to_records()
                str(result)
            except DescscoreError as error:
                if not str(error).strip():
                    raise RuntimeError(f"{type(error).__name__} says nothing") from error

    return Case(call=call)


KINDS: dict[str, Callable[[random.Random, Path, Path], Case]] = {
    "images": images,
    "texts": texts,
    "tables": tables,
    "checkpoints": checkpoints,
    "recipes": recipes,
    "calls": calls,
}


def _score(table: str, clip: Path, out: str = "o.jsonl") -> list[str]:
    return ["score", table, "-o", out, "--checkpoint", str(clip), "--num-workers", "0", "--json"]


def _make_image(rng: random.Random, path: Path) -> None:
    from PIL import Image

    how = rng.randrange(12)
    if how == 0:
        _spoil(rng, path, new=True)
        return
    formats = ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "ICO", "PPM", "TGA"]
    modes = ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I", "I;16", "F"]
    size = rng.choice([(1, 1), (40, 30), (3000, 1), (1, 2000), (33, 64)])
    content = PHOTOS[how % len(PHOTOS)].read_bytes()
    if how > 4:
        made = io.BytesIO()
        image = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
        try:
            image.convert(rng.choice(modes)).save(made, rng.choice(formats))
            content = made.getvalue()
        except (OSError, ValueError, SystemError):  # a mode that the format lacks
            pass
    path.write_bytes(damaged(rng, content) if rng.random() < 0.7 else content)


def _spoil(rng: random.Random, path: Path, *, new: bool = False) -> None:
    """Damage a file, or put something in its place that is not a file."""
    content = b"" if new else path.read_bytes()
    path.unlink(missing_ok=True)
    how = rng.randrange(9 if new else 14)
    if how == 0:
        path.mkdir()
    elif how == 1:
        os.mkfifo(path)
    elif how == 2:
        path.symlink_to("/dev/zero")
    elif how == 3:
        path.symlink_to(path.name)
    elif how == 4:
        with path.open("wb") as file:
            file.write(content[:100])
            file.truncate(3 * 1024**3)
    elif how == 5:
        path.write_bytes(b"")
    elif how == 6:
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    elif how == 7:
        path.write_bytes(b"[" * 100_000)
    elif how == 8:
        pass  # missing
    else:
        path.write_bytes(damaged(rng, content))


def _change(rng: random.Random, values: Any) -> None:
    """Change, remove or add something somewhere in nested values."""
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        if isinstance(value, dict | list):
            for key in [*value] if isinstance(value, dict) else range(min(len(value), 50)):
                places.append((value, key))
                visit(value[key])

    visit(values)
    if not places:
        return
    holder, key = rng.choice(places)
    how = rng.randrange(4)
    if how == 0 and isinstance(holder, dict):
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[odd_text(rng)[:50]] = odd_value(rng)
    else:
        holder[key] = odd_value(rng)


def _write_table(rng: random.Random, path: Path, kind: str, rows: list[dict[str, Any]]) -> bool:
    """Write a table; whether every row must come out again."""
    if kind in {"csv", "tsv"}:
        header = [*rows[0]]
        lines = [header, *([str(row[name]) for name in header] for row in rows)]
        _write_csv(path, lines, "," if kind == "csv" else "\t")
        return False  # quoting of odd headers and cells is for the reader to judge
    clean = json.loads(json.dumps(rows).replace("\\ud800", "?"))
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: pa.array([str(row[name]) for row in clean]) for name in clean[0]}
        pq.write_table(pa.table(columns), path, compression=rng.choice(["none", "snappy", "zstd"]))
        return True
    text = json.dumps(clean) if kind == "json" else "\n".join(map(json.dumps, clean)) + "\n"
    path.write_text(deepened(rng, text), "utf-8")
    return kind == "jsonl"


def _write_csv(path: Path, rows: list[list[str]], delimiter: str) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def _toml(values: dict[str, Any]) -> str:
    """Values as TOML, with what TOML has no word for left as a string."""

    def word(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, list):
            return f"[{', '.join(map(word, value))}]"
        if isinstance(value, dict):
            pairs = (f"{json.dumps(key)} = {word(each)}" for key, each in value.items())
            return f"{{{', '.join(pairs)}}}"
        return json.dumps(str(value))

    return "\n".join(f"{json.dumps(key)} = {word(value)}" for key, value in values.items())
