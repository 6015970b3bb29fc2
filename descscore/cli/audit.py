"""`descscore audit`: the alt texts of pages."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from descscore.cli import options
from descscore.cli.console import SOME_FAILED, print_note, warnings_as_notes
from descscore.cli.groups import Source, with_groups
from descscore.cli.parameters import argument, flag, option
from descscore.errors import OptionError
from descscore.extras import imports_of
from descscore.printable import valid_unicode

if TYPE_CHECKING:
    from descscore.audit.fetch import Fetcher
    from descscore.audit.findings import AuditResult
    from descscore.audit.report import Format
    from descscore.audit.settings import Settings


@with_groups
def audit(
    paths: list[str] = argument(
        ...,
        "PATH...",
        "Files and folders: HTML, Markdown, reStructuredText, EPUB, DOCX, PPTX; with "
        "--fetch, URLs of pages and sitemaps.",
    ),
    out: list[Path] | None = option(
        None,
        "-o --output FILE",
        "Write a report (.json, .sarif, .xml, .html, .txt); repeatable.",
        "Output",
    ),
    form: Literal["terminal", "json", "sarif", "junit", "html"] | None = option(
        None,
        "--format NAME",
        "Report format, whatever the extension: terminal, json, sarif, junit or html.",
        "Output",
        show_default=False,
    ),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    fail_on: Literal["violation", "review", "never"] | None = option(
        None,
        "violation|review|never",
        "Exit with 1 for findings of at least this severity; violation by default.",
        "Rules",
        show_default=False,
    ),
    enable: list[str] | None = option(None, "RULE", "Enable a rule.", "Rules"),
    disable: list[str] | None = option(None, "RULE", "Disable a rule.", "Rules"),
    ignore: list[str] | None = option(None, "GLOB", "Skip matching paths.", "Input"),
    root: Path | None = option(
        None, "DIR", "Resolve image addresses that begin with / in this folder.", "Input"
    ),
    baseline: Path | None = option(
        None, "FILE", "Ignore the known findings in this file.", "Rules"
    ),
    update_baseline: bool = flag(
        "--update-baseline",
        "Write current findings to the baseline; drop those that are gone.",
        "Rules",
    ),
    config: Path | None = option(
        None,
        "FILE",
        "Configuration: pyproject.toml or descscore.toml; the nearest by default.",
        "Rules",
    ),
    fetch: bool = flag(
        "--fetch", "Fetch pages, and images for a checkpoint, from the web.", "Input"
    ),
    allow_private: bool = flag("--allow-private", "Allow private and loopback addresses.", "Input"),
    render: bool = flag(
        "--render", "Render pages in Chromium first (needs the extra browser).", "Input"
    ),
    device: str = options.DEVICE,
    *,
    source: Source,
) -> None:
    r"""Find missing and useless alt texts in pages and documents.

    Needs `pip install "descscore\[audit]"`. Exit code: 0 clean, 1 findings at or above
    --fail-on, 2 wrong usage.
    """
    with imports_of("audit"):
        from descscore.audit.render import open_renderer
        from descscore.audit.report import format_of, write_report
        from descscore.audit.run import audit as run_audit

    settings = _settings(
        config,
        enable=enable,
        disable=disable,
        ignore=ignore,
        root=root,
        fail_on=fail_on,
        baseline=baseline,
    )
    if update_baseline and settings.baseline is None:
        raise OptionError("--update-baseline needs a file; name it with --baseline FILE")
    outputs: list[tuple[Path, Format]] = [(path, form or format_of(path)) for path in out or ()]
    for path, _ in outputs:
        if not path.parent.is_dir():
            raise OptionError(f"the folder of {path} does not exist; create it")
    passes = json or any(kind == "json" for _, kind in outputs)
    # mini is too small to judge single images.
    judged = source.checkpoint and source.checkpoint != "mini"
    with warnings_as_notes(shown=not quiet), ExitStack() as stack:
        result = run_audit(
            paths,
            settings,
            metric=source.load(device=device, on_error="record") if judged else None,
            fetcher=_fetcher(paths, fetch=fetch, allow_private=allow_private),
            renderer=stack.enter_context(open_renderer()) if render else None,
            passes=passes,
        )
    if result.model_note:
        result.model_note += ", such as --checkpoint openai/clip-vit-base-patch32"
    _use_baseline(result, settings, update=update_baseline)
    for path, kind in outputs:
        write_report(result, path, kind, root=settings.root)
    _show(result, form if not outputs else None, settings, json=json, quiet=quiet)
    if not result.pages:
        print_note("no documents found; name files, or folders that contain some")
    if _fails(result, settings):
        raise typer.Exit(SOME_FAILED)


def _fetcher(paths: list[str], *, fetch: bool, allow_private: bool) -> Fetcher | None:
    if fetch:
        from descscore.audit.fetch import Fetcher

        return Fetcher(allow_private=allow_private)
    if allow_private:
        raise OptionError("--allow-private is about what --fetch may fetch; add --fetch")
    for path in paths:
        if "://" in path:
            raise OptionError(f"{path} is on the web; allow it to be fetched with --fetch")
    return None


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


def _use_baseline(result: AuditResult, settings: Settings, *, update: bool) -> None:
    from descscore.audit.baseline import apply_baseline, read_baseline, write_baseline

    path, base = settings.baseline, settings.base
    if path is None:
        return
    if update:
        count = write_baseline(path, result, base)
        print_note(f"{path} now lists {count:,} known findings")
    elif not path.exists():
        raise OptionError(f"{path} does not exist; make it with --update-baseline")
    apply_baseline(result, read_baseline(path), base)


def _show(result: AuditResult, form: Any, settings: Settings, *, json: bool, quiet: bool) -> None:
    if json or form not in (None, "terminal"):
        from descscore.audit.report import render

        report = render(result, "json" if json else form, root=settings.root)
        typer.echo(valid_unicode(report), nl=False)
    elif not quiet:
        from rich.console import Console

        from descscore.audit.report.terminal import print_report

        print_report(result, Console(highlight=False, markup=False, emoji=False))


def _fails(result: AuditResult, settings: Settings) -> bool:
    if settings.fail_on == "never":
        return False
    return bool(
        result.count("violation")
        or (settings.fail_on == "review" and result.count("review"))
        or any(page.error for page in result.pages)  # what was not read has not passed
    )
