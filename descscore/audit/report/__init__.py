"""Reports: the same findings for people, editors, test runners and code scanning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from descscore.audit.report.html import to_html
from descscore.audit.report.json import to_json
from descscore.audit.report.junit import to_junit
from descscore.audit.report.sarif import to_sarif
from descscore.audit.report.terminal import to_text
from descscore.errors import OptionError
from descscore.writing import write_whole

if TYPE_CHECKING:
    from descscore.audit.findings import AuditResult

Format = Literal["terminal", "json", "sarif", "junit", "html"]
SUFFIXES: dict[str, Format] = {
    ".json": "json",
    ".sarif": "sarif",
    ".xml": "junit",
    ".html": "html",
    ".htm": "html",
    ".txt": "terminal",
}


def format_of(path: Path) -> Format:
    """The format that a file's name tells.

    Raises:
        OptionError: it tells none.
    """
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        formats = ", ".join(get_args(Format))
        raise OptionError(
            f"{path} has an unsupported file extension; use {', '.join(SUFFIXES)}, or name the "
            f"format: {formats}"
        )
    return found


def render(result: AuditResult, form: Format, *, root: Path | None = None) -> str:
    """A report as text.

    Args:
        result: of an audit.
        form: of the report.
        root: the folder that image addresses beginning with "/" start from.
    """
    if form == "html":
        return to_html(result, root=root)
    write = {"json": to_json, "sarif": to_sarif, "junit": to_junit, "terminal": to_text}[form]
    return write(result)


def write_report(
    result: AuditResult, path: Path, form: Format, *, root: Path | None = None
) -> None:
    """Write a report atomically.

    Raises:
        WriteError: the system cannot write it.
    """
    write_whole(path, render(result, form, root=root))
