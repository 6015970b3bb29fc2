"""`descscore pretrain`: a small CLIP from scratch."""

from __future__ import annotations

from pathlib import Path

from descscore.cli import options
from descscore.cli.console import print_line
from descscore.cli.parameters import argument, option
from descscore.extras import imports_of
from descscore.writing import check_utf8


def pretrain(
    recipe: str = argument(..., "RECIPE", "TOML file, or the shipped recipe mini-base."),
    data: Path = options.DATA,
    out: Path = options.OUT,
    overrides: list[str] | None = options.SET,
    device: str = option("auto", "NAME", "auto, cpu, cuda, mps."),
    checkpoint: Path | None = option(
        None, "DIR", "Measure the CLIP and write it to this checkpoint folder."
    ),
) -> None:
    r"""Train a small CLIP from scratch; resumes if interrupted.

    Needs `pip install "descscore\[train]"`. With --checkpoint, the CLIP is measured on cifar10.zip
    and concadia-val200/, which must be in the data folder.
    """
    with imports_of("train"):
        from descscore.towers.device import choose_device
        from descscore_training.config import find_recipe, load_recipe
        from descscore_training.export import export_base
        from descscore_training.measure import measure_base
        from descscore_training.pretrain.pretrain import pretrain as run
        from descscore_training.pretrain.recipe import PretrainRecipe

    check_utf8(out, *([] if checkpoint is None else [checkpoint]))
    resolved = load_recipe(PretrainRecipe, find_recipe(recipe, "pretrain"), overrides or ())
    model = run(resolved, data, out, device=str(choose_device(device)))
    print_line(f"the model is in {model}", stderr=True)
    if checkpoint is not None:
        measured = measure_base(model, data)
        export_base(checkpoint.name, out, checkpoint, measured=measured, data=data)
        print_line(f"the checkpoint is in {checkpoint}", stderr=True)
