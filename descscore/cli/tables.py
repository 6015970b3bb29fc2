"""Results as tables, and notes on what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from descscore.cli.console import print_line, print_note, print_rich
from descscore.strings import counted

if TYPE_CHECKING:
    from rich.table import Table

    from descscore.datasets.failures import Failure
    from descscore.results import Estimate

COUNTS = {"n", "classes", "step"}
"""Names of results that are counts, and no measure of a model."""

# Wider than any table: rich never needs to wrap or cut what is in it.
_UNBOUNDED = 100_000


def new_table(**options: Any) -> Table:
    """A table without lines; the options are rich's."""
    from rich.table import Table

    return Table(box=None, padding=(0, 2, 0, 0), **options)


def facts_table(facts: Iterable[tuple[str, str]]) -> Table:
    """A table of names and values, the values in rich's markup."""
    facts_of = new_table(show_header=False)
    facts_of.add_column(style="bold", no_wrap=True)
    facts_of.add_column(overflow="fold")
    for name, value in facts:
        facts_of.add_row(name, value)
    return facts_of


def show_table(table: Table, *, stderr: bool = False) -> None:
    """Print a table: as wide as a terminal, but in a pipe or a file as wide as it needs to be."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal:
        print_rich(table, console)
        return
    console.width = _UNBOUNDED
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().removesuffix("\n").split("\n"):
        print_line(line.rstrip(), stderr=stderr)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    stderr: bool = False,
) -> None:
    """A table with a title; on stdout, where more follows, with a blank line after it.

    Args:
        title: nothing, or a line before the table.
        columns: their names.
        rows: cells, which may be fewer than there are columns.
        left: columns that are set to the left; all others are set to the right.
        stderr: where it is printed.
    """
    from rich.markup import escape

    shown = new_table()
    for place, column in enumerate(columns):
        side = "left" if place < left else "right"
        shown.add_column(escape(column), justify=side, overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))
    if title:
        print_line(title, stderr=stderr)
    show_table(shown, stderr=stderr)
    if not stderr:
        print_line("")


def print_summary(facts: Iterable[tuple[str, str]], signature: str) -> None:
    """What came of a whole table, on stderr; the values in rich's markup."""
    show_table(facts_table(facts), stderr=True)
    print_signature(signature, stderr=True)


def failed_fact(failed: int, first_error: str | None) -> tuple[str, str]:
    """How many rows failed, and why the first of them did."""
    from rich.markup import escape

    if not failed:
        return "failed", "0"
    return "failed", f"[red]{failed:,}[/red], the first: {escape(first_error or '')}"


def print_signature(signature: str, *, stderr: bool = False) -> None:
    """What scores depend on, dim, on a line of its own."""
    print_line(signature, dim=True, stderr=stderr)


def share_cells(share: Estimate | None, absent: str) -> tuple[str, str, str, str]:
    """Value, interval, number and ties of a share; `absent` where there is none."""
    if share is None:
        return absent, "", "", ""
    return f"{share.value:.3f}", interval_text(share), f"{share.n:,}", f"{share.ties:,}"


def interval_text(found: Estimate, digits: int = 3, factor: float = 1) -> str:
    """An interval in brackets; nothing where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"[{_rounded(factor * found.low, digits)}, {_rounded(factor * found.high, digits)}]"


def estimate_text(found: Estimate | None, *, digits: int = 2, factor: float = 1) -> str:
    """A value with its interval; nothing where it was not asked for.

    Args:
        found: the estimate.
        digits: behind the point.
        factor: 100 for percent.
    """
    if found is None:
        return ""
    if found.value is None:
        return "undefined"
    shown = _rounded(factor * found.value, digits)
    return f"{shown} {interval_text(found, digits, factor)}".rstrip()


def _rounded(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # the sum makes 0 of -0


def published_text(found: Estimate) -> str:
    """A number in percent with half of its interval, as the paper prints it."""
    half = "" if found.half_width is None else f" ± {found.half_width:.2f}"
    return f"{found.value:.1f}{half}"


def result_text(value: Any) -> str:
    """A measured number, or a share with its interval."""
    if isinstance(value, dict) and {"share", "low", "high"} <= value.keys():
        return f"{value['share']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def print_failures(failed: Sequence[Failure], what: str) -> None:
    """How many items were left out, and why the first of them were."""
    if failed:
        first = "; ".join(f"{failure.item}: {failure.error}" for failure in failed[:3])
        more = f"; and {len(failed) - 3:,} more (--json names all)" if len(failed) > 3 else ""
        print_note(f"{counted(len(failed), what)} skipped: {first}{more}")


def print_truncated(truncated: int) -> None:
    """How many texts are longer than the checkpoint's window."""
    if truncated:
        print_note(f"{counted(truncated, 'text')} longer than the checkpoint's window")
