"""`descscore audit`: the alt texts of pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from descscore.cli import options
from descscore.cli.console import SOME_FAILED, say_note, warnings_as_notes
from descscore.errors import OptionError

if TYPE_CHECKING:
    from descscore.audit.findings import AuditResult
    from descscore.audit.report import Format
    from descscore.audit.settings import Settings

_RULES, _OUTPUT, _INPUT = "Rules", "Output", "Input"


def audit(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files and folders: HTML, Markdown, reStructuredText, EPUB, DOCX, PPTX.",
            show_default=False,
        ),
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write a report: .json, .sarif, .xml (JUnit), .html, .txt. May be repeated.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    form: Annotated[
        Literal["terminal", "json", "sarif", "junit", "html"] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="terminal, json, sarif, junit or html, whatever the file is called.",
            show_default=False,
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    fail_on: Annotated[
        Literal["violation", "review", "never"] | None,
        typer.Option(
            metavar="violation|review|never",
            help="Exit with 1 if there are findings as bad as that; violation by default.",
            show_default=False,
            rich_help_panel=_RULES,
        ),
    ] = None,
    enable: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Turn a rule on.", rich_help_panel=_RULES),
    ] = None,
    disable: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Turn a rule off.", rich_help_panel=_RULES),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out paths.", rich_help_panel=_INPUT),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that image addresses beginning with / start from.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A pyproject.toml or descscore.toml; by default the nearest.",
            rich_help_panel=_RULES,
        ),
    ] = None,
) -> None:
    """Check the alt texts of pages: names that are missing, and names that say nothing.

    Needs the extra: pip install "descscore[audit]". Exit code: 0 clean, 1 findings as bad as
    --fail-on says, 2 wrong usage.
    """
    from descscore.audit.report import format_of, write_report
    from descscore.audit.run import audit as run_audit

    settings = _settings(
        config, enable=enable, disable=disable, ignore=ignore, root=root, fail_on=fail_on
    )
    outputs: list[tuple[Path, Format]] = [(path, form or format_of(path)) for path in out or ()]
    for path, _ in outputs:
        if not path.parent.is_dir():
            raise OptionError(f"the folder of {path} does not exist; create it")
    passes = json or any(kind == "json" for _, kind in outputs)
    with warnings_as_notes(shown=not quiet):
        result = run_audit([Path(each) for each in paths], settings, passes=passes)
    for path, kind in outputs:
        write_report(result, path, kind, root=settings.root)
    _show(result, form if not outputs else None, settings, json=json, quiet=quiet)
    if not result.pages:
        say_note("no documents found; name files, or folders that hold some")
    if _fails(result, settings):
        raise typer.Exit(SOME_FAILED)


def _settings(config: Path | None, **given: Any) -> Settings:
    """Settings of the configuration file, with those of the command line above them."""
    from descscore.audit.settings import Settings, find_settings, read_settings

    if config is not None and not config.is_file():
        raise OptionError(f"{config} does not exist")
    path = config or find_settings(Path.cwd())
    found = Settings(**({} if path is None else read_settings(path)))  # pyright: ignore[reportArgumentType]
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, list):
            changes[name] = (*getattr(found, name), *value)
        elif value is not None:
            changes[name] = value
    return replace(found, **changes)


def _show(result: AuditResult, form: Any, settings: Settings, *, json: bool, quiet: bool) -> None:
    if json or form not in (None, "terminal"):
        from descscore.audit.report import render

        typer.echo(render(result, "json" if json else form, root=settings.root), nl=False)
    elif not quiet:
        from rich.console import Console

        from descscore.audit.report.terminal import print_report

        print_report(result, Console(highlight=False, markup=False, emoji=False))


def _fails(result: AuditResult, settings: Settings) -> bool:
    if settings.fail_on == "never":
        return False
    return bool(
        result.count("violation") or (settings.fail_on == "review" and result.count("review"))
    )
