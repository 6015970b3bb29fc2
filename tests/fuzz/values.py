"""Odd strings, values and bytes."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

STRINGS = (
    "",
    " ",
    "\u200b",
    "\u00ad",
    "\x00",
    "a\x00b",
    "\x1b[2J\x1b]0;x\x07",
    "\ufeff",
    "\u202e",
    "\U0001f469\u200d\U0001f680",
    "cafe\u0301",
    "\ud800",
    "<|startoftext|>",
    "<|endoftext|> a cat <|endoftext|>",
    "a" * 5000,
    "dog " * 30_000,
    "=1+1",
    '"',
    "a,b\nc",
    "a\r\nb",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "file:///etc/passwd",
    "HTTP://example.org/x.png",
    "data:image/png;base64,AAAA",
    "//host/x.png",
    "s3://bucket/x.png",
    "/dev/zero",
    "/dev/stdin",
    "~nobody/x.png",
    "C:\\x.png",
    "nan",
    "None",
    "null",
    "-1",
    "1e999",
    "9" * 400,
    "%s%n{0}",
    "A red cup on a wooden table.",
    "Espresso in Turin, 1998",
    "日本の時計。赤い。",
)

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    -0.0,
    0.5,
    1e300,
    float("nan"),
    float("inf"),
    [],
    [[]],
    [None],
    [1, "a"],
    {},
    {"a": {}},
    {"a": [1, {"b": None}]},
)

DEEP = "@deep@"
"""Stands for lists in lists until `deepened`: too deep for the encoders of JSON."""


def deepened(rng: random.Random, text: str) -> str:
    """A text of JSON or TOML with what `DEEP` stands for."""
    depth = rng.choice([50, 900, 20_000])
    return text.replace(f'"{DEEP}"', "[" * depth + "]" * depth)


def odd_value(rng: random.Random) -> Any:
    """A value that JSON or TOML could hold where another is expected."""
    if rng.random() < 0.4:
        return rng.choice(STRINGS)
    if rng.random() < 0.05:
        return DEEP
    return deepcopy(rng.choice(VALUES))  # what is changed further must not change the list


def odd_text(rng: random.Random) -> str:
    """A string, or several one after another."""
    return "".join(rng.choice(STRINGS) for _ in range(rng.choice([1, 1, 2])))


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Bytes with some changed, cut, doubled, removed or inserted."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if not data:
            break
        at = rng.randrange(min(len(data), rng.choice([64, 1024, len(data)])))
        length = rng.choice([1, 2, 4, 16, 256])
        how = rng.randrange(6)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at : at + length] = rng.randbytes(length)
        elif how == 2:
            del data[at : at + length]
        elif how == 3:
            data[at:at] = data[at : at + length]
        elif how == 4:
            data[at : at + length] = rng.choice([b"\xff", b"\x00", b"\x7f"]) * length
        else:
            del data[at:]
    return bytes(data)
