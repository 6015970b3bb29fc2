"""Which documents there are under the paths given, and the images of each."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.audit.source import check_size, decode
from descscore.errors import DocumentError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from descscore.audit.elements import ImageElement

HTML = {".html", ".htm", ".xhtml", ".xht"}
_MARKDOWN = {".md", ".markdown", ".mkd", ".mdown"}
_RST = {".rst"}
_OFFICE = {".docx", ".pptx"}
SUFFIXES = frozenset(HTML | _MARKDOWN | _RST | _OFFICE | {".epub"})
"""Of files that are read; in lowercase."""

_SKIPPED = {"node_modules", "__pycache__", "venv", "site-packages"}


def find_documents(paths: Sequence[Path], ignore: Sequence[str] = ()) -> Iterator[Path]:
    """The documents of files and folders, sorted within each folder; each comes once.

    Hidden folders, environments and node_modules are left out.

    Args:
        paths: files and folders.
        ignore: glob patterns of paths that are left out, by their whole path or by a part of it.

    Raises:
        OptionError: a path leads nowhere, or to a file whose suffix is not in `SUFFIXES`.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found = _in_folder(path, ignore)
        elif path.is_file():
            if path.suffix.lower() not in SUFFIXES:
                raise OptionError(
                    f"{path} has an unsupported file extension; use {', '.join(sorted(SUFFIXES))}"
                )
            found = iter([path])
        else:
            raise OptionError(f"{path} does not exist")
        for each in found:
            if not _ignored(each, ignore) and (real := each.resolve()) not in seen:
                seen.add(real)
                yield each


def _in_folder(folder: Path, ignore: Sequence[str]) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        here = Path(name)
        folders[:] = sorted(
            each
            for each in folders
            if each[0] != "." and each not in _SKIPPED and not _ignored(here / each, ignore)
        )
        for file in sorted(files):
            if Path(file).suffix.lower() in SUFFIXES:
                yield here / file


def _ignored(path: Path, ignore: Sequence[str]) -> bool:
    text = path.as_posix()
    patterns = [pattern.removeprefix("./").rstrip("/") for pattern in ignore]
    return any(
        fnmatch(text, pattern) or fnmatch(text, f"*/{pattern}") or fnmatch(path.name, pattern)
        for pattern in patterns
    )


def read_document(path: Path) -> Iterator[ImageElement]:
    """The images of a document, in its order.

    Raises:
        DocumentError: it cannot be read, or not to its end.
    """
    suffix = path.suffix.lower()
    if suffix in _OFFICE:
        from descscore.audit.zipped import read_office

        yield from read_office(path)
    elif suffix == ".epub":
        from descscore.audit.zipped import read_epub

        yield from read_epub(path)
    else:
        check_size(path.stat().st_size)
        yield from read_text(path.read_bytes(), path.as_posix(), suffix)


def read_text(
    content: bytes, name: str, suffix: str, *, charset: str = ""
) -> Iterator[ImageElement]:
    """The images of a document in a format that is text.

    Args:
        content: of a file.
        name: of the file, as findings call it.
        suffix: of its name, in lowercase; by default HTML.
        charset: that a server names; empty if it names none.

    Raises:
        DocumentError: it cannot be read, or not to its end.
    """
    text = decode(content, declared=suffix not in _MARKDOWN | _RST, charset=charset)
    if suffix in _MARKDOWN:
        from descscore.audit.markdown import read_markdown

        return read_markdown(text, name)
    if suffix in _RST:
        from descscore.audit.rst import read_rst

        return read_rst(text, name)
    from descscore.audit.html import read_html

    return read_html(text, name, xml=suffix in (".xhtml", ".xht"))


def describe_error(error: Exception) -> str:
    """Why a document was not read, in words that go on after its name."""
    if isinstance(error, DocumentError):
        return str(error)
    if isinstance(error, MemoryError):
        return "takes more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return f"cannot be read: {type(error).__name__}: {error}"
