"""Findings as lines for a terminal or a log, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from descscore.printable import printable
from descscore.strings import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from descscore.audit.findings import AuditResult, Finding, PageResult

_STYLES = {"violation": "bold red", "review": "yellow"}


def to_text(result: AuditResult) -> str:
    """The report without colours."""
    return "".join(f"{line.plain}\n" for line in lines_of(result))


def print_report(result: AuditResult, console: Console) -> None:
    """Print the report; lines are not broken, so that they can be searched."""
    for line in lines_of(result):
        console.print(line, soft_wrap=True)


def lines_of(result: AuditResult) -> Iterator[Text]:
    """The lines of the report: pages with findings, and a summary."""
    for page in result.pages:
        if page.findings or page.notes:
            yield from _page(page)
            yield Text()
    yield from summary_of(result)


def summary_of(result: AuditResult) -> Iterator[Text]:
    """What was found, in numbers, and what was not looked for."""
    violations, reviews = result.count("violation"), result.count("review")
    images = f"{counted(result.images, 'image')} in {counted(len(result.pages), 'page')}"
    yield Text(
        f"{images}: {counted(violations, 'violation')}, {reviews:,} to review",
        style="bold" if violations else "",
    )
    listed = sum(len(page.listed) for page in result.pages)
    if listed:
        yield Text(f"{counted(listed, 'CSS background')} not judged")
    if result.known:
        yield Text(f"{counted(result.known, 'finding')} known from the baseline")
    if result.stale:
        yield Text(
            f"{counted(len(result.stale), 'entry', 'entries')} of the baseline not found again; "
            "update it to remove them"
        )
    failed = [page for page in result.pages if page.error]
    if failed:
        yield Text(f"{counted(len(failed), 'page')} not read, or not to the end", style="yellow")
    if result.model_note:
        yield Text(result.model_note, style="dim")


def _page(page: PageResult) -> Iterator[Text]:
    yield Text(printable(page.file), style="bold underline")
    for finding in page.findings:
        yield from _finding(finding)
    for note in page.notes:
        yield Text.assemble(("  not read  ", "bold red"), printable(note))


def _finding(finding: Finding) -> Iterator[Text]:
    place = finding.element.place
    where = f"{place.line}:{place.column}" if place.line is not None else place.part
    yield Text.assemble(
        f"  {where:<8} ",
        (f"{finding.severity:<9}", _STYLES[finding.severity]),
        "  ",
        (finding.rule.id, "bold"),
        f"  {printable(finding.message)}",
    )
    yield Text(f"           {printable(finding.element.html)}", style="dim")
    yield Text(f"           {finding.rule.advice}")
