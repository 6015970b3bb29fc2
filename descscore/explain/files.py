"""One explanation in one file, in the format of its extension."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from descscore.errors import OptionError
from descscore.extras import imports_of
from descscore.strict_json import dump
from descscore.writing import check_folder, write_whole

if TYPE_CHECKING:
    from descscore.explain.explanation import Explanation

SUFFIXES = (".html", ".json", ".png")


def check_file(path: Path, *, overwrite: bool = False) -> None:
    """Check that an explanation can be written to a file before it is computed.

    Raises:
        OptionError: the extension is unsupported, or the file exists and must not be replaced.
        TableError: its folder does not exist or cannot be written to.
        MissingExtraError: the format needs a package that is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{path} has an unsupported file extension; use {', '.join(SUFFIXES)}")
    check_folder(path.parent)
    if path.exists() and not overwrite:
        raise OptionError(
            f"{path} exists; allow overwriting it (`overwrite`), or name another file"
        )
    if path.suffix.lower() == ".png":
        with imports_of("plots"):
            import matplotlib as _  # noqa: F401


def write_file(explanation: Explanation, path: Path) -> None:
    """Write an explanation as HTML, JSON or PNG.

    Raises:
        OptionError: as a picture, the explanation has failed.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        explanation.to_png(path)
    elif suffix == ".json":
        write_whole(path, f"{dump(explanation.to_dict())}\n")
    else:
        write_whole(path, explanation.to_html())
