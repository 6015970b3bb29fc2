"""JSON as the standard defines it: no NaN, no repeated keys, no half characters, in or out."""

from __future__ import annotations

import codecs
import json
import math
from typing import NoReturn

from descscore.errors import TableError
from descscore.printable import is_valid_unicode, valid_unicode


def is_utf16(start: str | bytes) -> bool:
    """Whether the first bytes of a file are those of UTF-16, with a byte order mark or without."""
    first = start[:4].encode() if isinstance(start, str) else start[:4]
    return first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in first


def parse(text: str | bytes) -> object:
    """Read one JSON value.

    Raises:
        ValueError: it isn't JSON that can be written again; the message says why and where.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            # An escape can spell half of a surrogate pair, which no UTF-8 file can hold.
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        if is_utf16(text):
            raise ValueError("UTF-16, not UTF-8") from None
        place = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise ValueError(f"not JSON ({error.msg} at {place}character {error.colno})") from None
    except UnicodeDecodeError as error:
        if is_utf16(text):
            raise ValueError("UTF-16, not UTF-8") from None
        raise ValueError(f"not UTF-8 (byte {error.start + 1})") from None
    except UnicodeEncodeError:
        raise ValueError("not Unicode (half of a surrogate pair)") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def dump(value: object) -> str:
    """Write one value on one line, valid as UTF-8; NaN and infinity become null.

    Raises:
        TableError: the value, or a part of it, has no form in JSON.
    """
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(_writable(value))
    # A file name's stray byte is written escaped.
    return text if is_valid_unicode(text) else _ENCODER.encode(_writable(value))


def dump_indented(value: object, *, indent: int = 2) -> str:
    """Write one value on several lines, valid as UTF-8.

    Raises:
        ValueError: it holds NaN or infinity.
    """

    def encoded(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"

    text = encoded(value)
    return text if is_valid_unicode(text) else encoded(_writable(value))


def cell(value: object) -> str:
    """A value as the text of one field of csv or tsv: strings as they are, None as nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bool | int | list | dict):
        return dump(value)
    return _as_text(value)


def _writable(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return valid_unicode(value)
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object with the key {twice!r} twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON ({name} is not a JSON number; write null)")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number out of range ({text})")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python refuses thousands of digits
        raise ValueError(f"a number out of range ({len(text):,} digits)") from None


def _as_text(value: object) -> str:
    """Dates, decimals and the like, which parquet knows and JSON does not."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise TableError("raw bytes have no form in JSON or csv; write parquet, or omit the column")
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat() if callable(isoformat) else value)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_number,
    parse_int=_integer,
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_text)
