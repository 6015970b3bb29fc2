"""One image or one text: what counts as one, and why a text cannot be scored."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from descscore.strings import is_blank, quoted

if TYPE_CHECKING:
    from torch import Tensor

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | Mapping[str, Any] | Image.Image | np.ndarray | Tensor"  # noqa: E501
"""A path, encoded bytes, a file open for reading bytes, a dict with "bytes" and "path" as
`datasets` makes them, a PIL image, a uint8 array (H, W, 3), or a tensor (3, H, W)."""

# A scheme has two letters at least, which tells it from a drive of Windows.
_ADDRESS = re.compile(
    r"\s*(//[^/]|[a-z][a-z0-9+.-]+://|(data|file|s3|gs|hf|https?|ftp|blob|javascript):)",
    re.IGNORECASE,
)

LONGEST_TEXT = 100_000
"""Maximum characters of a text: far beyond any description, and it bounds the tokenizer's work."""


def is_image(value: object) -> bool:
    """Whether a value is one image, rather than a list of them; its content is not looked at."""
    if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    if hasattr(value, "read") or (isinstance(value, Mapping) and value.keys() & {"bytes", "path"}):
        return True
    return getattr(value, "ndim", None) in {2, 3}


def is_address(path: str) -> bool:
    """Whether what is given as a path is a URL or data URI, of whatever scheme."""
    return _ADDRESS.match(path) is not None


def text_problem(text: object) -> str | None:
    """Why a text cannot be scored, to be read after its place; None if it can."""
    if not isinstance(text, str):
        return f"is {brief(text)}, not a string; give a str"
    if len(text) > LONGEST_TEXT:
        return (
            f"({brief(text)}) has {len(text):,} characters; the limit is {LONGEST_TEXT:,}: "
            "shorten it or split it into several texts"
        )
    if is_blank(text):
        shown = brief(text).encode("ascii", "backslashreplace").decode()
        return f"is empty ({shown}); give a text, or omit the pair"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"({brief(text)}) is not valid Unicode at character {error.start}; decode it properly"
        )
    return None


def brief(value: object) -> str:
    """A value as messages quote it."""
    return quoted(value, 60)
