"""`descscore explain`: what each word adds to a score, for one pair or for a table."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from descscore.cli import options
from descscore.cli.console import print_json, print_note, print_rich, warnings_as_notes
from descscore.cli.groups import PairsTable, Source, with_groups
from descscore.cli.parameters import argument, flag, option
from descscore.cli.tables import failed_fact, print_summary
from descscore.cli.whole_tables import exit_if_failed, report_interruption
from descscore.errors import InputError, OptionError
from descscore.strings import quoted
from descscore.writing import as_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from descscore.explain.explanation import ExplainOptions, Explanation
    from descscore.metric import DescriptionScore
    from descscore.tables.explaining import ExplainSummary

_LARGE_ERROR = 0.05


@with_groups
def explain(
    *,
    given: list[str] | None = argument(
        None,
        "IMAGE TEXT",
        "Image file and text; only a text with --target purpose; neither with --pairs.",
    ),
    pairs: str | None = option(
        None, "TABLE", "Explain all pairs of a table that descscore score can read.", "Input"
    ),
    out: Path | None = option(
        None,
        "-o --output FILE|DIR",
        "Output file (.html, .json, .png), the terminal by default; with --pairs, a folder.",
        "Output",
    ),
    columns: PairsTable,
    order: Literal["table", "score"] = option(
        "table",
        "table|score",
        "Order the page as the table, or by score, lowest first (by "
        "P(description) with --target purpose).",
        "Output",
    ),
    resume: bool = flag(
        "--resume", "Continue an interrupted run over a table, or start one.", "Output"
    ),
    overwrite: bool = options.OVERWRITE,
    json: bool = options.JSON,
    quiet: bool = options.QUIET_SUMMARY,
    source: Source,
    target: Literal["score", "purpose"] = option(
        "score",
        "score|purpose",
        "Explain the pair's score, or why the text reads as a description.",
        "Explanation",
    ),
    purpose: str | None = options.PURPOSE_READER,
    prefix: str = option(
        "",
        "TEXT",
        "Text put before every text; none by default.",
        "Explanation",
        show_default=False,
    ),
    baseline: Literal["padding", "zero"] = option(
        "padding", "padding|zero", "Baseline that every token is compared with.", "Explanation"
    ),
    n_steps: int = option(
        50, "N", "Integration steps; more steps reduce the error.", "Explanation", min=1
    ),
    device: str = option("auto", "NAME", "auto, cpu, cuda, cuda:1, mps.", "Explanation"),
) -> None:
    """Explain a score: what each word adds to it, through the purpose subspace and around it.

    Uses integrated gradients. One pair is shown in the terminal or written to a file; a table's
    explanations go to a folder, with a page that shows them. Exit code: 0 all explained, 1 some
    rows failed, 2 wrong usage or nothing explained.
    """
    from descscore.cli.progress import TableProgress
    from descscore.explain.explanation import ExplainOptions
    from descscore.tables.explaining import explain_table
    from descscore.tables.selection import with_folder

    how = ExplainOptions(target=target, n_steps=n_steps, baseline=baseline)
    load_metric = partial(
        source.load, device=device, prefix=prefix, purpose=purpose, on_error="record"
    )
    with warnings_as_notes(shown=not quiet):
        if pairs is None:
            for_tables = {
                **{f"`{name}`": value is not None for name, value in vars(columns).items()},
                "--order": order != "table",
                "--resume": resume,
            }
            if name := next((name for name, given in for_tables.items() if given), None):
                raise OptionError(f"{name} is for tables; name one with --pairs TABLE")
            _explain_one(load_metric, given or [], how, out, overwrite=overwrite, json=json)
            if out is not None and not (quiet or json):
                print_note(f"the explanation is in {out}")
            return
        if given:
            raise OptionError(
                f"{given[0]!r:.60} and --pairs are both given; leave one out: a table holds its "
                "images and texts"
            )
        if out is None:
            raise OptionError("--pairs needs a folder for the explanations; name it with -o DIR")
        shown = TableProgress(shown=not quiet, doing="explaining")
        with shown as progress, report_interruption(progress):
            summary = explain_table(
                load_metric,
                pairs,
                out,
                how=how,
                **vars(columns),
                order=order,
                resume=resume,
                overwrite=overwrite,
                progress=progress,
            )
    if json:
        print_json(asdict(summary))
    elif not quiet:
        _print_summary(summary)
    error = summary.first_error and with_folder(
        summary.first_error, columns.images or as_path(pairs).parent
    )
    exit_if_failed(summary.n, summary.failed, error, done="explained")


def _explain_one(
    load_metric: Callable[[], DescriptionScore],
    given: list[str],
    how: ExplainOptions,
    out: Path | None,
    *,
    overwrite: bool,
    json: bool,
) -> None:
    from descscore.explain.stored import check_file, write_file
    from descscore.tables.selection import without_place
    from descscore.writing import check_apart

    image, text = _pair(given, how)
    if out is not None:
        check_file(out, overwrite=overwrite)
        check_apart([out], [] if image is None else [Path(image)])
    elif overwrite:
        raise OptionError("--overwrite needs an output file; omit it without -o")
    explanation = load_metric().explain(image, text, **asdict(how))
    if explanation.error is not None:
        raise InputError(without_place(explanation.error))
    if out is not None:
        write_file(explanation, out)
    if json:
        print_json(explanation.to_dict())
    elif out is None:
        _print_terminal(explanation)


def _pair(given: list[str], how: ExplainOptions) -> tuple[str | None, str]:
    if len(given) == 1 and how.target == "purpose":
        return None, given[0]
    if len(given) != 2:
        raise OptionError(
            (f"given: {', '.join(map(quoted, given))}" if given else "nothing is given")
            + "; name an image and a text in quotes (descscore explain photo.jpg "
            '"A red cup on a table."), a text alone with --target purpose, or --pairs TABLE'
        )
    return given[0], given[1]


def _print_terminal(explanation: Explanation) -> None:
    import sys

    from rich.console import Console

    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # A terminal without Unicode shows question marks rather than nothing.
        reconfigure(errors="replace")
    print_rich(explanation, Console(highlight=False))


def _print_summary(summary: ExplainSummary) -> None:
    from rich.markup import escape

    from descscore.explain.wording import percent

    facts = [("rows", f"{summary.n:,}"), failed_fact(summary.failed, summary.first_error)]
    if summary.largest_error is not None:
        facts.append(("largest error", f"{percent(summary.largest_error)} of what was explained"))
    facts.append(("look at", escape(summary.page)))
    print_summary(facts, summary.signature)
    if (summary.largest_error or 0) > _LARGE_ERROR:
        print_note(f"the largest error is above {_LARGE_ERROR:.0%}; explain with more --n-steps")
