"""Files that are written whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from descscore.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole, or leave what was there.

    Args:
        path: the file.
        write: writes its content to the path that it is given.

    Raises:
        WriteError: it cannot be written; the message names the file.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        # What a killed process left takes room.
        unfinished.unlink(missing_ok=True)
        write(unfinished)
        unfinished.replace(path)
    # On a full disk PyTorch raises a RuntimeError, and safetensors an error of its own.
    except (OSError, RuntimeError, SafetensorError) as error:
        raise write_error(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write plain values as JSON.

    Raises:
        WriteError: the file cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))


def write_error(path: Path, error: Exception) -> WriteError:
    """The error that says why a file cannot be written, and which."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return WriteError(f"{path} cannot be written ({reason}); make room and repeat the command")
