"""Cropped pixels are kept, trusted only when whole, and made again when anything changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from descscore.errors import RecipeError, WriteError
from descscore.inputs.transform import ImageTransform
from descscore_training.pairs import pixels
from descscore_training.pairs.pixels import Pixels, open_pixels

TRANSFORM = ImageTransform(resize=4, crop=(4, 4))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Five images of 4 x 4 pixels, the i-th full of the value 10 i."""
    (tmp_path / "images").mkdir()
    found = [tmp_path / "images" / f"{i}.png" for i in range(5)]
    for i, path in enumerate(found):
        Image.new("RGB", (4, 4), (10 * i,) * 3).save(path)
    return found


def fill(paths: Sequence[Path], file: Path, transform: ImageTransform = TRANSFORM) -> Pixels:
    return open_pixels(paths, transform, file, workers=2, progress=False)


def values(found: Pixels) -> list[int]:
    return found.images[:, 0, 0, 0].tolist()


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each time that images were decoded."""
    counts = []
    original = pixels.decoded

    def counted(images: Iterable[Path], *args: Any, **options: Any):
        images = list(images)
        counts.append(len(images))
        return original(images, *args, **options)

    monkeypatch.setattr(pixels, "decoded", counted)
    return counts


def test_pixels_are_those_of_the_transform_in_order(tmp_path: Path):
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(70)]
    images = random.integers(0, 256, (len(paths), 6, 5, 3), dtype=np.uint8)
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    centre = ImageTransform(resize=None, crop=(4, 3))
    found = fill(paths, tmp_path / "cache" / "pixels.npy", centre)
    np.testing.assert_array_equal(found.images, images[:, 1:5, 1:4])
    assert found.failed == {}
    assert isinstance(found.images, np.memmap)
    assert not found.images.flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / "cache" / "pixels.npy"), found.images)


def test_a_finished_file_is_used_again(paths: list[Path], tmp_path: Path, fills: list[int]):
    file = tmp_path / "pixels.npy"
    first, again = fill(paths, file), fill(paths, file)
    assert fills == [5]
    assert values(first) == values(again) == [0, 10, 20, 30, 40]
    fill(paths, file, replace(TRANSFORM, mean=(0.0, 0.0, 0.0)))
    assert fills == [5], "normalising comes after the pixels that are kept"


def test_runs_side_by_side_fill_a_file_once(
    paths: list[Path], tmp_path: Path, fills: list[int], monkeypatch: pytest.MonkeyPatch
):
    both = threading.Barrier(2)
    known = pixels._known

    def known_once_both_looked(*arguments: Any) -> Pixels | None:
        found = known(*arguments)
        if not both.broken:
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=5)
                both.abort()
        return found

    monkeypatch.setattr(pixels, "_known", known_once_both_looked)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(fill, [paths] * 2, [tmp_path / "pixels.npy"] * 2))
    assert [values(one) for one in found] == [[0, 10, 20, 30, 40]] * 2
    assert fills == [5]


def test_other_paths_files_or_crops_are_decoded_anew(
    paths: list[Path], tmp_path: Path, fills: list[int]
):
    file = tmp_path / "pixels.npy"
    fill(paths, file)
    assert values(fill(paths[::-1], file)) == [40, 30, 20, 10, 0]
    assert values(fill(paths[:3], file)) == [0, 10, 20]
    Image.new("RGB", (4, 4), (99,) * 3).save(paths[1])
    os.utime(paths[1], ns=(0, 1))
    assert values(fill(paths[:3], file)) == [0, 99, 20]
    smaller = ImageTransform(resize=2, crop=(2, 2))
    assert fill(paths[:3], file, smaller).images.shape == (3, 2, 2, 3)
    sharper = replace(smaller, resample=Image.Resampling.NEAREST)
    fill(paths[:3], file, sharper)
    fill(paths[:3], file, replace(sharper, resize=3))
    assert fills == [5, 5, 3, 3, 3, 3, 3]


def test_broken_images_are_black_and_named_also_when_read_again(
    paths: list[Path], tmp_path: Path, fills: list[int]
):
    paths[1].write_bytes(b"no image")
    paths[3].unlink()
    for found in (fill(paths, tmp_path / "pixels.npy"), fill(paths, tmp_path / "pixels.npy")):
        assert values(found) == [0, 0, 20, 0, 40]
        assert sorted(found.failed) == [1, 3]
        assert "is not in an image format" in found.failed[1]
        assert "does not exist" in found.failed[3]
    assert fills == [5]
    Image.new("RGB", (4, 4), (50,) * 3).save(paths[3])
    assert values(fill(paths, tmp_path / "pixels.npy")) == [0, 0, 20, 50, 40]


@pytest.mark.parametrize("older", [False, True])
def test_an_interrupted_fill_leaves_nothing_that_is_trusted(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: bool
):
    file = tmp_path / "pixels.npy"
    if older:
        fill(paths[::-1], file)

    def interrupted(images: Sequence[Path], *_: object, **__: object):
        yield np.full((4, 4, 3), 7, np.uint8)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pixels, "decoded", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fill(paths, file)
    assert not list(tmp_path.glob("*.tmp"))
    assert values(fill(paths, file)) == [0, 10, 20, 30, 40]


def test_an_end_between_pixels_and_note_is_not_trusted(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "pixels.npy"
    fill(paths, file)
    note = (tmp_path / "pixels.npy.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(pixels, "write_whole", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fill(paths[::-1], file)
    assert not (tmp_path / "pixels.npy.json").exists()
    assert values(fill(paths, file)) == [0, 10, 20, 30, 40]
    assert (tmp_path / "pixels.npy.json").read_bytes() == note


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: os.truncate(file, file.stat().st_size - 1),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
        lambda file: np.save(file, np.zeros((5, 4, 4, 1), np.uint8)),
        lambda file: file.with_name(f"{file.name}.json").write_text('{"digest'),
        lambda file: file.with_name(f"{file.name}.json").write_text("[]"),
        lambda file: file.with_name(f"{file.name}.json").unlink(),
    ],
)
def test_a_spoilt_file_is_made_again(
    paths: list[Path], tmp_path: Path, spoil: Callable[[Path], object]
):
    file = tmp_path / "pixels.npy"
    fill(paths, file)
    spoil(file)
    assert values(fill(paths, file)) == [0, 10, 20, 30, 40]


def test_a_lack_of_room_is_said_before_anything_is_decoded(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fills: list[int]
):
    usage = SimpleNamespace(free=5 * 4 * 4 * 3 - 1)
    monkeypatch.setattr(pixels.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WriteError, match=r"need 0\.0 GB, and .* has 0\.0 GB free; free some space"):
        fill(paths, tmp_path / "new" / "pixels.npy")
    assert fills == []
    usage.free += 1
    assert values(fill(paths, tmp_path / "new" / "pixels.npy")) == [0, 10, 20, 30, 40]


def test_a_place_that_cannot_be_written_and_no_images_are_refused(
    paths: list[Path], tmp_path: Path
):
    (tmp_path / "pixels.npy").mkdir()
    with pytest.raises(WriteError, match=r"pixels\.npy cannot be written \(Is a directory"):
        fill(paths, tmp_path / "pixels.npy")
    with pytest.raises(RecipeError, match="there are no images"):
        fill([], tmp_path / "pixels.npy")
