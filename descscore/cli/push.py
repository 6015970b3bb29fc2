"""`descscore push`: a checkpoint's folder to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from descscore.cli.console import print_line, print_note, warnings_as_notes
from descscore.cli.parameters import argument, flag, option

if TYPE_CHECKING:
    from descscore.checkpoints.push import Package


def push(
    folder: Path = argument(..., "FOLDER", "Checkpoint folder."),
    name: str = argument(..., "ORG/NAME", "Repository on the Hub."),
    private: bool = flag("--private", "Make the repository private."),
    dry_run: bool = flag("--dry-run", "Check and list the files without going online."),
    revision: str | None = option(None, "BRANCH", "Branch, created if new; main by default."),
    token: str | None = option(
        None,
        "TOKEN",
        "Write token, by default the one stored by hf auth login; safer in the environment.",
        envvar="HF_TOKEN",
    ),
) -> None:
    """Push a checkpoint to the Hugging Face Hub, in one commit.

    Checks first that the checkpoint is complete and loads; pushes only its own files.
    """
    from descscore.checkpoints.push import check_target, prepare
    from descscore.checkpoints.push import push as run

    check_target(name, revision)
    with warnings_as_notes(shown=True):
        package = prepare(folder, token=token or None, local_files_only=dry_run)
        if dry_run:
            _print_plan(package, name, revision, private=private)
            return
        if package.left_out:
            print_note(f"not part of the checkpoint, and not pushed: {', '.join(package.left_out)}")
        pushed = run(package, name, private=private, revision=revision, token=token or None)
    print_line(pushed.url)
    print_line(f"commit {pushed.commit}")
    print_line(f'DescriptionScore("{name}", revision="{pushed.commit}")')


def _print_plan(package: Package, name: str, revision: str | None, *, private: bool) -> None:
    kind = "private repository" if private else "repository"
    print_line(f"one commit to the branch {revision or 'main'} of the {kind} {name}:")
    sizes = {file: (package.folder / file).stat().st_size for file in package.files}
    width = max(map(len, sizes))
    for file, size in sizes.items():
        print_line(f"  {file:<{width}}  {size:>13,} bytes")
    print_line(f"  {f'{len(sizes)} files':<{width}}  {sum(sizes.values()):>13,} bytes")
    if package.left_out:
        print_line(f"not part of the checkpoint, and not pushed: {', '.join(package.left_out)}")
    print_line("nothing was pushed: this is a dry run")
