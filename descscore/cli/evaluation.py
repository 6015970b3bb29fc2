"""What the evaluations' commands share: the metric."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from descscore.metric import DescriptionScore

DeviceOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel="Speed"),
]
BatchSizeOption = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Images encoded together.", rich_help_panel="Speed"),
]
CompatibleOption = Annotated[
    bool,
    typer.Option(
        "--clipscore-compatible",
        metavar="",
        help="Put 'A photo depicts ' before every text, as the published CLIPScores do.",
        rich_help_panel="Score",
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option(
        min=100, metavar="N", help="Resamples of the bootstrap.", rich_help_panel="Statistics"
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Of all that is random.", rich_help_panel="Statistics"),
]


def load_metric(
    checkpoint: str | None,
    *,
    revision: str | None,
    local_files_only: bool,
    token: str | None,
    device: str,
    batch_size: int,
    clipscore_compatible: bool,
) -> DescriptionScore:
    """The metric that the options name; at the first item that cannot be scored it raises."""
    from descscore.metric import CLIPSCORE_PREFIX, DescriptionScore

    return DescriptionScore(
        checkpoint or None,
        revision=revision,
        local_files_only=local_files_only,
        token=token or None,
        device=device,
        batch_size=batch_size,
        prefix=CLIPSCORE_PREFIX if clipscore_compatible else "",
        progress=sys.stderr.isatty(),
    )
