"""Results as tables for people, on stdout, and what was left out, as notes on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from descscore.cli.console import say_note

if TYPE_CHECKING:
    from descscore.data.failures import Failure
    from descscore.evaluate.preference import Share
    from descscore.evaluate.published import Published
    from descscore.evaluate.statistics import Interval


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with a title; all columns but the first are set to the right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console(highlight=False)
    print_line(title)
    console.print(table)
    console.print()


def print_line(text: str) -> None:
    """One line on stdout, however long, so that it can be copied whole."""
    import typer

    typer.echo(text)


def share_cells(share: Share | None, absent: str) -> tuple[str, str, str, str]:
    """Value, interval, number and ties of a share; `absent` where there is none."""
    if share is None:
        return absent, "", "", ""
    return (
        f"{share.share:.3f}",
        f"[{share.low:.3f}, {share.high:.3f}]",
        f"{share.n:,}",
        f"{share.ties:,}",
    )


def interval_text(interval: Interval | None, digits: int = 3) -> str:
    """An interval in brackets; nothing where there is none."""
    return "" if interval is None else f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def published_text(published: Published) -> str:
    """A printed value in percent, as the paper prints it."""
    half = "" if published.half_width is None else f" ± {100 * published.half_width:.2f}"
    return f"{100 * published.value:.1f}{half}"


def say_failures(failed: Sequence[Failure], what: str) -> None:
    """How many items were left out, and why the first of them were."""
    if failed:
        first = "; ".join(f"{failure.item}: {failure.error}" for failure in failed[:3])
        more = f"; and {len(failed) - 3:,} more (--json names all)" if len(failed) > 3 else ""
        say_note(f"{counted(len(failed), what)} left out: {first}{more}")


def counted(n: int, what: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def as_json(record: Any) -> dict[str, Any]:
    """A frozen record as plain values."""
    from dataclasses import asdict

    return asdict(record)
