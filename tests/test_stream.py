"""Decoding keeps order, stays a bounded way ahead, and stops when nobody listens."""

from __future__ import annotations

import io
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from descscore.errors import ImageError
from descscore.inputs import decode
from descscore.inputs.decode import decoded, default_workers
from descscore.inputs.transform import ImageTransform

TRANSFORM = ImageTransform(resize=8, crop=(8, 8))


def grey(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_images_come_out_in_order_with_errors_in_their_places(workers: int) -> None:
    images = [grey(0), b"", grey(2), grey(3), "missing.jpg", grey(5)]
    results = list(decoded(images, TRANSFORM, workers=workers, ahead=3))
    values = [None if isinstance(result, ImageError) else result[0, 0, 0] for result in results]
    assert values == [0, None, 2, 3, None, 5]


def test_order_holds_when_the_first_image_takes_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    original = decode.decode

    def slow_at_first(image: np.ndarray):
        time.sleep(0.1 if image[0, 0, 0] == 0 else 0)
        return original(image)

    monkeypatch.setattr(decode, "decode", slow_at_first)
    results = decoded([grey(i) for i in range(8)], TRANSFORM, workers=4, ahead=8)
    assert [result[0, 0, 0] for result in results] == list(range(8))


def test_no_more_is_read_ahead_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    original, lock = decode.decode, threading.Lock()
    begun, taken, furthest = 0, 0, 0

    def counted(image: np.ndarray):
        nonlocal begun, furthest
        with lock:
            begun += 1
            furthest = max(furthest, begun - taken)
        return original(image)

    monkeypatch.setattr(decode, "decode", counted)
    for _ in decoded([grey(i) for i in range(60)], TRANSFORM, workers=4, ahead=5):
        time.sleep(0.002)
        with lock:
            taken += 1
    assert begun == 60
    # Five waiting, and the one in the caller's hands.
    assert 1 < furthest <= 6


def test_decoding_goes_on_beside_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    second_begun = threading.Event()
    original = decode.decode

    def watched(image: np.ndarray):
        if image[0, 0, 0] == 1:
            second_begun.set()
        return original(image)

    monkeypatch.setattr(decode, "decode", watched)
    with closing(decoded([grey(0), grey(1), grey(2)], TRANSFORM, workers=1, ahead=2)) as results:
        next(results)
        assert second_begun.wait(timeout=10)


def test_closing_early_leaves_no_threads_behind() -> None:
    results = decoded([grey(i) for i in range(200)], TRANSFORM, workers=3, ahead=50)
    next(results)
    results.close()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("descscore-decode")]


def test_an_error_that_is_not_the_images_fault_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(decode, "decode", broken)
    with pytest.raises(ZeroDivisionError):
        list(decoded([grey(0)], TRANSFORM, workers=2, ahead=2))


def test_there_is_at_least_one_worker_and_at_most_eight() -> None:
    assert 1 <= default_workers() <= 8


def test_a_draft_of_a_large_photo_differs_slightly_and_of_a_small_one_not_at_all() -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    crops = {}
    for side in (1200, 300):
        file = io.BytesIO()
        size = (side, side * 3 // 4)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
        for draft in (False, True):
            transform = ImageTransform(resize=224, crop=(224, 224), jpeg_draft=draft)
            (crops[side, draft],) = decoded([file.getvalue()], transform, workers=0, ahead=1)
    np.testing.assert_array_equal(crops[300, True], crops[300, False])
    assert (crops[1200, True] != crops[1200, False]).any()
    apart = np.abs(crops[1200, True].astype(int) - crops[1200, False].astype(int))
    assert apart.mean() < 1
    assert apart.max() < 10


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_draft_is_no_smaller_than_twice_the_size_asked_for(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", (900, 700), "red").save(file, "JPEG", exif=exif)
    image = decode.decode(file.getvalue(), 2 * 100)
    assert image.size == ((350, 450) if orientation == 6 else (450, 350))
    assert decode.decode(file.getvalue()).size == ((700, 900) if orientation == 6 else (900, 700))
