"""Decoding beside encoding: images come out in order, as pixels or as errors."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from descscore.errors import ImageError
from descscore.inputs.decode import decode

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from concurrent.futures import Future

    import numpy as np
    from jaxtyping import UInt8

    from descscore.inputs.items import ImageInput
    from descscore.inputs.transform import ImageTransform


def default_workers() -> int:
    """Threads for decoding: one a core, at most eight, beyond which a GPU is the bottleneck."""
    return min(
        8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def decoded(
    images: Iterable[ImageInput | ImageError],
    transform: ImageTransform,
    *,
    workers: int,
    ahead: int,
) -> Generator[UInt8[np.ndarray, "row column 3"] | ImageError]:
    """Decode, resize and crop images in threads while the caller uses those that are done.

    Pillow releases the interpreter's lock while it decodes and resizes.

    Args:
        images: what to decode; an error is passed on.
        transform: resizing and cropping.
        workers: threads; 0 decodes in the caller's own.
        ahead: images decoded at most before they are asked for, which bounds memory.

    Yields:
        For each image in order, its cropped pixels, or why it cannot be read.
    """
    read = decode if transform.draft is None else partial(decode, draft=transform.draft)

    def crop(image: ImageInput | ImageError) -> UInt8[np.ndarray, "row column 3"] | ImageError:
        if isinstance(image, ImageError):
            return image
        try:
            return transform.crop_pixels(read(image))
        except ImageError as error:
            return error

    if not workers:
        yield from map(crop, images)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="descscore-decode") as pool:
        waiting: deque[Future[UInt8[np.ndarray, "row column 3"] | ImageError]] = deque()
        try:
            for image in images:
                waiting.append(pool.submit(crop, image))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
