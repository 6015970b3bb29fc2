"""`descscore prepare`: make the data folder of the paper's study from downloads."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from descscore.cli import options
from descscore.cli.console import (
    SOME_FAILED,
    interruption_reported,
    print_json,
    print_line,
    print_note,
)
from descscore.cli.parameters import argument, flag, option
from descscore.cli.tables import print_table
from descscore.extras import imports_of

if TYPE_CHECKING:
    from descscore_training.study.prepare import Preparation


def prepare(
    downloads: Path = argument(
        ..., "DOWNLOADS", "Folder with the original downloads, or with subfolders of them."
    ),
    data: Path = option(..., "--data DIR", "Data folder to create."),
    reduced: bool = flag("--reduced", "Accept downloads with fewer items than the originals."),
    json: bool = options.JSON,
) -> None:
    r"""Turn downloads into the data folder of the study paper; resumes if interrupted.

    Needs `pip install "descscore\[train]"` and the extra datasets. Existing data are checked
    and kept. Exit code: 0 all data are complete, 1 something is missing or failed.
    """
    with imports_of("train"):
        from descscore_training.study.prepare import prepare as make

    with interruption_reported("; repeat the command to resume"):
        done = make(downloads, data, say=partial(print_line, stderr=True), reduced=reduced)
    if json:
        print_json(asdict(done) | {"ready": done.ready})
    else:
        _print(done)
    if not done.ready:
        raise typer.Exit(SOME_FAILED)


def _print(done: Preparation) -> None:
    print_table(
        "Data of the study paper",
        ["data", "state", "from", "how many"],
        [
            (
                part.path,
                part.state if part.done else part.state.upper(),
                " and ".join(part.sources),
                "" if part.count is None else f"{part.count:,} {part.unit}",
            )
            for part in done.parts
        ],
    )
    for part in done.parts:
        if not part.done:
            print_note(f"{part.path} from {part.address}: {part.problem}")
    if done.lacking and all(part.done for part in done.parts):
        print_note(f"the study still lacks {', '.join(done.lacking)}")
